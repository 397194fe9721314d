"""A TCP proxy on loopback that makes every client as slow as on a real network."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

_PIECE_BYTES = 16 * 1024
_BUFFER_BYTES = 64 * 1024  # of the kernel: what clients believe to have sent


class SlowProxy:
    """Passes connections on, each at most so fast towards the server.

    Args:
        target_port: of the server, on loopback.
        bytes_per_s: of each connection.

    Attributes:
        port: it listens on.
    """

    def __init__(self, target_port: int, *, bytes_per_s: float) -> None:
        self.port = 0
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_PIECE_BYTES)
        self.port = listener.getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    @property
    def url(self) -> str:
        """The creation URL behind it."""
        return f"http://127.0.0.1:{self.port}/files/"

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._pass(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _pass(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Pass both ways until one side ends; then end the other one."""
        with contextlib.suppress(ConnectionError), contextlib.closing(to_client):
            server, to_server = await asyncio.open_connection("127.0.0.1", self._target_port)
            with contextlib.closing(to_server):
                ways = [
                    asyncio.create_task(self._pump(client, to_server, self._bytes_per_s)),
                    asyncio.create_task(self._pump(server, to_client, None)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_per_s: float | None
    ) -> None:
        while data := await reader.read(_PIECE_BYTES):
            writer.write(data)
            await writer.drain()
            if bytes_per_s is not None:
                await asyncio.sleep(len(data) / bytes_per_s)
