"""Power cuts: real file systems that lose all they have not written, under a real server."""
