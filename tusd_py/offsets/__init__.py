"""Ring 3: where records and claims live."""
