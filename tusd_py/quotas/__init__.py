"""Ring 3: where uploads are counted."""
