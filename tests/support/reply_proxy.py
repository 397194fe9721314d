"""Passes connections on to a server, and loses its answers from a certain one on."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class ReplyProxy:
    """A proxy for Redis on loopback.

    Attributes:
        port: it listens on.
        lost: how many commands were passed on whose answers were lost.
    """

    def __init__(self, socket_path: str) -> None:
        self.port = 0
        self.lost = 0
        self._path = socket_path
        self._lose_from: int | None = None
        self._lose_how_many = 0
        self._passed = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose(self, number: int, how_many: int = 1) -> None:
        """Lose the answers of some scripts: the command is carried out, the connection breaks.

        Args:
            number: which script from now on is the first; 0 is the next one.
            how_many: of them.
        """
        self._passed = 0
        self._lose_from = number
        self._lose_how_many = how_many

    def _is_lost(self, command: bytes) -> bool:
        if self._lose_from is None or b"EVAL" not in command:
            return False
        number, self._passed = self._passed, self._passed + 1
        return self._lose_from <= number < self._lose_from + self._lose_how_many

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server, to_server = await asyncio.open_unix_connection(self._path)
        losing = asyncio.Event()
        pump = asyncio.create_task(self._pump(server, to_client, losing))
        try:
            while data := await client.read(65536):
                if self._is_lost(data):
                    losing.set()
                to_server.write(data)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            pump.cancel()
            to_client.transport.abort()
            to_server.transport.abort()
            self._tasks.discard(task)

    async def _pump(
        self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await server.read(65536):
            if losing.is_set():  # it was carried out, and nobody will know
                self.lost += 1
                break
            to_client.write(data)
        to_client.transport.abort()
