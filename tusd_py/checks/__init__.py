"""Ring 3: looks at the contents of files."""
