"""The conformance suite of tus 1.0.0: it runs against any server, over plain sockets."""
