"""Ring 3: ready-made rules of who may do what: bearer tokens from a file, and JWT."""
