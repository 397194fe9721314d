"""Ring 3: where hooks go."""
