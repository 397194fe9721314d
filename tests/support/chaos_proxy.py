"""A TCP proxy on loopback that breaks connections the way bad networks do, at exact points."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .loopback_proxy import HOST, LoopbackProxy
from .receive_queue import wait_read
from .requests_passing import PassingRequest, Piece, RequestReader

_READ_BYTES = 64 * 1024
_WAIT_S = 30.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, and no time to send the rest


class Ending(enum.Enum):
    """What becomes of a connection that is cut.

    Unless it is reset, the server has read by then what was passed on.
    """

    FIN = enum.auto()  # closed in order
    RST = enum.auto()  # reset: bytes may be lost on the way
    SILENCE = enum.auto()  # half-open: stays there, and nothing passes either way any more
    HOLD = enum.auto()  # nothing passes to the server until the client ends the connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Cut a connection when that many bytes of bodies have passed on it."""

    after_bytes: int
    ending: Ending


@dataclass(frozen=True, kw_only=True, slots=True)
class CutOff:
    """A request that was cut.

    Attributes:
        request: as it was at that time.
        ending: what became of its connection.
    """

    request: PassingRequest
    ending: Ending

    @property
    def reached(self) -> int:
        """The offset of the upload behind the last byte that was passed on."""
        return self.request.offset + self.request.body_bytes


class ChaosProxy(LoopbackProxy):
    """Passes connections on to a server on loopback, and cuts them as planned.

    Args:
        target_port: of the server.
        cuts: the next one is for the next connection that carries a body; None lets that
            connection live, as does the end of the plan.

    Attributes:
        requests: all that were passed on, in the order of their heads.
        cut_offs: those that were cut, in order.
    """

    def __init__(self, target_port: int, cuts: Iterable[Cut | None] = ()) -> None:
        super().__init__()
        self.requests: list[PassingRequest] = []
        self.cut_offs: list[CutOff] = []
        self._target_port = target_port
        self._cuts = iter(cuts)
        self._links: set[_Link] = set()
        self._news = asyncio.Condition()

    def url_of(self, url: str) -> str:
        """Return the URL of the server as it is through this proxy."""
        return re.sub(r"(?<=://)[^/]+", f"{HOST}:{self.port}", url)

    def silence(self) -> None:
        """Make all connections there are now half-open; new ones work."""
        for link in self._links:
            link.silent = True

    def drop(self) -> None:
        """End all connections there are now; new ones work."""
        for link in list(self._links):
            link.end()

    async def wait_cut_offs(self, count: int = 1) -> CutOff:
        """Wait until that many requests have been cut; return the last of them."""
        async with asyncio.timeout(_WAIT_S), self._news:
            await self._news.wait_for(lambda: len(self.cut_offs) >= count)
        return self.cut_offs[count - 1]

    async def wait_requests(self, count: int) -> None:
        """Wait until that many requests have begun."""
        async with asyncio.timeout(_WAIT_S), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)

    def next_cut(self) -> Cut | None:
        """Return what is planned for the next connection that carries a body."""
        return next(self._cuts, None)

    async def note_request(self, request: PassingRequest) -> None:
        """Tell whoever waits for it."""
        async with self._news:
            self.requests.append(request)
            self._news.notify_all()

    async def note_cut_off(self, request: PassingRequest, ending: Ending) -> None:
        """Tell whoever waits for it."""
        async with self._news:
            self.cut_offs.append(CutOff(request=replace(request), ending=ending))
            self._news.notify_all()

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = _Link(self, client, to_client)
        self._links.add(link)
        try:
            await link.run(self._target_port)
        finally:
            self._links.discard(link)


class _Link:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(
        self, proxy: ChaosProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.silent = False
        self._proxy = proxy
        self._client = reader
        self._to_client = writer
        self._to_server: asyncio.StreamWriter | None = None
        self._over = asyncio.Event()
        self._planned = False
        self._cut: Cut | None = None
        self._passed = 0

    async def run(self, port: int) -> None:
        try:
            server, self._to_server = await asyncio.open_connection(HOST, port)
            # So that `drain` returns when the kernel has all of it.
            self._to_server.transport.set_write_buffer_limits(0)
            self._to_client.transport.set_write_buffer_limits(0)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump_up(self._to_server))
                pumps.create_task(self._pump_down(server))
        finally:
            self.end()

    def end(self) -> None:
        """Drop both connections."""
        self._over.set()
        self._to_client.transport.abort()
        if self._to_server is not None:
            self._to_server.transport.abort()

    async def _pump_up(self, to_server: asyncio.StreamWriter) -> None:
        requests = RequestReader()
        try:
            while data := await self._client.read(_READ_BYTES):
                for piece in requests.split(data):
                    await self._pass_on(piece, to_server)
            await self._pass_end(to_server)
        except ConnectionError:
            await self._close()

    async def _pass_on(self, piece: Piece, to_server: asyncio.StreamWriter) -> None:
        data, request = piece.data, piece.request
        if not piece.is_body:
            await self._proxy.note_request(request)
        elif not self._planned:
            self._planned, self._cut = True, self._proxy.next_cut()
        ending = None
        if piece.is_body and self._cut is not None:
            room = self._cut.after_bytes - self._passed
            if len(data) >= room:
                data, ending = data[:room], self._cut.ending
        await self._wait_if_silent()
        # From here on no answer gets through either, unless the client decides about the end.
        self.silent = ending not in (None, Ending.HOLD)
        to_server.write(data)
        await to_server.drain()
        if piece.is_body:
            self._passed += len(data)
            request.body_bytes += len(data)
        if ending is not None:
            await self._break(request, ending, to_server)

    async def _break(
        self, request: PassingRequest, ending: Ending, to_server: asyncio.StreamWriter
    ) -> None:
        if ending is Ending.RST:
            self._reset()
        else:
            # What the server has not read by then does not count for it, if somebody asks.
            peer, mine = to_server.get_extra_info("peername"), to_server.get_extra_info("sockname")
            await wait_read(peer[1], mine[1])
        if ending in (Ending.FIN, Ending.RST):
            self._over.set()
        await self._proxy.note_cut_off(request, ending)
        if ending is Ending.HOLD:
            while await self._client.read(_READ_BYTES):
                pass
        await self._wait_if_silent()
        raise ConnectionAbortedError

    async def _pump_down(self, server: asyncio.StreamReader) -> None:
        try:
            while data := await server.read(_READ_BYTES):
                await self._wait_if_silent()
                self._to_client.write(data)
                await self._to_client.drain()
            await self._pass_end(self._to_client)
        except ConnectionError:
            await self._close()

    async def _pass_end(self, writer: asyncio.StreamWriter) -> None:
        await self._wait_if_silent()
        if not writer.is_closing():
            with contextlib.suppress(OSError):  # it may be gone already
                writer.write_eof()

    async def _wait_if_silent(self) -> None:
        if self.silent:
            await self._over.wait()
            raise ConnectionAbortedError

    async def _close(self) -> None:
        """Close what is still open; what was written is sent before."""
        if self.silent:
            await self._over.wait()
        self._to_client.close()
        if self._to_server is not None:
            self._to_server.close()

    def _reset(self) -> None:
        for writer in (self._to_client, self._to_server):
            if writer is None:
                continue
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


def cuts_every(
    low_bytes: int, high_bytes: int, *, seed: int, endings: Sequence[Ending]
) -> Iterator[Cut]:
    """Yield cuts for ever, each after a random number of bytes; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    while True:
        after_bytes = chance.randint(low_bytes, high_bytes)
        yield Cut(after_bytes=after_bytes, ending=chance.choice(endings))
