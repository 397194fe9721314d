"""The connection to Redis: one server, Sentinel or Cluster; whatever fails is one error of ours.

Only this module, `redis_address` and `redis_wakes` know the library.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..protocol.errors import StoreUnavailable
from ..redis_client.address import RedisOptions
from .redis_scripts import Script
from .redis_wire import WireHolder

_log = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST_VERSION: Final = (6, 2)
# What is sent while Redis restarts is sent again after these pauses.
_PAUSES_S: Final = (0.05,)
_CHECK_MS = 60_000
# More of them at once would only wait inside Redis instead of here.
_AT_ONCE = 32

# OSError includes what sockets and timeouts raise.
_TROUBLE = (RedisError, RedisClusterException, OSError)
# What the library's client of a cluster raises, too, while it learns anew which nodes there are.
_MISSTEPS = (AttributeError, LookupError)


class _Mapped:
    """Turn whatever the library raises into StoreUnavailable; never into 'not found'."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raise the error of ours for the one of the library."""
        if error is None:
            self._link.note_trouble(None)
        elif isinstance(error, _TROUBLE) or (
            self._link.is_cluster and isinstance(error, _MISSTEPS)
        ):
            self._link.note_trouble(error)
            raise StoreUnavailable from error


class RedisLink:
    """Sends commands and scripts.

    Args:
        options: where Redis is, and how it is used.
    """

    def __init__(self, options: RedisOptions) -> None:
        self._address = options.address
        self._timeout_s = options.timeout_s
        self.prefix = options.prefix
        self._channels = f"{options.prefix}node:"
        self._clients: list[Redis | RedisCluster] = []
        self._client: Redis | RedisCluster | None = None
        self._wires: WireHolder | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._mapped = _Mapped(self)
        self._in_trouble = False
        self.note: Callable[[float], None] | None = None  # how long each script took

    async def open(self) -> None:
        """Connect and look at the server.

        Raises:
            StoreUnavailable: it cannot be used; the sentence says why.
        """
        self._clients = self._address.clients(self._timeout_s)
        self._client = self._clients[0]
        if isinstance(self._client, Redis):
            self._wires = WireHolder(self._client.connection_pool.make_connection, self._timeout_s)
        try:
            await self._client.initialize()
            info = await self._info("server")
        except _TROUBLE as error:
            await self.close()
            raise StoreUnavailable(f"Redis at {self._address} cannot be used: {error}") from error
        version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
        if version < OLDEST_VERSION:
            await self.close()
            least = ".".join(map(str, OLDEST_VERSION))
            raise StoreUnavailable(
                f"Redis at {self._address} is version {info['redis_version']}; "
                f"at least {least} is needed"
            )

    async def close(self) -> None:
        """Close all connections."""
        if self._wires is not None:
            await self._wires.close()
        self._client = None
        while self._clients:
            await self._clients.pop().aclose()

    async def unsafe(self) -> list[str]:
        """Return what about the server's settings endangers uploads, a sentence each."""
        try:
            settings = await self._settings("maxmemory-policy", "appendonly")
        except ResponseError:
            sentence = "make sure that maxmemory-policy is noeviction and appendonly is yes"
            return [f"Redis does not let us see its settings (CONFIG GET): {sentence}"]
        except _TROUBLE as error:
            raise StoreUnavailable from error
        sentences = []
        if (policy := settings.get("maxmemory-policy")) != "noeviction":
            sentences.append(
                f"maxmemory-policy of Redis is {policy}: it may throw records of uploads away; "
                "set it to noeviction"
            )
        if settings.get("appendonly") != "yes":
            sentences.append("appendonly of Redis is off: a restart loses records; set it to yes")
        return sentences

    async def run(self, script: Script, upload_id: str, *args: str) -> list[str]:
        """Run a script on the keys of an upload and return its answer.

        A caller that is cancelled may be sure that it is run before what is sent later.
        """
        key = self._key(upload_id)
        words = ("3", key, f"{key}:claim", f"{key}:gone", self._channels, upload_id, *args)
        began = time.monotonic()
        with self._mapped:
            try:
                answer = await self._send("EVALSHA", script.sha, *words)
            except ResponseError as error:
                if not str(error).startswith("NOSCRIPT") and not isinstance(error, NoScriptError):
                    raise
                # Redis was restarted, or its scripts were flushed.
                answer = await self._send("EVAL", script.text, *words)
        if self.note is not None:
            self.note(time.monotonic() - began)
        return cast("list[str]", answer)

    async def fields(self, upload_id: str, *names: str) -> list[str | None]:
        """Return fields of the hash of an upload; None for those that are not there."""
        with self._mapped:
            answer = await self._send("HMGET", self._key(upload_id), *names)
        return cast("list[str | None]", answer)

    def _key(self, upload_id: str) -> str:
        return f"{self.prefix}{{{upload_id}}}"

    async def _send(self, *words: str) -> Any:
        """Send a command that may be sent twice; if the connection breaks, do."""
        if self._wires is None:
            async with self._room:
                return await to_end(_awaitable(self._connected.execute_command(*words)))
        for pause_s in _PAUSES_S:
            try:
                return await (await self._wires.get()).send(*words)
            except (RedisConnectionError, RedisTimeoutError):
                await asyncio.sleep(pause_s)
        return await (await self._wires.get()).send(*words)

    async def command(self, *words: str | float) -> Any:
        """Send any command on one key of its own."""
        with self._mapped:
            async with self._room:
                return await _awaitable(self._connected.execute_command(*words))

    async def check(self) -> None:
        """Write something, which a server that is full, or a replica, does not take.

        Raises:
            StoreUnavailable
        """
        await self.command("SET", f"{self.prefix}check", "1", "PX", _CHECK_MS)

    def pubsub(self) -> PubSub:
        """Return a connection of its own for listening to channels."""
        client = self._connected
        if isinstance(client, RedisCluster):
            return client.pubsub(node=client.get_primaries()[0])
        return client.pubsub()

    @property
    def mapped(self) -> _Mapped:
        """The context that turns errors of the library into ours."""
        return self._mapped

    @property
    def is_cluster(self) -> bool:
        """Whether many servers share the keys."""
        return isinstance(self._client, RedisCluster)

    @property
    def in_trouble(self) -> bool:
        """Whether the last command failed."""
        return self._in_trouble

    def note_trouble(self, error: BaseException | None) -> None:
        """Log when trouble begins and when it ends, not each request that has it."""
        if (error is not None) is self._in_trouble:
            return
        self._in_trouble = error is not None
        if error is not None:
            reason = f"{type(error).__name__}: {error}"
            _log.warning("RedisUnavailable", extra={"redis": str(self._address), "reason": reason})
        else:
            _log.info("RedisAvailable", extra={"redis": str(self._address)})

    @property
    def _connected(self) -> Redis | RedisCluster:
        if self._client is None:
            raise StoreUnavailable
        return self._client

    async def _info(self, section: str) -> dict[str, Any]:
        client = self._connected
        if isinstance(client, RedisCluster):
            node = client.get_primaries()[0]
            return await client.info(section, target_nodes=node)
        return cast("dict[str, Any]", await _awaitable(client.info(section)))

    async def _settings(self, *names: str) -> dict[str, str]:
        client = self._connected
        settings: dict[str, str] = {}
        for name in names:
            if isinstance(client, RedisCluster):
                node = client.get_primaries()[0]
                found = await client.config_get(name, target_nodes=node)
            else:
                found = await _awaitable(client.config_get(name))
            settings.update(cast("dict[str, str]", found))
        return settings


def _awaitable(answer: Any) -> Awaitable[Any]:
    """The library's types cannot say that its asyncio client always returns awaitables."""
    return cast("Awaitable[Any]", answer)


async def to_end(work: Awaitable[T]) -> T:
    """Do all of `work`, even if the caller is cancelled meanwhile; it hears of that afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # seen; the cancellation is what the caller gets
        raise


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; the library swallows some cancellations."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
