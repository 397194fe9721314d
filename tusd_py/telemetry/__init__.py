"""Ring 3: logs, later metrics."""
