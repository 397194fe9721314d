"""Ring 0: what tus says. Pure and synchronous; the standard library only, no I/O, no clock."""
