"""A long run under load, with kills: ``python -m tests.soak --help``."""
