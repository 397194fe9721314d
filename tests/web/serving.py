"""Connections of ours in this very event loop, and the other end of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tusd_py import Settings, Stores, create_app
from tusd_py.data.memory import MemoryData
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.web.connection import ConnectionSite
from tusd_py.web.handlers import defer_continue

V = {"Tus-Resumable": "1.0.0"}
PATCH = V | {"Content-Type": "application/offset+octet-stream"}

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def memory_app(settings: Settings | None = None, **options: Any) -> web.Application:
    """Return an application whose uploads are in memory."""
    return create_app(settings, stores=Stores(MemoryOffsets(), MemoryData()), **options)


@dataclass(frozen=True)
class Peer:
    """The client's end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Send each piece as a segment of its own: the server reads it before the next."""
        for piece in pieces:
            self.writer.write(piece)
            for _ in range(3):
                await asyncio.sleep(0)  # a turn of the loop, in which the other end reads

    async def status(self) -> int:
        """Return the status of the next answer, its head read."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    async def answer(self) -> tuple[int, bytes]:
        """Return status and body of the next answer, which has a Content-Length or no body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line for line in head.split("\r\n") if line.startswith("Content-Length: ")]
        length = int(lengths[0].partition(": ")[2]) if lengths else 0
        return int(head.split(" ", 2)[1]), await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        """Return all that comes until the server closes, however it does."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    """Connect to a port of loopback, for ten seconds at most."""
    async with asyncio.timeout(10):
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        try:
            yield peer
        finally:
            await peer.close()


@contextlib.asynccontextmanager
async def serving(app: web.Application, **options: Any) -> AsyncIterator[int]:
    """Serve an application on our kind of connections, with their options; yields the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1024)
        site = ConnectionSite(runner, sock, auto_decompress=False, lingering_time=0, **options)
        await site.start()
        try:
            yield sock.getsockname()[1]
        finally:
            await runner.cleanup()


@contextlib.asynccontextmanager
async def handling(handle: Handle, **options: Any) -> AsyncIterator[int]:
    """Serve one handler for everything, with options for connections; yields the port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle, expect_handler=defer_continue)
    async with serving(app, **options) as port:
        yield port
