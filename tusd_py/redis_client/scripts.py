"""Scripts on Redis for the cold paths: one call, one step, one kind of error."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, cast

from redis.asyncio import Redis, RedisCluster
from redis.commands.core import AsyncScript
from redis.exceptions import RedisClusterException, RedisError

from ..protocol.errors import StoreUnavailable
from .address import RedisOptions

_TROUBLE = (RedisError, RedisClusterException, OSError)


class ScriptRunner:
    """Runs Lua scripts whose keys all begin with one that has a hash tag.

    Args:
        options: where Redis is, and how it is used.
        name: of what the scripts keep; all keys begin with ``<prefix>{<name>}``.
    """

    def __init__(self, options: RedisOptions, name: str) -> None:
        self._options = options
        self.root = f"{options.prefix}{{{name}}}"
        self._clients: list[Redis | RedisCluster] = []
        self._scripts: dict[str, AsyncScript] = {}

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreUnavailable: it cannot be used; the sentence says why.
        """
        self._clients = self._options.address.clients(self._options.timeout_s)
        try:
            await self._clients[0].initialize()
        except _TROUBLE as error:
            await self.close()
            place = self._options.address
            raise StoreUnavailable(f"Redis at {place} cannot be used: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        self._scripts.clear()
        while self._clients:
            await self._clients.pop().aclose()

    async def run(self, script: str, *args: str | float) -> Any:
        """Run a script with the root as KEYS[1]; it is loaded when Redis does not know it.

        Raises:
            StoreUnavailable: it may have been run or not.
        """
        try:
            if script not in self._scripts:
                self._scripts[script] = self._client.register_script(script)
            answer = self._scripts[script](keys=[self.root], args=list(args))
            return await cast("Awaitable[Any]", answer)
        except _TROUBLE as error:
            raise StoreUnavailable from error

    async def command(self, *words: str | float) -> Any:
        """Send a command on a key that begins with the root.

        Raises:
            StoreUnavailable
        """
        try:
            return await cast("Awaitable[Any]", self._client.execute_command(*words))
        except _TROUBLE as error:
            raise StoreUnavailable from error

    @property
    def _client(self) -> Redis | RedisCluster:
        if not self._clients:
            raise StoreUnavailable
        return self._clients[0]


def pairs(answer: Sequence[str]) -> dict[str, str]:
    """Return what HGETALL answers within a script as a mapping."""
    return dict(zip(answer[::2], answer[1::2], strict=True))
