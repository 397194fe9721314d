"""A TCP proxy on loopback that makes every client as slow as on a real network."""

from __future__ import annotations

import asyncio
import contextlib

from .loopback_proxy import HOST, LoopbackProxy


class SlowProxy(LoopbackProxy):
    """Passes connections on, each at most so fast towards the server.

    Args:
        target_port: of the server, on loopback.
        bytes_per_s: of each connection.
    """

    piece_bytes = 16 * 1024
    kernel_bytes = 64 * 1024

    def __init__(self, target_port: int, *, bytes_per_s: float) -> None:
        super().__init__()
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s

    @property
    def url(self) -> str:
        """The creation URL behind it."""
        return f"http://{HOST}:{self.port}/files/"

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Pass both ways until one side ends; then end the other one."""
        with contextlib.closing(to_client):
            server, to_server = await asyncio.open_connection(HOST, self._target_port)
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
        while data := await reader.read(self.piece_bytes):
            writer.write(data)
            await writer.drain()
            if bytes_per_s is not None:
                await asyncio.sleep(len(data) / bytes_per_s)
