"""Ring 3: where bytes live."""
