"""The body of an aiohttp request as a `Body`: ends when it should, and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ..interfaces import BodyEnd
from .connection import BrokenFraming, Connection

# An early answer is followed by at most this much reading: a client that writes its whole
# body before it reads would see a reset instead of the answer (tusd#1371), yet nobody may
# make us read for ever.
LINGER_BYTES = 8 * 1024 * 1024
LINGER_S = 1.0

# What reading a body raises, depending on aiohttp's parser and on how far it got.
_MALFORMED = (BrokenFraming, HttpProcessingError, web.RequestPayloadError)
_GONE = (OSError, RuntimeError)  # RuntimeError('Connection closed.')


class RequestBody:
    """Implements `Body`.

    Args:
        request: nothing of its body has been read.
        idle_timeout_s: the longest silence of the client while it is being waited for.
    """

    def __init__(self, request: web.Request, *, idle_timeout_s: float) -> None:
        self._request = request
        self._content: StreamReader = request.content
        self._idle_timeout_s = idle_timeout_s
        self._loop = asyncio.get_running_loop()
        self._end: BodyEnd | None = None
        self._reader: asyncio.Task[object] | None = None
        self._reading_since = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._continue_due = "Expect" in request.headers

    @property
    def end(self) -> BodyEnd | None:
        return self._end

    async def read(self) -> bytes:
        if self._end is not None:
            return self._rest()
        self._watch()
        try:
            chunk = await self._read()
        finally:
            self._reader = None
        if not chunk and self._end is None:
            self._finish(BodyEnd.COMPLETE)
        return chunk

    def stop(self, why: BodyEnd) -> None:
        if self._end is None:
            self._finish(why)
            if self._reader is not None:
                self._reader.cancel()

    def trailers(self) -> Mapping[str, str] | None:
        protocol = self._request.protocol
        if self._end is BodyEnd.COMPLETE and isinstance(protocol, Connection):
            return protocol.trailers_of(self._content)
        return None

    @property
    def unread(self) -> bool:
        """Whether bytes may still come that nobody has asked for."""
        return not self._content.is_eof()

    async def discard(self) -> bool:
        """Read on without keeping anything, within bounds; return whether the end was reached."""
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (chunk := await self._content.readany()):
                    left -= len(chunk)
        except (*_MALFORMED, *_GONE):  # or too slow: TimeoutError is an OSError
            return False
        return self._content.at_eof()

    async def _read(self) -> bytes:
        """Wait for bytes; return the rest, or nothing, when the body ends otherwise."""
        self._reader = asyncio.current_task()
        try:
            if self._continue_due:
                await self._send_continue()
            return await self._content.readany()
        except asyncio.CancelledError:
            # Like asyncio.timeout: the cancellation was ours, so it ends here.
            if self._end is None or self._reader is None or self._reader.uncancel():
                raise
        except _MALFORMED:
            self._finish(BodyEnd.MALFORMED)
        except _GONE:
            # The client may have gone right after its last byte; then nothing is missing.
            whole = self._content.is_eof()
            self._finish(BodyEnd.COMPLETE if whole else BodyEnd.DISCONNECTED)
        return self._rest()

    def _rest(self) -> bytes:
        # Bytes that had arrived when the connection broke are behind the exception that
        # `readany` raises first, and only this private method gives them out.
        if not getattr(self._content, "_buffer", None):
            return b""
        return self._content._read_nowait(-1)  # noqa: SLF001

    def _finish(self, why: BodyEnd) -> None:
        self._end = why
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _watch(self) -> None:
        # One timer looks at the clock now and then, instead of one being set for each read.
        self._reading_since = self._loop.time()
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._idle_timeout_s, self._check_idle)

    def _check_idle(self) -> None:
        self._watchdog = None
        due = self._reading_since + self._idle_timeout_s
        if self._reader is not None and self._loop.time() >= due:
            self.stop(BodyEnd.TIMED_OUT)
        elif self._end is None:
            at = due if self._reader is not None else self._loop.time() + self._idle_timeout_s
            self._watchdog = self._loop.call_at(at, self._check_idle)

    async def _send_continue(self) -> None:
        # aiohttp's own handler of Expect does it this way too, only too early for us.
        self._continue_due = False
        writer = self._request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0
