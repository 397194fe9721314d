"""What hooks are sent and what they answer: tusd's JSON to the letter, and a few keys more.

tusd's own keys never change meaning. Ours are ``Event.ID``, ``Event.Time``, ``Event.Operation``,
``Event.Cause``, ``Event.Upload.Owner`` and ``Event.Upload.Digests``; in replies ``RejectAccess``
and ``Limits``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..interfaces import HookEvent, HookReply, HookType, RequestInfo, ResponseChange, UploadLimits
from ..protocol.compact_json import dump_json
from ..protocol.model import LARGEST_SIZE, Final, Partial, Upload
from ..protocol.quota import NO_QUOTA, Quota


class HookError(Exception):
    """A hook did not do what hooks do; the sentence is for the log, and repeats nothing of it."""


# --- events


def format_payload(event: HookEvent) -> str:
    """Return the event as JSON."""
    fields = {
        "Upload": _upload(event.upload, is_new=event.type is HookType.PRE_CREATE),
        "HTTPRequest": _request(event.request),
        "ID": event.id,
        "Time": _time(event.at),
        "Operation": event.operation,
        "Cause": event.cause,
    }
    return dump_json({"Type": event.type, "Event": fields}).decode()


def _upload(upload: Upload, *, is_new: bool) -> Mapping[str, Any]:
    kind = upload.kind
    metadata = {
        # Nothing promises that values are text; Go's JSON replaces what is not, too.
        key: value.decode(errors="replace")
        for key, value in upload.metadata.pairs.items()
    }
    return {
        "ID": "" if is_new else upload.id,
        "Size": upload.length or 0,
        "SizeIsDeferred": upload.length is None,
        "Offset": upload.offset,
        "MetaData": metadata,
        "IsPartial": isinstance(kind, Partial),
        "IsFinal": isinstance(kind, Final),
        "PartialUploads": list(kind.parts) if isinstance(kind, Final) else None,
        "Storage": None if is_new else dict(upload.storage),
        "Owner": upload.owner,
        "Digests": {name: value.hex() for name, value in upload.digests.items()},
    }


def _request(request: RequestInfo | None) -> Mapping[str, Any]:
    """What nobody asked for has an empty request, so that receivers need not look out for null."""
    if request is None:
        return {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}
    return {
        "Method": request.method,
        "URI": _text(request.uri),
        "RemoteAddr": _address(request),
        "Header": {
            name: [_text(value) for value in values] for name, values in request.headers.items()
        },
    }


def _text(value: str) -> str:
    """Replace bytes that are not UTF-8, as Go does; the HTTP parser keeps them as surrogates."""
    if value.isascii():
        return value
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _address(request: RequestInfo) -> str:
    """``ip:port`` as Go writes it: brackets around IPv6, ``@`` for a UNIX socket."""
    if not request.remote:
        return "@"
    host = f"[{request.remote}]" if ":" in request.remote else request.remote
    return host if request.port is None else f"{host}:{request.port}"


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


# --- replies


class _Loose(BaseModel):
    """Understands keys as Go does: in any case, unknown ones ignored, null as if missing."""

    model_config = ConfigDict(strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _fold_keys(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {str(key).lower(): item for key, item in value.items() if item is not None}


class _Response(_Loose):
    statuscode: int = 0
    body: str = ""
    header: dict[str, str] = {}


class _Storage(_Loose):
    path: str = ""


class _Changes(_Loose):
    id: str = ""
    metadata: dict[str, str] | None = None
    storage: _Storage = _Storage()


_Limit = Annotated[int, Field(ge=0, le=LARGEST_SIZE)]
_Rate = Annotated[int, Field(gt=0, le=LARGEST_SIZE)]


class _Limits(_Loose):
    maxsize: _Limit | None = None
    bytespersecond: _Rate | None = None
    owneropenuploads: _Limit | None = None
    ownertotalbytes: _Limit | None = None
    owneruploadsperminute: _Limit | None = None
    ownerbytespersecond: _Rate | None = None


class _Reply(_Loose):
    httpresponse: _Response = _Response()
    rejectupload: bool = False
    rejecttermination: bool = False
    rejectaccess: bool = False
    stopupload: bool = False
    changefileinfo: _Changes = _Changes()
    limits: _Limits | None = None


def parse_reply(event: HookType, content: bytes) -> HookReply:
    """Parse the reply to an event.

    Raises:
        HookError: it is not such a reply.
    """
    try:
        reply = _Reply.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise HookError(f"the reply cannot be understood: {place} {problem['type']}") from None
    changes = reply.changefileinfo
    return HookReply(
        id=changes.id or None,
        metadata=changes.metadata,
        storage_path=changes.storage.path or None,
        reject=_rejects(event, reply),
        limits=None if reply.limits is None else _limits(reply.limits),
        stop=reply.stopupload,
        response=_response(reply.httpresponse),
    )


def _limits(limits: _Limits) -> UploadLimits:
    quota = Quota(
        open_uploads=limits.owneropenuploads,
        total_bytes=limits.ownertotalbytes,
        uploads_per_minute=limits.owneruploadsperminute,
        bytes_per_second=limits.ownerbytespersecond,
    )
    return UploadLimits(
        max_size=limits.maxsize,
        bytes_per_second=limits.bytespersecond,
        quota=None if quota == NO_QUOTA else quota,
    )


def _rejects(event: HookType, reply: _Reply) -> bool:
    match event:
        case HookType.PRE_TERMINATE:
            return reply.rejecttermination
        case HookType.PRE_ACCESS:
            return reply.rejectaccess
        case _:
            return reply.rejectupload


def _response(response: _Response) -> ResponseChange | None:
    if not (response.statuscode or response.body or response.header):
        return None
    return ResponseChange(
        status=response.statuscode or None,
        body=response.body or None,
        headers=response.header,
    )
