"""A request body that a test feeds by hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from tusd_py.interfaces import BodyEnd, Chunk


class ScriptedBody:
    """Implements `Body`: the test is the client.

    Args:
        chunks: what has arrived already; each is returned by one `read`.
        end: how the body ends behind them; None: the test will `feed` more, or `stop` it.
        trailers: fields behind a complete body.
    """

    def __init__(
        self,
        *chunks: Chunk,
        end: BodyEnd | None = BodyEnd.COMPLETE,
        trailers: Mapping[str, str] | None = None,
    ) -> None:
        self._chunks: deque[Chunk] = deque(chunks)
        self._end = end
        self._trailers = trailers
        self._changed = asyncio.Event()
        self._starved = asyncio.Event()

    @property
    def end(self) -> BodyEnd | None:
        """See `Body.end`."""
        return self._end

    async def read(self) -> Chunk:
        while not self._chunks:
            if self._end is not None:
                return b""
            self._starved.set()
            self._changed.clear()
            await self._changed.wait()
        self._starved.clear()
        return self._chunks.popleft()

    def stop(self, why: BodyEnd) -> None:
        if self._end is None:
            self._end = why
            self._changed.set()

    def in_pieces(self) -> None:
        """See `Body.in_pieces`; chunks are as the test made them."""

    def trailers(self) -> Mapping[str, str] | None:
        return self._trailers if self._end is BodyEnd.COMPLETE else None

    # --- the client's side

    def feed(self, chunk: Chunk) -> None:
        """Let more bytes arrive."""
        self._starved.clear()
        self._chunks.append(chunk)
        self._changed.set()

    async def wait_starved(self) -> None:
        """Wait until all that arrived has been taken and more is asked for."""
        async with asyncio.timeout(5):
            await self._starved.wait()
