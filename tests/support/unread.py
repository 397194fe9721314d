"""Bytes of a body that nobody has read, without a socket."""

from __future__ import annotations

import os

from tusd_py.interfaces import Chunk


class Lying:
    """Implements `Unread`.

    Args:
        content: what is there.
        most: how much may be taken; None: all of it.
        step: how much comes at once.
        spliced: whether the system can splice it.
    """

    def __init__(
        self,
        content: bytes,
        *,
        most: int | None = None,
        step: int = 300_000,
        spliced: bool = True,
    ) -> None:
        self._content = content
        self._step = step
        self._spliced = spliced
        self.most = len(content) if most is None else most
        self.taken = 0

    def read_into(self, buffer: memoryview) -> int:
        piece = self._next(len(buffer))
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)

    def splice_into(self, pipe: int) -> int:
        if not self._spliced:
            raise OSError("no splice here")
        piece = self._next(self._step)
        count = os.write(pipe, piece) if piece else 0  # as much as fits
        self.taken += count
        return count

    def _next(self, most: int) -> bytes:
        end = min(self.most, self.taken + min(most, self._step))
        return self._content[self.taken : end]


def taken(chunk: Chunk) -> bytes:
    """Return the bytes of a chunk, as far as they come."""
    if isinstance(chunk, bytes):
        return chunk
    content, buffer = b"", memoryview(bytearray(256 * 1024))
    while count := chunk.read_into(buffer):
        content += buffer[:count]
    return content
