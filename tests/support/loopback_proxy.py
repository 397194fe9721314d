"""What all proxies of the tests share: they accept connections on loopback, and end them."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"


class LoopbackProxy(abc.ABC):
    """Accepts connections; what passes on them is up to `serve`.

    Attributes:
        port: it listens on.
        piece_bytes: how much of a connection is read ahead.
        kernel_bytes: of the kernel, which clients believe to have sent; None: as usual.
    """

    piece_bytes = 64 * 1024
    kernel_bytes: int | None = None

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @abc.abstractmethod
    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection to its end, or until this is cancelled; close it in any case."""

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        if self.kernel_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.kernel_bytes)
        listener.bind((HOST, 0))
        self._server = await asyncio.start_server(
            self._accept, sock=listener, limit=self.piece_bytes
        )
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
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await self.serve(client, to_client)
