"""Events as JSON, for outboxes that keep them: all of an event, so that it can be told later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..interfaces import HookEvent, HookType, Operation, RequestInfo
from ..protocol.metadata import Metadata
from ..protocol.model import Final, Kind, Partial, Upload, UploadId, Whole

# Whoever may read the outbox must not be able to act for those whose requests are told of.
_SECRET_HEADERS = frozenset({"Authorization", "Proxy-Authorization", "Cookie"})


def format_event(event: HookEvent) -> str:
    """Return the event as JSON, without the credentials of its request."""
    request = event.request
    return json.dumps(
        {
            "id": event.id,
            "type": event.type,
            "at": event.at,
            "operation": event.operation,
            "cause": event.cause,
            "upload": _upload_fields(event.upload),
            "request": None
            if request is None
            else {
                "method": request.method,
                "uri": request.uri,
                "remote": request.remote,
                "port": request.port,
                "headers": {
                    name: list(values)
                    for name, values in request.headers.items()
                    if name not in _SECRET_HEADERS
                },
            },
        },
        separators=(",", ":"),
    )


def parse_event(text: str) -> HookEvent:
    """Parse what `format_event` has written."""
    fields = json.loads(text)
    request = fields["request"]
    operation = fields["operation"]
    return HookEvent(
        id=fields["id"],
        type=HookType(fields["type"]),
        at=fields["at"],
        operation=None if operation is None else Operation(operation),
        cause=fields["cause"],
        upload=_upload(fields["upload"]),
        request=None if request is None else RequestInfo(**request),
    )


def _upload_fields(upload: Upload) -> Mapping[str, Any]:
    kind = upload.kind
    return {
        "id": upload.id,
        "length": upload.length,
        "offset": upload.offset,
        "checkpoint": upload.checkpoint,
        "metadata": upload.metadata.header,
        "partial": isinstance(kind, Partial),
        "parts": list(kind.parts) if isinstance(kind, Final) else None,
        "concat": kind.header if isinstance(kind, Final) else None,
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
        "owner": upload.owner,
        "finished": upload.finished,
        "storage": dict(upload.storage),
        "digests": {name: value.hex() for name, value in upload.digests.items()},
    }


def _upload(fields: Mapping[str, Any]) -> Upload:
    parts, concat = fields["parts"], fields["concat"]
    kind: Kind = Whole()
    if fields["partial"]:
        kind = Partial()
    elif parts is not None:
        kind = Final(parts=tuple(UploadId(part) for part in parts), header=concat)
    return Upload(
        id=UploadId(fields["id"]),
        kind=kind,
        metadata=Metadata(fields["metadata"]),
        digests={k: bytes.fromhex(v) for k, v in fields.get("digests", {}).items()},
        **{
            name: fields[name]
            for name in (
                *("length", "offset", "checkpoint", "created_at", "expires_at"),
                *("owner", "finished", "storage"),
            )
        },
    )
