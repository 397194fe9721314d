"""A small file that may change while the server runs: keys, and tokens."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_MOST_BYTES = 1024 * 1024

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """What a file says, read again within a second after it was changed.

    A file that is gone or wrong while the server runs changes nothing but the log: an editor may
    just be writing it.

    Args:
        path: of the file.
        parse: what its bytes mean; a ValueError says what is wrong, without repeating secrets.
        clock: seconds that only grow.

    Raises:
        OSError, ValueError: at the start it has to be good.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._parse = parse
        self._clock = clock
        self._stamp, content = self._read()
        self._value = parse(content)
        self._look_at = clock() + _LOOK_EVERY_S

    async def get(self) -> T:
        """Return what the file says."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S  # the others do not wait for the disk
            await asyncio.to_thread(self._look)
        return self._value

    def _look(self) -> None:
        try:
            if self._stamp_of(os.stat(self._path)) == self._stamp:
                return
            self._stamp, content = self._read()
            self._value = self._parse(content)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            _log.warning("FileNotReloaded", extra={"path": str(self._path), "reason": reason})
        else:
            _log.info("FileReloaded", extra={"path": str(self._path)})

    def _read(self) -> tuple[tuple[int, ...], bytes]:
        with open(self._path, "rb") as file:
            stamp = self._stamp_of(os.fstat(file.fileno()))
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"has more than {_MOST_BYTES} bytes")
        return stamp, content

    @staticmethod
    def _stamp_of(status: os.stat_result) -> tuple[int, ...]:
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
