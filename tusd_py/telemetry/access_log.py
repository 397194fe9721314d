"""One line for each request, and one for each thing that happens to an upload, as tusd names it."""

from __future__ import annotations

import logging
from typing import Final

from ..interfaces.occurrences import (
    Answered,
    BodyEnded,
    Created,
    Finished,
    HookCalled,
    Terminated,
)
from ..protocol import errors
from .logs import EventLog, Fields
from .several import Notes

_FAILED: Final = frozenset(
    error.code
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.TusError) and error.status >= 500
)
# Of these an operator should know; the other faults are those of clients, or pass by themselves.
_TROUBLE: Final = frozenset(
    {
        errors.StoreUnavailable.code,
        errors.InsufficientStorage.code,
        errors.HookUnavailable.code,
        errors.AuthorizationUnavailable.code,
        errors.UploadDamaged.code,
    }
)


# What clients send must not fill the log; the longest id has 200 characters.
_PATH_LENGTH = 256


class AccessLog:
    """Writes the lines.

    Args:
        log: where to.

    Attributes:
        notes: what takes note of what.
    """

    def __init__(self, log: EventLog | None = None) -> None:
        self._log = EventLog("tusd_py.access") if log is None else log
        self.notes: Notes = {
            Answered: self._answered,
            BodyEnded: self._body_ended,
            Created: self._created,
            Finished: self._finished,
            HookCalled: self._hook_called,
            Terminated: self._terminated,
        }

    def _answered(self, one: Answered) -> None:
        level, outcome = _judged(one)
        self._log.log(
            level,
            "ResponseOutgoing",
            {
                "method": one.method,
                "path": one.path[:_PATH_LENGTH],
                "status": one.status,
                "outcome": outcome,
                "code": one.code,
                "requestId": one.request_id,
                "id": one.upload_id,
                "offset": one.offset,
                "offset_after": one.stored,
                "bytes": one.received,
                "duration_ms": _ms(one.duration_s),
            },
        )

    def _created(self, one: Created) -> None:
        fields: Fields = {"id": one.upload.id, "size": one.upload.length}
        self._log.log(logging.INFO, "UploadCreated", fields)

    def _finished(self, one: Finished) -> None:
        duration_ms = None if one.duration_s is None else _ms(one.duration_s)
        fields: Fields = {
            "id": one.upload.id,
            "size": one.upload.offset,
            "duration_ms": duration_ms,
        }
        self._log.log(logging.INFO, "UploadFinished", fields)

    def _terminated(self, one: Terminated) -> None:
        fields: Fields = {
            "id": one.upload.id,
            "offset": one.upload.offset,
            "size": one.upload.length,
        }
        self._log.log(logging.INFO, "UploadTerminated", fields)

    def _body_ended(self, one: BodyEnded) -> None:
        if not self._log.verbose:
            return
        self._log.log(
            logging.DEBUG,
            "ChunkWriteComplete",
            {
                "id": one.upload.id,
                "bytesWritten": one.received,
                "offset": one.upload.offset,
                "duration_ms": _ms(one.duration_s),
                "cause": one.cause,
            },
        )

    def _hook_called(self, one: HookCalled) -> None:
        fields: Fields = {
            "hook": one.type.value,
            "receiver": one.receiver or None,
            "duration_ms": _ms(one.duration_s),
        }
        # What was to be delivered is tried again, and whoever does that says so.
        if one.error is not None and not one.receiver:
            self._log.log(logging.WARNING, "HookInvocationError", {**fields, "reason": one.error})
        elif self._log.verbose:
            self._log.log(logging.DEBUG, "HookInvocationFinish", fields)


def _judged(one: Answered) -> tuple[int, str]:
    """Return level and outcome: a fault of ours is one, whatever the client was told."""
    if one.code is None:
        return logging.INFO, "ok" if one.status < 400 else "refused"
    outcome = "failed" if one.code in _FAILED else "refused"
    if one.code == errors.InternalError.code:
        return logging.ERROR, outcome
    return logging.WARNING if one.code in _TROUBLE else logging.INFO, outcome


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
