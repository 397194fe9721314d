"""A JSON Web Key Set at a URL: fetched when it is needed, kept, and fetched again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from ..protocol.errors import AuthorizationUnavailable
from .keys import KeySet

_log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_MOST_BYTES = 256 * 1024
# As old as this, it is fetched anew while the old one still serves ...
_FRESH_S = 600.0
# ... and this old it serves no longer: a key may have been withdrawn for a reason.
_USABLE_S = 24 * 3600.0
# A key that is not in it may be new; who makes up keys does not make us ask more often.
_ASK_EVERY_S = 60.0
# After a failure, while there is nothing to go by.
_RETRY_AFTER_S = 5.0


class KeysAtUrl:
    """Implements `Keys` for a URL.

    Args:
        url: of the set; nothing is fetched before the first token comes.
        clock: seconds that only grow.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._set: KeySet | None = None
        self._fetched_at = 0.0
        self._asked_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, kid: object) -> Sequence[Any]:
        keys = self._usable
        if keys is None:
            await self._fetch(at_most_every_s=_RETRY_AFTER_S)
            keys = self._usable
            if keys is None:
                raise AuthorizationUnavailable
        elif self._clock() - self._fetched_at >= _FRESH_S:
            self._begin(at_most_every_s=_ASK_EVERY_S)
        found = keys.find(algorithm, kid)
        if not found and kid is not None:
            await self._fetch(at_most_every_s=_ASK_EVERY_S)
            found = (self._usable or keys).find(algorithm, kid)
        return found

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    @property
    def _usable(self) -> KeySet | None:
        return self._set if self._clock() - self._fetched_at < _USABLE_S else None

    async def _fetch(self, *, at_most_every_s: float) -> None:
        """Wait for the set to be fetched, unless that was tried just now."""
        if (task := self._begin(at_most_every_s=at_most_every_s)) is not None:
            await asyncio.wait([task])  # others wait for it too: it outlives this request

    def _begin(self, *, at_most_every_s: float) -> asyncio.Task[None] | None:
        if self._fetching is not None:
            return self._fetching
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < at_most_every_s:
            return None
        self._asked_at = now
        self._fetching = asyncio.create_task(self._replace(), name="fetch key set")
        self._fetching.add_done_callback(self._ended)
        return self._fetching

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _replace(self) -> None:
        try:
            self._set = KeySet(await _get(self._url))
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            _log.warning("KeySetNotFetched", extra={"url": self._url, "reason": reason})
        else:
            self._fetched_at = self._clock()


async def _get(url: str) -> bytes:
    """Return what is at the URL; redirects lead to places that nobody configured."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:
            raise ValueError(f"was answered with {response.status}")
        content = b""
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > _MOST_BYTES:
                raise ValueError(f"has more than {_MOST_BYTES} bytes")
        return content
