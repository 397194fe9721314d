"""One client connection of our own server: what aiohttp's handler does not do for us.

Everything here that touches aiohttp's private parts is in this module and in `body`; both have
tests of their own, and the range of aiohttp versions is pinned. A sub-application in somebody
else's server gets plain aiohttp connections, and does without what is here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser

from ..protocol.errors import BadRequest, InternalError
from .admission import Admission
from .listener import Listener
from .sockets import unsent_in_all
from .trailers import TrailerScanner

_log = logging.getLogger(__name__)

_WRITE_TIMEOUT_S = 60.0


# Chunks of a few bytes, or with long extensions, cost hundreds of times as much as others. What
# frames a body may be this many bytes, and from there on a quarter of what it frames.
FRAMING_BYTES = 256 * 1024
FRAMING_SHARE = 4

# From here on the fast lane saves more and more CPU. Entering it has its price, too: at half this
# size both lanes cost the same (`python -m tests.benchmarks.thresholds`).
DIRECT_BYTES = 512 * 1024
# With zeros in front a length may have more digits than Python takes; nobody needs as many.
_MOST_DIGITS = 20


class BrokenFraming(Exception):
    """The body of a request is not framed as HTTP demands."""


class Connection(web.RequestHandler):
    """Adds limits, trailers, half-closed connections, and errors as ``CODE: sentence``.

    Args:
        admission: decides whether there may be one more connection.
        write_timeout_s: how long a client may take nothing of what waits to be sent to it.
    """

    __slots__ = (
        *("_admission", "_chunked", "_failure", "_payload", "_peer", "_scanner", "_seen"),
        *("_unsent", "_wire_bytes", "_write_timeout_s", "_write_watch", "on_lost"),
    )

    def __init__(
        self,
        *args: Any,
        admission: Admission | None = None,
        write_timeout_s: float = _WRITE_TIMEOUT_S,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._admission = admission
        self.on_lost: Callable[[], None] | None = None  # for who receives a body past us
        self._peer: Any = None
        self._write_timeout_s = write_timeout_s
        self._write_watch: asyncio.TimerHandle | None = None
        self._unsent = 0  # when last looked at
        self._payload: StreamReader | None = None  # of the newest request on this connection
        self._chunked: StreamReader | None = None  # the same, while more chunks of it come
        self._failure: Exception | None = None  # what we have told who reads a body
        self._wire_bytes = 0  # what has come for it, framing included
        self._scanner: TrailerScanner | None = None
        self._seen = b""  # the last bytes before this segment, in case a head ends across it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peer = transport.get_extra_info("peername")
        if self._admission is not None and not self._admission.enter(self._peer):
            admission, self._admission = self._admission, None
            admission.refuse(cast(asyncio.Transport, transport))
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._admission is not None:
            self._admission.leave(self._peer)
            self._admission = None
        if self.on_lost is not None:
            self.on_lost()
        self._stop_write_watch()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing(self.transport)

    def resume_writing(self) -> None:
        super().resume_writing()
        transport = self.transport
        if transport is not None and not transport.is_closing():  # else that has to end, too
            self._stop_write_watch()

    async def start(self) -> None:
        """Answer requests; what is unsent at the end does not keep the connection for ever."""
        transport = self.transport
        try:
            await super().start()
        finally:
            if transport is not None and transport.get_write_buffer_size():
                self._watch_writing(transport)
            self._forget_bodies()

    def _forget_bodies(self) -> None:
        """Let go of what refers to this connection, so that no garbage collector has to find it."""
        told = None if self._payload is None else self._payload.exception()
        for error in (self._failure, told):
            if isinstance(error, BaseException):
                error.with_traceback(None)
        self._payload = self._chunked = self._scanner = self._failure = None

    def _watch_writing(self, transport: asyncio.WriteTransport | None) -> None:
        self._stop_write_watch()
        if transport is not None:
            self._unsent = unsent_in_all(transport)
            self._write_watch = self._loop.call_later(
                self._write_timeout_s, self._check_writing, transport
            )

    def _check_writing(self, transport: asyncio.WriteTransport) -> None:
        if unsent_in_all(transport) < self._unsent:
            self._watch_writing(transport)  # slow, but it reads
        else:
            transport.abort()

    def _stop_write_watch(self) -> None:
        if self._write_watch is not None:
            self._write_watch.cancel()
            self._write_watch = None

    @property
    def ending(self) -> bool:
        """Whether no other request will be answered on this connection."""
        return bool(self._close)

    def resume_reading(self, *args: Any, **kwargs: Any) -> None:
        """Go on reading; aiohttp asks for that whenever somebody has read, paused or not."""
        if self._reading_paused:
            super().resume_reading(*args, **kwargs)

    def data_received(self, data: bytes) -> None:
        if self._payload is not None and isinstance(self._payload.exception(), BrokenFraming):
            return  # the request cannot be saved any more, and it is the last
        if self._scanner is not None:
            self._scanner.feed(data)
        idle = self._payload is None or self._payload.is_eof()
        queued = len(self._messages)
        super().data_received(data)
        new = list(self._messages)[queued:] if len(self._messages) > queued else []
        chunked = [] if self._chunked is None else [self._chunked]
        self._wire_bytes = self._wire_bytes + len(data) if chunked else 0
        for message, payload in new:
            if hasattr(message, "exc"):
                self._fail_body(BrokenFraming())
            else:
                self._payload, self._scanner = payload, None
                self._leave_rest(message, payload)
                chunked += [payload] if message.chunked else []
        if idle and len(new) == 1 and getattr(new[0][0], "chunked", False):
            self._start_scanning(self._seen[-3:] + data)
        self._seen = data[-6:] if len(data) >= 6 else (self._seen + data)[-6:]
        if chunked:
            self._watch_ends(chunked)
            self._watch_framing()

    def is_direct(self, due: int) -> bool:
        """Whether so many bytes of a body are better left in the socket than read by aiohttp.

        They have to come as they are on the wire, which TLS does not allow.
        """
        return due >= DIRECT_BYTES and self.ssl_context is None

    def _leave_rest(self, message: Any, payload: StreamReader) -> None:
        """Read no more of a large body before somebody asks for it.

        As with a stream that is full, whoever takes what has come makes it go on: so there has
        to be something to take.
        """
        if payload.is_eof() or not payload.total_bytes:
            return
        length = message.headers.get("Content-Length", "0")
        if len(length) < _MOST_DIGITS and self.is_direct(int(length) - payload.total_bytes):
            self.pause_reading()

    def _watch_framing(self) -> None:
        """Give up on chunks that are hardly more than their framing."""
        if (body := self._chunked) is None:
            return
        framing = self._wire_bytes - body.total_bytes
        if framing > FRAMING_BYTES + body.total_bytes // FRAMING_SHARE:
            self._fail_body(BrokenFraming())
            self.close()

    def _watch_ends(self, chunked: list[StreamReader]) -> None:
        """Let this request be the last if it had a trailer, or if who knows whether it had one.

        The C parser of aiohttp 3.14.5 adds the last field of a trailer to the next head, so a
        client could put fields into the request of another that shares a proxy's connection.
        """
        ended = [body for body in chunked if body.is_eof()]
        self._chunked = next((body for body in chunked if not body.is_eof()), None)
        if ended and (ended[0] is not self._payload or self._seen != b"\n0\r\n\r\n"):
            self.close()

    def _start_scanning(self, data: bytes) -> None:
        # Nothing but this head was on its way, so the first blank line is its end.
        # Of pipelined requests the trailers stay unknown: they are answered as missing.
        _, blank_line, behind = data.partition(b"\r\n\r\n")
        if blank_line:
            self._scanner = TrailerScanner()
            self._scanner.feed(behind)

    def body_bypassed(self, payload: StreamReader) -> None:
        """Go on after a body whose last bytes were received by somebody else, all of them.

        The parser still waits for those bytes; the next request needs one that does not.
        """
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        payload.feed_eof()

    def trailers_of(self, payload: StreamReader) -> Mapping[str, str] | None:
        """The trailer fields behind that body, or None when they are not to be had."""
        if payload is not self._payload or self._scanner is None:
            return None
        return self._scanner.fields

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer a client that has closed its sending side only, as far as TCP can tell."""
        # Not `_request_in_progress`: that is still false when a request has just been taken up.
        waits = self._waiter is not None or not self._request_count
        if self.ssl_context is not None or (waits and not self._messages):
            return None
        self._fail_body(ConnectionResetError("the client ended the connection"))
        self.close()
        return True

    def _fail_body(self, error: Exception) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._failure = error
            self._payload.set_exception(error)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request, in the form of all other errors."""
        if status >= 500:
            _log.error("InternalServerError", exc_info=exc)
        else:
            _log.debug("BadRequest", exc_info=exc)
        if exc is not None:
            exc.with_traceback(None)  # it leads to whoever keeps it
        error = InternalError() if status >= 500 else BadRequest("this is not valid HTTP/1.1")
        response = web.Response(status=status, text=error.text)
        response.force_close()
        return response


class ConnectionSite(web.BaseSite):
    """Serves a listening socket with `Connection`s.

    Args:
        runner: set up already.
        sock: listening; its name is where clients connect.
        options: for `Connection`, see aiohttp's `RequestHandler`.
    """

    __slots__ = ("_listener", "_options", "_sock")

    def __init__(
        self,
        runner: web.AppRunner,
        sock: socket.socket,
        *,
        ssl_context: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context)
        self._sock = sock
        self._options = options
        self._listener: Listener | None = None

    @property
    def name(self) -> str:
        """The address of the socket."""
        return str(self._sock.getsockname())

    async def start(self) -> None:
        """Begin to accept connections."""
        await super().start()
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None
        self._listener = Listener(
            self._sock,
            lambda: Connection(server, loop=loop, **self._options),
            ssl_context=self._ssl_context,
            admission=self._options.get("admission"),
        )

    async def stop(self) -> None:
        """Accept no more connections."""
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        await super().stop()


__all__ = ["BrokenFraming", "Connection", "ConnectionSite"]
