"""The fast lane: a large body received straight into buffers that are used again and again.

aiohttp's stream costs a new `bytes` for every segment and several calls for each of them. For
a body of known length on a plain socket none of that is needed: what is left of it is received
by an `asyncio.BufferedProtocol`, set on the transport for just that long, one buffer filling
while the other is being written to disk.
"""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import StreamReader

from .connection import Connection

_SIZES = tuple(kib * 1024 for kib in (4096, 2048, 1024, 512, 256))

# Each buffer costs a hop to a thread and back. What is no larger than this is cheaper received as
# a whole and written then (`python -m tests.benchmarks.thresholds`); of a larger body one half is
# received while the other is written.
UNSPLIT_BYTES = 2 * 1024 * 1024

# Slow bodies, and those for which the pool has nothing left, are received in pieces of this
# size, which are copied out at once.
_PIECE_BYTES = 32 * 1024

# What has come of a slow body is handed on after this long, so that it holds no buffer.
HOLD_BACK_S = 0.05


def is_plain(transport: asyncio.Transport) -> bool:
    """Whether bytes come as they are on the wire, which TLS does not allow."""
    return transport.get_extra_info("sslcontext") is None


def buffer_size(due: int) -> int:
    """Return how large the buffers should be for a body of which that much is to come."""
    wanted = min(due, max(due // 2, UNSPLIT_BYTES))
    return next((size for size in reversed(_SIZES) if size >= wanted), _SIZES[0])


class BufferPool:
    """The buffers of all bodies of a process: what bounds the memory of the fast lane.

    Args:
        budget: how many bytes they all may have.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._lent_bytes = 0
        self._idle: dict[int, list[bytearray]] = {size: [] for size in _SIZES}

    def take(self, wanted: int) -> bytearray | None:
        """Return a buffer of `wanted` bytes, one of `_SIZES`, or less; None: all are in use."""
        left = self._budget - self._lent_bytes
        most = min(wanted, left // 3)  # one body has up to three
        size = next((size for size in _SIZES if size <= most), None)
        if size is None:
            return None
        self._lent_bytes += size
        if self._idle[size]:
            return self._idle[size].pop()
        self._make_room()
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Take a buffer back; nobody may use it any more."""
        self._lent_bytes -= len(buffer)
        self._idle[len(buffer)].append(buffer)

    def _make_room(self) -> None:
        """Let go of idle buffers of other sizes, the largest first."""
        idle = sum(size * len(buffers) for size, buffers in self._idle.items())
        for other, buffers in self._idle.items():
            while buffers and self._lent_bytes + idle > self._budget:
                buffers.pop()
                idle -= other


class DirectLane(asyncio.BufferedProtocol):
    """Receives the rest of one body.

    A full buffer, and the last one, is lent as a `memoryview` and counts as returned at the second
    `receive` after it; anything less is copied.

    Args:
        connection: whose body it is, and whose transport it will be again.
        transport: plain.
        payload: where aiohttp believes the body to be.
        due: how many bytes of the body are still to come; at least one.
        pool: where the buffers come from.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        payload: StreamReader,
        due: int,
        pool: BufferPool,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._payload = payload
        self._due = due
        self._pool = pool
        self._wanted = buffer_size(due)
        self._filling: bytearray | None = None
        self._filled = 0
        self._fast = False  # whether it came faster than it would be held back: worth a buffer
        self._ready: deque[bytes | memoryview] = deque()  # memoryview: a buffer, to be lent
        self._lent: deque[memoryview] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._hold_back: asyncio.TimerHandle | None = None
        self._paused = False
        self._ended = False
        self._loop = asyncio.get_running_loop()
        transport.set_protocol(self)
        transport.resume_reading()

    @property
    def complete(self) -> bool:
        """Whether all of the body has been received."""
        return not self._due

    async def receive(self) -> bytes | memoryview:
        """Return the next bytes, or ``b""`` when no more will come."""
        while len(self._lent) > 1:
            self._reclaim(self._lent.popleft())
        if self._paused and self._due:
            self._paused = False
            self._transport.resume_reading()
        while not self._ready and self._due and not self._ended:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._ready:
            return self.rest()
        buffer = self._ready.popleft()
        if isinstance(buffer, memoryview):
            self._lent.append(buffer)
        return buffer

    def rest(self) -> bytes:
        """Return a copy of all that has been received and not been asked for."""
        rest = b"".join(self._ready)
        while self._ready:
            self._reclaim(self._ready.popleft())
        if self._filling is not None and self._filled:
            rest += bytes(memoryview(self._filling)[: self._filled])
            self._filled = 0
        return rest

    def leave(self) -> None:
        """Give the transport back; nothing is received here any more."""
        if self._hold_back is not None:
            self._hold_back.cancel()
        self._transport.set_protocol(self._connection)
        if self.complete:
            self._connection.body_bypassed(self._payload)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Give all buffers back: nobody writes from them any more."""
        for buffer in (*self._lent, *self._ready, self._filling):
            self._reclaim(buffer)
        self._lent.clear()
        self._ready.clear()
        self._filling = None

    # --- called by the transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer room for what is due, and never for a byte behind the body."""
        if self._filling is None:
            large = self._pool.take(self._wanted) if self._fast else None
            self._filling = large or bytearray(_PIECE_BYTES)
        end = min(len(self._filling), self._filled + self._due)
        return memoryview(self._filling)[self._filled : end]

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of new bytes; hand on what is full."""
        self._filled += nbytes
        self._due -= nbytes
        assert self._filling is not None
        is_done = not self._due or self._filled == len(self._filling)
        if is_done and len(self._filling) > _PIECE_BYTES:
            self._lend()
        elif is_done:
            self._fast = True
            self._hand_on_copy()
        elif self._hold_back is None:
            self._hold_back = self._loop.call_later(HOLD_BACK_S, self._hold_back_no_longer)

    def eof_received(self) -> bool:
        """The client sends no more, but may still read the answer."""
        self._end()
        self._connection.eof_received()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _lend(self) -> None:
        assert self._filling is not None
        self._ready.append(memoryview(self._filling)[: self._filled])
        self._filling, self._filled = None, 0
        self._handed_on()

    def _hold_back_no_longer(self) -> None:
        self._hold_back = None
        self._fast = False
        if self._filled:
            self._hand_on_copy()

    def _hand_on_copy(self) -> None:
        assert self._filling is not None
        self._ready.append(bytes(memoryview(self._filling)[: self._filled]))
        self._reclaim(self._filling)  # a slow body keeps no buffer between its segments
        self._filling, self._filled = None, 0
        self._handed_on()

    def _reclaim(self, buffer: bytes | bytearray | memoryview | None) -> None:
        """Give a buffer back to the pool, if it came from there."""
        whole = buffer.obj if isinstance(buffer, memoryview) else buffer
        if isinstance(whole, bytearray) and len(whole) > _PIECE_BYTES:
            self._pool.give(whole)

    def _handed_on(self) -> None:
        if self._hold_back is not None:
            self._hold_back.cancel()
            self._hold_back = None
        # One buffer may be written and one be waiting; the socket waits beyond that. Of what
        # comes behind the body nothing may be read here.
        if not self._due or len(self._lent) + len(self._ready) > 1:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
