"""One short coroutine per verb: request -> command -> service -> response."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from ..interfaces import RequestInfo, ResponseChange, ResponseChanges
from ..interfaces.occurrences import Observe, ignore
from ..protocol.commands import (
    Append,
    Create,
    Discover,
    Discovered,
    Fetch,
    Inspect,
    Inspected,
    Outcome,
    Terminate,
    Watch,
)
from ..protocol.errors import (
    BadRequest,
    ExpectationFailed,
    HTTPVersionUnsupported,
    InternalError,
    InvalidBody,
    NotImplementedByServer,
    TusError,
    UploadLocked,
)
from ..protocol.headers import canonical_name
from ..protocol.model import parse_upload_id
from ..protocol.tus1 import VERSION, RequestHead, Tus1, effective_method
from ..service.uploads import Uploads
from .body import RequestBody
from .changes import change_response
from .connection import Connection
from .cors import Cors
from .download import download
from .exchange import Exchange
from .place import Surroundings
from .status import StatusPage

_log = logging.getLogger(__name__)

_ON_DOWNLOADS = {"Tus-Resumable": VERSION, "X-Content-Type-Options": "nosniff"}
_ON_ALL_ELSE = {**_ON_DOWNLOADS, "Cache-Control": "no-store"}

_CommandWithOutcome = Discover | Create | Inspect | Append | Terminate


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """Everything an upload URL answers.

    Attributes:
        uploads: the service.
        dialect: how requests are understood and outcomes told.
        surroundings: what stands between the clients and us.
        cors: None sends no CORS headers.
        idle_timeout_s: how long a client may be silent within a body, or take nothing of one.
        min_rate: bytes a second that a body has to bring on average.
        observe: takes note of every answer.
    """

    uploads: Uploads
    dialect: Tus1
    surroundings: Surroundings
    cors: Cors | None
    idle_timeout_s: float
    min_rate: float
    observe: Observe = ignore

    @cached_property
    def status(self) -> StatusPage:
        """Answers who watches."""
        return StatusPage(self.uploads.watching)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request, in the form that tus clients expect, whatever happens."""
        body = RequestBody(
            request,
            idle_timeout_s=self.idle_timeout_s,
            min_rate=self.min_rate,
            fast=True,
        )
        changes = ResponseChanges()
        exchange = Exchange(request)
        try:
            response = await self._respond(request, body, changes, exchange)
        except TusError as error:
            # Its frames hold the exchange, and all of it would be left to the garbage collector.
            exchange.error = error.with_traceback(None)
            response = _render_error(request, error, changes.if_refused)
        except Exception:  # noqa: BLE001 - a fault of ours; the client gets an answer all the same
            _log.exception("InternalServerError", extra={"path": request.path})
            exchange.error = InternalError()
            response = _render_error(request, InternalError())
        finally:
            body.close()
        if not response.prepared:
            response.headers.update(self._common_headers(request))
        response = await _send(request, response, body)
        self.observe(
            exchange.answered(
                response.status, received=body.received, first_byte_at=body.first_byte_at
            )
        )
        return response

    async def _respond(
        self,
        request: web.Request,
        body: RequestBody,
        changes: ResponseChanges,
        exchange: Exchange,
    ) -> web.StreamResponse:
        _check_framing(request)
        if self.cors is not None:
            self.cors.check(request.headers.get("Origin"))
        head = self._head_of(request)
        exchange.method, exchange.upload_id = head.method, head.upload_id
        command = exchange.command = self.dialect.parse(head)
        info = _info_of(request, head.method, changes)
        if isinstance(command, Fetch):
            return await self._get(request, command, info)
        if isinstance(command, Watch):
            return await self.status.answer(request, command, info, self._common_headers(request))
        outcome = exchange.outcome = await self._perform(command, body, info)
        rendered = self.dialect.render(outcome, head.place)
        response = web.Response(status=rendered.status, headers=rendered.headers)
        # A HEAD may finish an upload, too, but what it tells is not for others to change.
        if changes.if_done is not None and not isinstance(outcome, Inspected):
            change_response(request, response, changes.if_done)
        return response

    async def _perform(
        self, command: _CommandWithOutcome, body: RequestBody, info: RequestInfo
    ) -> Outcome:
        match command:
            case Create():
                return await self.uploads.create(command, body, info)
            case Append():
                return await self.uploads.append(command, body, info)
            case Inspect():
                return await self.uploads.inspect(command, info)
            case Terminate():
                return await self.uploads.terminate(command, info)
            case Discover():
                return Discovered()

    async def _get(
        self, request: web.Request, fetch: Fetch, info: RequestInfo
    ) -> web.StreamResponse:
        upload = await self.uploads.fetch(fetch, info)
        return await download(
            request,
            self.uploads,
            upload,
            self._common_headers(request),
            stall_s=self.idle_timeout_s,
        )

    def _head_of(self, request: web.Request) -> RequestHead:
        target, collection_path = _split_path(request)
        return RequestHead(
            method=effective_method(request.method, request.headers),
            target=target,
            upload_id=None if target is None else parse_upload_id(target),
            headers=request.headers,
            body_length=_body_length(request),
            place=self.surroundings.place_of(request, collection_path),
            status=bool(request.query_string) and "status" in request.query,
        )

    def _common_headers(self, request: web.Request) -> Mapping[str, str]:
        headers = _ON_DOWNLOADS if request.method == hdrs.METH_GET else _ON_ALL_ELSE
        if self.cors is None:
            return headers
        preflight = request.method == hdrs.METH_OPTIONS
        return headers | self.cors.headers_for(request.headers.get("Origin"), preflight=preflight)


async def defer_continue(request: web.Request) -> None:
    """Leave ``100 Continue`` to the first read of the body, when every check has passed."""


def _check_framing(request: web.Request) -> None:
    """Refuse what aiohttp's parser lets through although HTTP/1.1 does not.

    Raises:
        HTTPVersionUnsupported, InvalidBody, NotImplementedByServer, ExpectationFailed
    """
    if request.version not in (HttpVersion10, HttpVersion11):
        raise HTTPVersionUnsupported
    codings = request.headers.getall("Transfer-Encoding", ())
    if codings:
        if request.version == HttpVersion10:
            raise InvalidBody("HTTP/1.0 has no Transfer-Encoding")
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise NotImplementedByServer("the only Transfer-Encoding here is chunked")
    if request.headers.get("Expect", "100-continue").lower() != "100-continue":
        raise ExpectationFailed


def _split_path(request: web.Request) -> tuple[str | None, str]:
    """Return what follows the creation URL in the raw path, and the path of that URL.

    The router has matched a decoded path; only the raw one tells whether it was escaped,
    and an id that needs escapes is none.
    """
    raw = request.rel_url.raw_path
    tail = request.match_info.get("target")
    if not tail:
        return None, raw
    escaped = not raw.endswith(f"/{tail}")
    return ("%" if escaped else tail), raw.removesuffix(tail)


def _body_length(request: web.Request) -> int | None:
    if "Transfer-Encoding" in request.headers:
        return None
    try:
        return request.content_length or 0
    except ValueError:  # thousands of zeros in front
        raise BadRequest("Content-Length has too many digits") from None


class _CanonicalHeaders(Mapping[str, Sequence[str]]):
    """Header fields by canonical name, made when a hook first looks at them."""

    def __init__(self, request: web.Request) -> None:
        self._raw = request.headers

    @cached_property
    def _fields(self) -> Mapping[str, Sequence[str]]:
        fields: dict[str, list[str]] = {}
        for name, value in self._raw.items():
            fields.setdefault(canonical_name(name), []).append(value)
        return fields

    def __getitem__(self, name: str) -> Sequence[str]:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def _info_of(request: web.Request, method: str, changes: ResponseChanges) -> RequestInfo:
    peer = request._transport_peername  # noqa: SLF001 - aiohttp has asked the kernel already
    return RequestInfo(
        method=method,
        uri=request.raw_path,
        remote=request.remote or "",
        headers=_CanonicalHeaders(request),
        port=peer[1] if isinstance(peer, tuple) else None,
        changes=changes,
    )


def _render_error(
    request: web.Request, error: TusError, change: ResponseChange | None = None
) -> web.Response:
    inspects = hdrs.METH_HEAD in (request.method, request.headers.get("X-HTTP-Method-Override"))
    if inspects and error.status >= 500:
        # tus-js-client starts over from byte 0 after a 5xx on HEAD, but waits after a 423.
        error = UploadLocked()
    response = web.Response(
        status=error.status,
        reason="Checksum Mismatch" if error.status == 460 else None,
        headers=error.headers,
        text=None if request.method == hdrs.METH_HEAD else error.text,
    )
    if change is not None:
        change_response(request, response, change)
        if inspects and response.status >= 500:  # the same, when it is a hook that says so
            response.set_status(UploadLocked.status)
    if error.closes:
        response.force_close()
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, body: RequestBody
) -> web.StreamResponse:
    """Send the answer; if bytes may still come, take some of them in, then close.

    Whoever writes its whole body before it reads would otherwise see a reset, not the answer.
    """
    ending = isinstance(request.protocol, Connection) and request.protocol.ending
    if ending or body.misframed:
        response.force_close()
    if not body.unread:
        return response
    # What was not waited for with 100 Continue, or was given up midway, may still come, or not.
    if "Expect" in request.headers or body.begun:
        response.force_close()
    try:
        await response.prepare(request)
        await response.write_eof()
        at_end = await body.discard()
    except ConnectionError:  # nobody is left to answer
        at_end = False
    if not at_end:
        response.force_close()
        protocol: Any = request.protocol
        protocol.force_close()
    return response
