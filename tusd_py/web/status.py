"""GET ``{upload}?status``: how an upload stands, once or for as long as it moves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Self

from aiohttp import hdrs, web
from pydantic import BaseModel, Field

from ..interfaces import RequestInfo
from ..protocol.commands import Watch
from ..protocol.errors import TooManyConnections, TusError
from ..service.status import LAST_STATES, KindName, State, Status, kind_of
from ..service.watching import Watching

# Streams of one process; each costs a look a second.
MOST_STREAMS = 1000
# Proxies close what is silent for longer, often after a minute.
ALIVE_S = 15.0
# Of a browser, after a stream broke off.
_RETRY_MS = 2000
_END = "end"

STREAM_TYPE = "text/event-stream"
_NOT_KEPT: Mapping[str, str] = {hdrs.CACHE_CONTROL: "no-store"}
# nginx would hold events back until it has a buffer full of them.
STREAM_HEADERS: Mapping[str, str] = {
    **_NOT_KEPT,
    hdrs.CONTENT_TYPE: STREAM_TYPE,
    "X-Accel-Buffering": "no",
}


class StatusBody(BaseModel):
    """How an upload stands."""

    id: str
    state: State
    kind: KindName | None = Field(description="null: its record cannot be read")
    offset: int = Field(
        ge=0, description="bytes that have come; HEAD tells how many of them are stored"
    )
    length: int | None = Field(ge=0, description="all bytes; null: not known yet")
    progress: float | None = Field(ge=0, le=100, description="per cent; null: not known")
    speed: float | None = Field(ge=0, description="bytes a second, lately; null: not known")
    eta: float | None = Field(ge=0, description="seconds until all bytes have come; null: unknown")
    metadata: dict[str, str] = Field(
        description="Upload-Metadata, decoded; what is no UTF-8 is replaced by U+FFFD"
    )
    created: datetime | None = Field(description="null: not known")
    expires: datetime | None = Field(description="when it will be removed; null: never")
    updated: datetime | None = Field(description="when bytes were last stored; null: not known")

    @classmethod
    def of(cls, status: Status) -> Self:
        """Return what is shown of a status."""
        return cls.model_validate(fields_of(status))

    @property
    def text(self) -> str:
        """As JSON, on one line."""
        return self.model_dump_json()


def fields_of(status: Status) -> dict[str, object]:
    """Return the fields of `StatusBody`."""
    upload = status.upload
    pairs = {} if upload is None else upload.metadata.pairs
    return {
        "id": status.id,
        "state": status.state,
        "kind": None if upload is None else kind_of(upload),
        "offset": status.offset,
        "length": status.length,
        "progress": None if status.progress is None else round(status.progress, 2),
        "speed": None if status.speed is None else round(status.speed, 1),
        "eta": None if status.eta_s is None else round(status.eta_s, 1),
        "metadata": {key: value.decode(errors="replace") for key, value in pairs.items()},
        "created": None if upload is None else date_of(upload.created_at),
        "expires": None if upload is None else date_of(upload.expires_at),
        "updated": date_of(status.updated_at),
    }


def date_of(seconds: float | None) -> datetime | None:
    """Return a time as it is shown: UTC, to the second."""
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


class StatusPage:
    """Answers who watches one upload."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self._streams = 0

    async def answer(
        self, request: web.Request, watch: Watch, info: RequestInfo, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer with JSON, or with a stream of events if that is what is accepted.

        Args:
            headers: what every answer carries.

        Raises:
            TusError: see `Watching.status`.
        """
        if not accepts_stream(request) or request.method == hdrs.METH_HEAD:
            body = StatusBody.of(await self._watching.status(watch, info))
            return web.Response(
                text=body.text, content_type="application/json", headers=dict(_NOT_KEPT)
            )
        if request.headers.get("Last-Event-ID") == _END:
            # The browser has come again although it was told the end: this makes it stop.
            return web.Response(status=204, headers=dict(_NOT_KEPT))
        if self._streams >= MOST_STREAMS:
            raise TooManyConnections("too many uploads are being followed just now; try again")
        self._streams += 1
        try:
            return await self._stream(request, self._watching.follow(watch, info), headers)
        finally:
            self._streams -= 1

    async def _stream(
        self,
        request: web.Request,
        statuses: AsyncIterator[Status | None],
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        first = await anext(statuses)  # which may still be refused with an answer of its own
        assert first is not None
        async with EventStream(request, headers) as stream:
            await stream.send(StatusBody.of(first).text, event_id=_id_of(first))
            async for status in statuses:
                if status is None:
                    await stream.stay_alive()
                else:
                    await stream.send(StatusBody.of(status).text, event_id=_id_of(status))
        return stream.response


def _id_of(status: Status) -> str | None:
    return _END if status.state in LAST_STATES else None


def accepts_stream(request: web.Request) -> bool:
    """Whether the client wants events."""
    ranges = request.headers.get(hdrs.ACCEPT, "").lower().split(",")
    return any(media.partition(";")[0].strip() == STREAM_TYPE for media in ranges)


class EventStream:
    """Server-sent events, inside ``async with``; that the client goes away ends it silently.

    Args:
        headers: what every answer carries.
    """

    def __init__(self, request: web.Request, headers: Mapping[str, str]) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={**headers, **STREAM_HEADERS})
        self._wrote_at = time.monotonic()

    async def __aenter__(self) -> Self:
        """Send the head."""
        await self.response.prepare(self._request)
        await self._write(f"retry: {_RETRY_MS}\n\n")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """End it in order, also if nothing more may be told."""
        if kind is None or issubclass(kind, TusError):
            await self.response.write_eof()
            return True
        return issubclass(kind, ConnectionError)

    async def send(self, data: str, *, event: str = "status", event_id: str | None = None) -> None:
        """Send an event.

        Raises:
            ConnectionError: nobody is there any more.
        """
        name = "" if event_id is None else f"id: {event_id}\n"
        await self._write(f"event: {event}\n{name}data: {data}\n\n")

    async def stay_alive(self) -> None:
        """Send a comment, if nothing was sent for long.

        Raises:
            ConnectionError: nobody is there any more.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if time.monotonic() - self._wrote_at >= ALIVE_S:
            await self._write(": still there\n\n")

    async def _write(self, text: str) -> None:
        await self.response.write(text.encode())
        self._wrote_at = time.monotonic()
