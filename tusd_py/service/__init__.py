"""Ring 2: what happens, in order. No HTTP library, no adapter."""
