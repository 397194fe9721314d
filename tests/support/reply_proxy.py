"""Passes connections on to Redis, and breaks them at certain scripts."""

from __future__ import annotations

import asyncio

from .loopback_proxy import LoopbackProxy


class ReplyProxy(LoopbackProxy):
    """A proxy for Redis.

    Args:
        socket_path: where Redis listens.

    Attributes:
        lost: how many scripts were carried out whose answers were lost.
    """

    def __init__(self, socket_path: str) -> None:
        super().__init__()
        self.lost = 0
        self._path = socket_path
        self._lose_from: int | None = None
        self._lose_how_many = 0
        self._carried_out = True
        self._passed = 0

    def lose(self, number: int, how_many: int = 1, *, carried_out: bool = True) -> None:
        """Break the connection at some scripts.

        Args:
            number: which script from now on is the first; 0 is the next one.
            how_many: of them.
            carried_out: whether only their answers get lost, or they themselves.
        """
        self._passed = 0
        self._lose_from = number
        self._lose_how_many = how_many
        self._carried_out = carried_out

    def _is_lost(self, command: bytes) -> bool:
        if self._lose_from is None or b"EVAL" not in command:
            return False
        number, self._passed = self._passed, self._passed + 1
        return self._lose_from <= number < self._lose_from + self._lose_how_many

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_unix_connection(self._path)
        losing = asyncio.Event()
        pump = asyncio.create_task(self._pump(server, to_client, losing))
        try:
            while data := await client.read(self.piece_bytes):
                if self._is_lost(data):
                    if not self._carried_out:
                        break
                    losing.set()
                to_server.write(data)
        finally:
            pump.cancel()
            to_client.transport.abort()
            to_server.transport.abort()

    async def _pump(
        self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await server.read(self.piece_bytes):
            if losing.is_set():  # it was carried out, and nobody will know
                self.lost += 1
                break
            to_client.write(data)
        to_client.transport.abort()
