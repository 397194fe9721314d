"""``/api/uploads`` and ``/api/events``: what operators see and do, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ...interfaces import Entry, EventState
from ...protocol.errors import BadRequest, UploadNotFound
from ...protocol.model import Final, UploadId, parse_upload_id
from ...service.administration import Administration, Filter
from ...service.status import KindName, State, Status
from ..status import StatusBody, date_of, fields_of

_HARDENED = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class OperatorStatus(StatusBody):
    """How an upload stands, with what only operators may see."""

    owner: str | None = Field(description="whose it is; null: created without authorisation")
    storage: dict[str, str] = Field(description="where its bytes are")
    parts: list[str] = Field(description="ids of the parts of a final upload")

    @classmethod
    def of(cls, status: Status) -> Self:
        upload = status.upload
        kind = None if upload is None else upload.kind
        return cls.model_validate(
            {
                **fields_of(status),
                "owner": None if upload is None else upload.owner,
                "storage": {} if upload is None else dict(upload.storage),
                "parts": list(kind.parts) if isinstance(kind, Final) else [],
            }
        )


class UploadList(BaseModel):
    """Some of the uploads, in the order of their ids."""

    uploads: list[OperatorStatus]
    cursor: str | None = Field(description="of the next page; null: this is the last one")


class ListQuery(BaseModel):
    """Which uploads to list."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[frozenset[State], BeforeValidator(_split)] = Field(
        frozenset(), description="only in these states, comma list"
    )
    kind: Annotated[frozenset[KindName], BeforeValidator(_split)] = Field(
        frozenset(), description="only of these kinds, comma list: " + ", ".join(get_args(KindName))
    )
    owner: str | None = Field(None, description="only of this owner")
    older_than: float | None = Field(None, ge=0, description="created so many seconds ago, or more")
    younger_than: float | None = Field(
        None, ge=0, description="created so many seconds ago, or less"
    )
    limit: int = Field(100, ge=1, le=1000, description="so many on a page at most")
    cursor: str = Field("", max_length=200, description="where the page before this one ended")

    @property
    def filter(self) -> Filter:
        """What the service understands."""
        return Filter(
            states=self.state,
            kinds=self.kind,
            owner=self.owner,
            older_than_s=self.older_than,
            younger_than_s=self.younger_than,
        )


class EventBody(BaseModel):
    """An event that was not delivered yet, for one receiver."""

    event: str = Field(description="its id")
    type: str = Field(description="the hook, such as post-finish")
    upload: str = Field(description="id of the upload")
    receiver: str
    state: EventState
    happened: datetime | None
    attempts: int = Field(ge=0, description="that failed")
    due: datetime | None = Field(description="when it will be tried again; null: none has failed")
    error: str | None = Field(description="of the last attempt")

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return what is shown of an entry."""
        event = entry.event
        return cls(
            event=event.id,
            type=event.type.value,
            upload=event.upload.id,
            receiver=entry.receiver,
            state=entry.state,
            happened=date_of(event.at),
            attempts=entry.attempts,
            due=date_of(entry.due_at) if entry.attempts else None,
            error=entry.error,
        )


class EventList(BaseModel):
    """The events that were not delivered yet, oldest first."""

    events: list[EventBody]
    counts: dict[EventState, int] = Field(description="how many there are in all, by state")


class EventQuery(BaseModel):
    """Which events to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000, description="so many at most")


class Retry(BaseModel):
    """Which events to deliver now."""

    model_config = ConfigDict(extra="forbid")

    event: str | Literal[True] = Field(description="id of one that has failed; true: all of them")


class Retried(BaseModel):
    """What came of it."""

    due: int = Field(ge=0, description="how many are delivered now")


Model = TypeVar("Model", bound=BaseModel)


class AdminApi:
    """The handlers."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what serves it."""
        return [
            web.get("/api/uploads", self._list),
            web.post("/api/uploads/{id:.+}/expire", self._expire),
            web.get("/api/uploads/{id:.+}", self._show),
            web.delete("/api/uploads/{id:.+}", self._terminate),
            web.get("/api/events", self._events),
            web.post("/api/events/retry", self._retry),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        query = _query(request, ListQuery)
        page = await self._administration.page(query.filter, after=query.cursor, limit=query.limit)
        uploads = [OperatorStatus.of(status) for status in page.statuses]
        return _answer(UploadList(uploads=uploads, cursor=page.cursor))

    async def _show(self, request: web.Request) -> web.Response:
        return _answer(OperatorStatus.of(await self._administration.show(_id_of(request))))

    async def _terminate(self, request: web.Request) -> web.Response:
        await self._administration.terminate(_id_of(request))
        return web.Response(status=204, headers=_HARDENED)

    async def _expire(self, request: web.Request) -> web.Response:
        await self._administration.expire(_id_of(request))
        return web.Response(status=204, headers=_HARDENED)

    async def _events(self, request: web.Request) -> web.Response:
        query = _query(request, EventQuery)
        entries = await self._administration.events(query.limit)
        counts = await self._administration.event_counts()
        return _answer(
            EventList(
                events=[EventBody.of(entry) for entry in entries],
                counts={state: counts.get(state, 0) for state in EventState},
            )
        )

    async def _retry(self, request: web.Request) -> web.Response:
        which = (await _body(request, Retry)).event
        due = await self._administration.retry(None if which is True else which)
        return _answer(Retried(due=due))


def _answer(body: BaseModel) -> web.Response:
    return web.Response(
        text=body.model_dump_json(), content_type="application/json", headers=_HARDENED
    )


def _id_of(request: web.Request) -> UploadId:
    upload_id = parse_upload_id(request.match_info["id"])
    if upload_id is None:
        raise UploadNotFound
    return upload_id


def _query(request: web.Request, model: type[Model]) -> Model:
    if len(request.query) != len(set(request.query)):
        raise BadRequest("a parameter was given twice")
    return _checked(model, dict(request.query))


async def _body(request: web.Request, model: type[Model]) -> Model:
    if request.content_type != "application/json":
        raise BadRequest("the body must be application/json")
    text = await request.read()
    try:
        return _checked(model, json.loads(text))
    except (ValueError, RecursionError):
        raise BadRequest("the body must be JSON") from None


def _checked(model: type[Model], value: Any) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"][:1])
        known = name if name in model.model_fields else "an unknown field"
        raise BadRequest(f"{known}: {first['msg'].lower()}") from None
