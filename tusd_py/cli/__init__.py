"""The command line: ``tusd-py serve`` and what else an operator needs."""

from .program import main, program

__all__ = ["main", "program"]
