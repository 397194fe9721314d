"""Hooks that are requests to one URL, as tusd makes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)
from yarl import URL

from ..interfaces import HookEvent, HookReply, HookType
from ..protocol.errors import HookUnavailable
from .payload import HookError, format_payload, parse_reply
from .signing import Signer

RECEIVER = "http"

_JSON = "application/json"
CONNECTIONS = 100
_LONGEST_BACKOFF_S = 30.0
_READ_BYTES = 16 * 1024
# What the request itself decides about, and what proves its sender.
OUR_HEADERS = frozenset(
    {
        *("Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding"),
        *("Connection", "Keep-Alive", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect"),
        *("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How an endpoint is called.

    Attributes:
        url: http or https; it comes from the operator, never from a client.
        attempts: in all, for one event.
        backoff_s: before the second attempt; then twice as long each time, with some jitter.
        attempt_timeout_s: for one attempt.
        timeout_s: for all of them together.
        reply_bytes: the longest reply.
        forward: names of request headers that are sent along, in canonical form.
    """

    url: str
    attempts: int = 3
    backoff_s: float = 1.0
    attempt_timeout_s: float = 15.0
    timeout_s: float = 15.0
    reply_bytes: int = 5120
    forward: Collection[str] = ()


class _TryAgain(Exception):
    """The endpoint may be able to answer later."""


class HttpHooks:
    """Implements `Hooks` by HTTP.

    Args:
        options: how the endpoint is called.
        signer: None sends no signatures.
        clock: for the timestamps of signatures.
    """

    def __init__(
        self,
        options: HttpOptions,
        *,
        signer: Signer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._url = URL(options.url)
        self._signer = signer
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make ready to connect."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self._options.attempt_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small reply may be a large one inside
            trust_env=False,
            read_bufsize=_READ_BYTES,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def listens_to(self, event: HookType) -> bool:
        return True

    def receivers(self, event: HookType) -> Sequence[str]:
        return [RECEIVER]

    async def call(self, event: HookEvent) -> HookReply | None:
        # Progress that could not be told is old by the time of another attempt.
        attempts = 1 if event.type is HookType.POST_RECEIVE else self._options.attempts
        content = await self._send(event, attempts, needs_reply=True)
        return parse_reply(event.type, content)

    async def tell(self, event: HookEvent, receiver: str) -> None:
        await self._send(event, self._options.attempts, needs_reply=False)

    async def _send(self, event: HookEvent, attempts: int, *, needs_reply: bool) -> bytes:
        content = format_payload(event)
        forwarded = self._forwarded(event)
        pause_s = self._options.backoff_s
        retrying = AsyncRetrying(
            stop=stop_after_attempt(attempts),
            # Not the same for all that failed together.
            wait=wait_exponential(multiplier=pause_s, max=_LONGEST_BACKOFF_S)
            + wait_random(0, pause_s / 2),
            retry=retry_if_exception_type(_TryAgain),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await retrying(
                    self._attempt, event, content, forwarded, needs_reply=needs_reply
                )
        except _TryAgain as error:
            raise HookUnavailable from error
        except TimeoutError as error:
            raise HookUnavailable from error

    async def _attempt(
        self, event: HookEvent, content: str, forwarded: Mapping[str, str], *, needs_reply: bool
    ) -> bytes:
        """Send the event once, and return the body of the reply, empty if it is of no use.

        Raises:
            _TryAgain: nobody answered, or somebody who may do better later.
            HookError: what was answered is no reply to a hook.
        """
        assert self._session is not None, "open() comes first"
        headers = {"Content-Type": _JSON, "Accept-Encoding": "identity", **forwarded}
        if self._signer is not None:  # anew for each attempt: receivers refuse old timestamps
            headers |= self._signer.headers(event.id, content, self._clock())
        try:
            async with self._session.post(
                self._url, data=content.encode(), headers=headers, allow_redirects=False
            ) as response:
                _check_status(response.status)
                return await self._read(response) if needs_reply else b""
        except aiohttp.ClientError as error:
            raise _TryAgain(f"no answer: {type(error).__name__}") from error
        except TimeoutError as error:
            raise _TryAgain("no answer in time") from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.content_type != _JSON:
            raise HookError(f"the reply must be {_JSON}")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HookError("the reply must not be compressed")
        content = b""
        while chunk := await response.content.read(_READ_BYTES):
            content += chunk
            if len(content) > self._options.reply_bytes:
                # What is left of it is not read: the connection is closed with it.
                response.close()
                raise HookError("the reply is too long")
        return content

    def _forwarded(self, event: HookEvent) -> Mapping[str, str]:
        if event.request is None:
            return {}
        given = event.request.headers
        return {name: ", ".join(given[name]) for name in self._options.forward if name in given}


def _check_status(status: int) -> None:
    if status >= 500 or status == 429:
        raise _TryAgain(f"the status was {status}")
    if not 200 <= status < 300:
        raise HookError(f"the status was {status}")
