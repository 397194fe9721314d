"""One connection on which many commands are under way, for what each request does.

The library opens it, with all that URLs, TLS, passwords and Sentinel demand. But its clients
take a connection of their own for each command and much of the processor's time; here commands
of one turn of the event loop are written together, and answers come in the order of asking.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

# A server that says this is not, or no longer, the one to ask.
_ELSEWHERE = ("READONLY", "MASTERDOWN", "LOADING")


class Wire(asyncio.Protocol):
    """A connection. After `broken` it stays so.

    Args:
        connection: the library's; connected, and used by nobody else.
        timeout_s: how long an answer may take.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self.broken = False
        self._connection = connection
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader: Any = hiredis.Reader(encoding="utf-8", replyError=ResponseError)
        self._pack: Callable[[tuple[str, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
        self._asked: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        # Private, and watched by a test: only this way TLS and Sentinel stay the library's task.
        private: Any = connection
        self._transport: asyncio.Transport = private._writer.transport  # noqa: SLF001
        self._former: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def send(self, *words: str) -> asyncio.Future[Any]:
        """Send a command; commands are carried out in the order of these calls.

        Raises, when awaited:
            ResponseError: Redis refused it.
            RedisConnectionError, RedisTimeoutError: it may have been carried out or not.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.broken:
            future.set_exception(RedisConnectionError("the connection was lost"))
            return future
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(self._pack(words))
        now = self._loop.time()
        self._asked.append((future, now))
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._timeout_s, self._check_time)
        return future

    async def close(self) -> None:
        """Drop the connection."""
        self._break(RedisConnectionError("the connection was closed"))
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._answer(answer)
        except (hiredis.ProtocolError, IndexError) as error:
            self._break(RedisConnectionError(f"Redis sent what was not asked for: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(RedisConnectionError(f"the connection was lost: {exc or 'closed by Redis'}"))
        with contextlib.suppress(Exception):
            self._former.connection_lost(exc)

    def pause_writing(self) -> None:
        """Each request waits for its answer, so what is unsent stays little."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not self.broken:
            self._transport.write(b"".join(unsent))

    def _answer(self, answer: Any) -> None:
        future, _ = self._asked.popleft()
        is_error = isinstance(answer, ResponseError)
        if not future.done():  # whoever asked may have been cancelled
            if is_error:
                future.set_exception(answer)
            else:
                future.set_result(answer)
        if is_error and str(answer).startswith(_ELSEWHERE):
            self._break(RedisConnectionError(str(answer)))

    def _check_time(self) -> None:
        self._timer = None
        if not self._asked:
            return
        oldest = self._asked[0][1]
        if self._loop.time() < oldest + self._timeout_s:
            self._timer = self._loop.call_at(oldest + self._timeout_s, self._check_time)
        else:
            self._break(RedisTimeoutError("Redis does not answer"))

    def _break(self, error: Exception) -> None:
        if self.broken:
            return
        self.broken = True
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        for future, _ in self._asked:
            if not future.done():
                future.set_exception(error)
        self._asked.clear()


class WireHolder:
    """Keeps one wire, and makes a new one when it breaks.

    Args:
        make: returns a connection of the library that is not connected yet.
        timeout_s: how long an answer may take.
    """

    def __init__(self, make: Callable[[], Connection], timeout_s: float) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[Wire] | None = None

    async def get(self) -> Wire:
        """Return a wire that is not broken, as far as is known.

        All who ask while there is none wait for one attempt, and share its failure: one after
        the other they would wait for ever.
        """
        if self._wire is not None and not self._wire.broken:
            return self._wire
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="redis wire")
            self._connecting.add_done_callback(self._connected)
        return await asyncio.shield(self._connecting)

    async def close(self) -> None:
        """Drop the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._drop()

    async def _connect(self) -> Wire:
        await self._drop()
        connection = self._make()
        connection.retry = Retry(NoBackoff(), 0)  # whoever sends tries again
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._wire = Wire(connection, self._timeout_s)
        return self._wire

    def _connected(self, task: asyncio.Task[Wire]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # seen, even if all who asked were cancelled meanwhile

    async def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()
