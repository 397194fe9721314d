"""The body of an aiohttp request as a `Body`: ends when it should, and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from ..interfaces import BodyEnd, Chunk, size_of
from .connection import BrokenFraming, Connection
from .direct import DirectLane
from .stream import StreamLane

# An early answer is followed by at most this much reading: a client that writes its whole
# body before it reads would see a reset instead of the answer (tusd#1371), yet nobody may
# make us read for ever.
LINGER_BYTES = 8 * 1024 * 1024
LINGER_S = 1.0

# A body that is stopped for somebody else's sake still gets what is in the kernel's buffers,
# unless that takes too long or nothing comes for a moment.
LAST_CALL_S = 0.05
LAST_CALL_SILENCE_S = 0.005

# What reading a body raises, depending on aiohttp's parser and on how far it got.
_MALFORMED = (BrokenFraming, HttpProcessingError, web.RequestPayloadError)
_GONE = (OSError, RuntimeError)  # RuntimeError('Connection closed.')


class RequestBody:
    """Implements `Body`, on whichever lane is the better one.

    Args:
        request: nothing of its body has been read.
        idle_timeout_s: the longest silence of the client while it is being waited for.
        min_rate: bytes a second that have to come while they are waited for, on average over
            twice the idle timeout: whoever sends a byte now and then is never silent.
        fast: whether it may take the fast lane.

    Attributes:
        first_byte_at: when the first of them were, in monotonic seconds.
        misframed: whether it was given up when some of it had bypassed aiohttp's parser, which
            would look for its end at the wrong place: the connection must not go on.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        idle_timeout_s: float,
        min_rate: float = 0.0,
        fast: bool = False,
    ) -> None:
        self._request = request
        self._content: StreamReader = request.content
        self._lane: StreamLane | DirectLane = StreamLane(request.content)
        self._may_be_fast = fast
        self._idle_timeout_s = idle_timeout_s
        self._loop = asyncio.get_running_loop()
        self._end: BodyEnd | None = None
        self._begun = False
        self.misframed = False
        self._stopping: BodyEnd | None = None
        self._last_call_until = 0.0
        self._reader: asyncio.Task[object] | None = None
        self._reading_since = 0.0
        self._min_rate = min_rate
        self._waited_s = 0.0  # for bytes, since the rate was last looked at
        self._received = 0  # in that time
        self._watchdog: asyncio.TimerHandle | None = None
        self._continue_due = "Expect" in request.headers
        self._earlier = 0  # bytes before the last chunk
        self._last: Chunk = b""
        self.first_byte_at: float | None = None

    @property
    def end(self) -> BodyEnd | None:
        return self._end

    async def read(self) -> Chunk:
        self._count_last()
        if not self._begun and self._has_arrived():
            chunk: Chunk = self._read_arrived()
        else:
            chunk = await self._read_more()
        if chunk and self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        self._last = chunk
        return chunk

    @property
    def received(self) -> int:
        """How many bytes were taken of it."""
        return self._earlier + size_of(self._last)

    def _count_last(self) -> None:
        count, self._last = size_of(self._last), b""
        self._earlier += count
        self._received += count

    async def _read_more(self) -> Chunk:
        self._begun = True
        if self._end is None and self._stopping is None:
            chunk = await self._read()
            if chunk:
                return chunk
        if self._end is None:
            chunk = await self._read_last()
            if chunk:
                return chunk
            if self._stopping is not None:
                self._finish(self._stopping)
        return self._lane.rest()

    def stop(self, why: BodyEnd) -> None:
        if self._end is None and self._stopping is None:
            self._stopping = why
            grace_s = 0.0 if why is BodyEnd.TIMED_OUT else LAST_CALL_S
            self._last_call_until = self._loop.time() + grace_s
            if self._reader is not None:
                self._reader.cancel()

    def in_pieces(self) -> None:
        self._may_be_fast = False  # the lane is chosen at the first read

    def trailers(self) -> Mapping[str, str] | None:
        protocol = self._request.protocol
        if self._end is BodyEnd.COMPLETE and isinstance(protocol, Connection):
            return protocol.trailers_of(self._content)
        return None

    @property
    def begun(self) -> bool:
        """Whether any of it has been asked for."""
        return self._begun

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

    def close(self) -> None:
        """Leave a body that was abandoned, because the disk is full say, to its connection."""
        if self._end is None:
            self._leave()

    def _has_arrived(self) -> bool:
        return self._stopping is None and not self._continue_due and self._content.is_eof()

    def _read_arrived(self) -> Chunk:
        """Return the whole of a body that was there before anybody asked for it."""
        self._begun = True
        rest = self._lane.rest()
        self._finish(BodyEnd.COMPLETE)
        return rest

    async def _read(self) -> Chunk:
        """Wait for bytes; return nothing when the body has ended, or is to be stopped."""
        self._watch()
        self._reader = asyncio.current_task()
        try:
            if self._continue_due:
                await self._send_continue()
            return self._check_end(await self._receive())
        except asyncio.CancelledError:
            # Like asyncio.timeout: the cancellation was ours, so it ends here.
            if self._stopping is None or self._reader is None or self._reader.uncancel():
                raise
        except _MALFORMED:
            self._finish(BodyEnd.MALFORMED)
        except _GONE:
            self._check_end(b"")
        finally:
            self._reader = None
            self._waited_s += self._loop.time() - self._reading_since
        return self._lane.rest()

    async def _read_last(self) -> Chunk:
        """Return what is on its way already, though the body is to be stopped."""
        if rest := self._lane.rest():
            return rest
        left_s = self._last_call_until - self._loop.time()
        if left_s <= 0:
            return b""
        try:
            async with asyncio.timeout(min(left_s, LAST_CALL_SILENCE_S)):
                return self._check_end(await self._lane.receive())
        except TimeoutError:
            pass
        except _MALFORMED:
            self._finish(BodyEnd.MALFORMED)
        except _GONE:
            self._check_end(b"")
        return self._lane.rest()

    async def _receive(self) -> Chunk:
        first = self._choose_lane() if self._may_be_fast else b""
        return first or await self._lane.receive()

    def _choose_lane(self) -> bytes:
        """Take the fast lane if the rest of the body is worth it; return what had come before."""
        self._may_be_fast = False  # it is chosen once
        connection, transport = self._request.protocol, self._request.transport
        if transport is None or not isinstance(connection, Connection):
            return b""
        if connection.ending or self._content.exception() is not None:
            return b""  # the client has closed its side, and the stream knows
        first, stream = b"", StreamLane(self._content)
        while more := stream.rest():  # taking some may let the parser go on
            first += more
        due = (self._request.content_length or 0) - self._content.total_bytes
        if connection.is_direct(due) and not transport.is_closing():
            with contextlib.suppress(OSError):  # no descriptor is left: the stream needs none
                self._lane = DirectLane(connection, transport, self._content, due, len(first))
        return first

    def _check_end(self, chunk: Chunk) -> Chunk:
        """Note the end of the body if there is nothing more; return the chunk."""
        if not chunk:
            # The client may have gone right after its last byte; then nothing is missing.
            complete = self._lane.complete
            self._finish(BodyEnd.COMPLETE if complete else BodyEnd.DISCONNECTED)
        return chunk

    def _finish(self, why: BodyEnd) -> None:
        self._end = why
        self._leave()

    def _leave(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self.misframed = isinstance(self._lane, DirectLane) and not self._lane.complete
        self._lane.leave()

    def _watch(self) -> None:
        # One timer looks at the clock now and then, instead of one being set for each read.
        self._reading_since = self._loop.time()
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._idle_timeout_s, self._check_idle)

    def _check_idle(self) -> None:
        self._watchdog = None
        due = self._reading_since + self._idle_timeout_s
        if self._is_too_slow() or (self._reader is not None and self._loop.time() >= due):
            self.stop(BodyEnd.TIMED_OUT)
        elif self._end is None and self._stopping is None:
            at = due if self._reader is not None else self._loop.time() + self._idle_timeout_s
            self._watchdog = self._loop.call_at(at, self._check_idle)

    def _is_too_slow(self) -> bool:
        if self._waited_s < 2 * self._idle_timeout_s:
            return False
        in_hand = size_of(self._last)  # counted at the next read
        too_slow = self._received + in_hand < self._min_rate * self._waited_s
        self._waited_s, self._received = 0.0, -in_hand
        return too_slow

    async def _send_continue(self) -> None:
        # aiohttp's own handler of Expect does it this way too, only too early for us.
        self._continue_due = False
        writer = self._request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0
