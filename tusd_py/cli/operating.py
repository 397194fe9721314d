"""What the commands of operators have in common: the stores, and how things are shown."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Self

from ..config import Settings
from ..protocol.errors import TusError
from ..server import StartError
from ..service.administration import Administration
from ..wiring import opened_administration

_EVERY_S = 0.1
_UNITS = ("KiB", "MiB", "GiB", "TiB")


def with_stores(settings: Settings, work: Callable[[Administration], Awaitable[int]]) -> int:
    """Do something with the stores of a server, which may run meanwhile; return the exit code.

    Raises:
        StartError: the directory is missing, or a store cannot be used.
    """
    if not settings.upload_dir.is_dir():
        raise StartError(
            f"there is no directory {settings.upload_dir}; name another with --upload-dir"
        )

    # What goes wrong is told by the commands themselves.
    logging.getLogger("tusd_py").addHandler(logging.NullHandler())

    async def run() -> int:
        async with opened_administration(settings) as administration:
            return await work(administration)

    try:
        return asyncio.run(run())
    except BrokenPipeError:
        raise
    except (TusError, OSError) as error:
        raise StartError(f"cannot use the stores: {error}") from None


def printable(text: str) -> str:
    """Return text of a client's without what a terminal would obey."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def size(count: int | None) -> str:
    """Return a number of bytes as people read it; ``?`` if it is not known."""
    if count is None:
        return "?"
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"


class Counting:
    """Shows how many of something have been done, if somebody is there to see it.

    Args:
        what: is counted.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown_at = 0.0
        self._width = 0
        self.count = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def step(self) -> None:
        """Count one."""
        self.count += 1
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown_at >= _EVERY_S:
            self._shown_at = now
            line = f"{self.count} {self._what}"
            self._width = len(line)
            print(f"\r{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a line of something else."""
        if self._width:
            print(f"\r{' ' * self._width}\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    def __exit__(self, *_: object) -> None:
        """Leave nothing on the screen."""
        self.clear()
