"""The fast lane: a large body stays in the kernel until whoever stores it takes it from there.

aiohttp's stream costs a new `bytes` for every segment and several calls for each of them. Of a
body of known length on a plain socket nothing has to be parsed: the transport is paused, and what
has come is told by its number of bytes, without being read. While it goes to the disk, in a
thread, more of it comes into the socket: that is the only buffer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable

from aiohttp import StreamReader

from ..interfaces import SHOWN_BYTES, Chunk
from .connection import Connection
from .sockets import duplicate, unread_bytes

# What is less is read at once: that is cheaper than a hop to a thread, even shared with others.
READ_BYTES = 64 * 1024

# So much is worth it in any case. (UNIX sockets hold less, and tell of every byte.)
WORTH_BYTES = 256 * 1024

# Between two chunks limits, progress and whoever wants the upload have their turn; on a slow disk
# not even so much is taken at a time.
MOST_BYTES = 8 * 1024 * 1024
TURN_S = 0.05

# Less is handed on once in so long.
HOLD_BACK_S = 0.05


class _Source:
    """A duplicate of a socket, and the waiting for what comes there."""

    def __init__(self, original: socket.socket) -> None:
        self.sock = duplicate(original)
        self._low_water = 1
        self._readable: asyncio.Future[None] | None = None

    async def wait(self, low_water: int, timeout_s: float | None) -> None:
        """Wait until so many bytes are there, or nothing more will come, or for so long."""
        self.set_low_water(low_water)
        loop = asyncio.get_running_loop()
        self._readable = loop.create_future()
        loop.add_reader(self.sock, self.wake)
        timer = None if timeout_s is None else loop.call_later(timeout_s, self.wake)
        try:
            await self._readable
        finally:
            loop.remove_reader(self.sock)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """End the waiting."""
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def set_low_water(self, count: int) -> None:
        """Have the socket count as readable when so many bytes are there."""
        if count != self._low_water:
            self._low_water = count
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def close(self) -> None:
        """Leave the socket to its owner."""
        self.set_low_water(1)
        self.sock.close()


class _Unread:
    """Implements `Unread`."""

    __slots__ = ("_sock", "_until", "most", "taken")

    def __init__(self, sock: socket.socket, most: int) -> None:
        self._sock = sock
        self._until = 0.0
        self.most = most
        self.taken = 0

    def read_into(self, buffer: memoryview) -> int:
        return self._take(lambda left: self._sock.recv_into(buffer[:left]))

    def splice_into(self, pipe: int) -> int:
        fd, flags = self._sock.fileno(), os.SPLICE_F_NONBLOCK
        return self._take(lambda left: os.splice(fd, pipe, left, flags=flags))

    def _take(self, some: Callable[[int], int]) -> int:
        left = self.most - self.taken
        if not self.taken:  # the time in which it waited for a thread does not count
            self._until = time.monotonic() + TURN_S
        elif not left or time.monotonic() > self._until:
            return 0
        try:
            count = some(left)
        except BlockingIOError:
            return 0
        self.taken += count
        return count


class DirectLane:
    """Tells what has come of the rest of one body.

    Args:
        connection: whose body it is.
        transport: plain; not reading until the lane is left.
        payload: where aiohttp believes the body to be.
        due: how many bytes of the body are still to come; at least one.
        shown: how many have come as `bytes` before.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        payload: StreamReader,
        due: int,
        shown: int,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._payload = payload
        self._due = due
        self._loop = asyncio.get_running_loop()
        self._hold_until = self._loop.time() + HOLD_BACK_S
        self._source = _Source(transport.get_extra_info("socket"))
        transport.pause_reading()
        connection.on_lost = self._lose
        self._to_show = SHOWN_BYTES - shown
        self._handed_on: _Unread | None = None
        self._ended = False
        self._last_bytes: int | None = None

    @property
    def complete(self) -> bool:
        """Whether all of the body has been taken."""
        return self._due == (0 if self._handed_on is None else self._handed_on.taken)

    async def receive(self) -> Chunk:
        """Return the next bytes, or ``b""`` when no more will come."""
        self._look_back()
        if self._last_bytes is not None:
            self._hold_until = 0.0
        while self._due and not self._ended:
            there = self._there()
            enough = min(self._due, WORTH_BYTES)
            hold_s = self._hold_until - self._loop.time()
            if there >= enough or (there and hold_s <= 0):
                return self._hand_on(there)
            if hold_s > 0:
                await self._source.wait(enough, hold_s)
                self._hold_until = 0.0
            else:
                await self._source.wait(1, None)
                if not self._ended and not self._there() and (odd := self._read_odd()):
                    return odd
        return b""

    def rest(self) -> Chunk:
        """Return some of what had come when this was first asked for."""
        self._look_back()
        there = self._there()
        if self._last_bytes is None:  # a client that goes on sending would have us go on for ever
            self._last_bytes = there
        there = min(there, self._last_bytes)
        if not there:
            return b""
        chunk = self._hand_on(there, there)
        if isinstance(chunk, bytes):
            self._last_bytes -= len(chunk)
        return chunk

    def leave(self) -> None:
        """Give the socket back; nothing is received here any more."""
        self._connection.on_lost = None
        self._source.close()
        if self.complete:
            self._connection.body_bypassed(self._payload)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _there(self) -> int:
        """Return how many bytes of the body have come; of what is behind it, none."""
        return min(unread_bytes(self._source.sock), self._due)

    def _hand_on(self, there: int, most: int = MOST_BYTES) -> Chunk:
        self._hold_until = self._loop.time() + HOLD_BACK_S
        if there < READ_BYTES or self._to_show > 0:
            read = self._source.sock.recv(min(there, READ_BYTES))
            self._due -= len(read)
            self._to_show -= len(read)
            return read
        self._handed_on = _Unread(self._source.sock, min(most, self._due))
        return self._handed_on

    def _read_odd(self) -> bytes:
        """Read where the socket is readable without a byte: at its end, or where one is urgent."""
        try:
            read = self._source.sock.recv(min(self._due, READ_BYTES))
        except BlockingIOError:
            return b""
        except OSError:
            read = b""
        self._ended = not read
        self._due -= len(read)
        return read

    def _look_back(self) -> None:
        """Take note of what was taken of the last chunk."""
        if self._handed_on is not None:
            taken, self._handed_on = self._handed_on.taken, None
            self._due -= taken
            if self._last_bytes is not None:
                self._last_bytes = max(0, self._last_bytes - taken)

    def _lose(self) -> None:
        """The connection has been given up, and the duplicate must not keep it alive."""
        self._ended = True
        self._source.wake()
