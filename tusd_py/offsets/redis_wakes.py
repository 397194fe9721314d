"""Messages between nodes: `want` wakes a holder that is to leave, `free` wakes who waits.

They may get lost: whoever waits asks again from time to time, and so does a holder that
cannot listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio.client import PubSub

from ..protocol.errors import StoreUnavailable
from ..protocol.model import UploadId
from .redis_link import RedisLink, ended

_PING_S = 5.0
_RECONNECT_S = 0.2


class Wakes:
    """Listens on the channel of this node.

    Args:
        link: to Redis.
        node: the name of this node.
        wanted: called with an upload, and the holder that is to leave it.
        freed: called with the upload that has become free.
        missed: called when messages may have got lost.
    """

    def __init__(
        self,
        link: RedisLink,
        node: str,
        *,
        wanted: Callable[[UploadId, str], None],
        freed: Callable[[UploadId], None],
        missed: Callable[[], None],
    ) -> None:
        self._link = link
        self._channel = f"{link.prefix}node:{node}"
        self._wanted = wanted
        self._freed = freed
        self._missed = missed
        self._task: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    @property
    def listening(self) -> bool:
        """Whether messages come through."""
        return self._subscribed.is_set()

    async def open(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name="redis wakes")
        subscribed = asyncio.create_task(self._subscribed.wait())
        await asyncio.wait([self._task, subscribed], return_when=asyncio.FIRST_COMPLETED)
        subscribed.cancel()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            try:
                with self._link.mapped:
                    await self._listen()
            except StoreUnavailable:
                self._subscribed.clear()
                self._missed()
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        pubsub = self._link.pubsub()
        try:
            await pubsub.subscribe(self._channel)
            while True:
                await self._hear_next(pubsub)
        finally:
            self._subscribed.clear()
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _hear_next(self, pubsub: PubSub) -> None:
        message = await pubsub.get_message(timeout=_PING_S)
        if message is None:  # silence, or a connection that leads nowhere
            await pubsub.ping()
            message = await pubsub.get_message(timeout=_PING_S)
            if message is None:
                raise StoreUnavailable
        if message["type"] == "subscribe":  # again after each reconnection
            self._subscribed.set()
            self._missed()
        elif message["type"] == "message":
            self._hear(str(message["data"]))

    def _hear(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "want":
            holder, _, upload_id = rest.partition(" ")
            self._wanted(UploadId(upload_id), holder)
        elif word == "free":
            self._freed(UploadId(rest))
