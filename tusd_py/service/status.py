"""What an upload looks like to whoever watches it: pure, and the same at every process."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, Protocol

from ..protocol.model import Final, Partial, Upload, UploadId

# No byte for so long, and an upload does not count as being uploaded any more.
IDLE_AFTER_S = 5.0


class State(enum.StrEnum):
    """How far an upload has come."""

    CREATED = "created"  # no byte yet
    UPLOADING = "uploading"  # bytes have come within the last seconds
    IDLE = "idle"  # some have come, but none lately: paused, stalled or given up
    ASSEMBLING = "assembling"  # its parts have not all come, or are being joined
    FINISHED = "finished"  # all bytes are stored, and it is final
    FAILED = "failed"  # stored bytes are missing; it cannot be continued
    EXPIRED = "expired"  # its time is over, and it will be removed
    GONE = "gone"  # removed while somebody watched


KindName = Literal["whole", "partial", "final"]

LAST_STATES = frozenset({State.FINISHED, State.FAILED, State.EXPIRED, State.GONE})


class Moving(Protocol):
    """What is known of an upload that is being received by this very process."""

    @property
    def offset(self) -> int:
        """Bytes that have come; not all of them need be stored."""

    @property
    def speed(self) -> float:
        """Bytes a second, lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An upload, at the moment somebody looked.

    Attributes:
        upload: its record; None: it is damaged, and not even that can be read.
        offset: bytes that have come; the last ones may not be stored yet.
        speed: bytes a second, lately; None: not known.
        updated_at: when bytes were last stored, in seconds since the epoch; None: not known.
    """

    id: UploadId
    upload: Upload | None
    state: State
    offset: int = 0
    speed: float | None = None
    updated_at: float | None = None

    @property
    def length(self) -> int | None:
        """All bytes; None: not known."""
        return None if self.upload is None else self.upload.length

    @property
    def progress(self) -> float | None:
        """Per cent of all bytes; None: not known how many those are."""
        if self.length is None:
            return None
        return 100.0 * self.offset / self.length if self.length else 100.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until all bytes have come at this speed; None: not known."""
        if self.length is None or not self.speed or self.state is not State.UPLOADING:
            return None
        return (self.length - self.offset) / self.speed


def describe(
    upload: Upload, *, now: float, updated_at: float | None, moving: Moving | None = None
) -> Status:
    """Return what an upload looks like.

    Args:
        now: seconds since the epoch.
        updated_at: when bytes of it were last stored.
        moving: if this process is receiving it.
    """
    offset = upload.offset
    if moving is not None and not upload.complete:
        offset = max(offset, moving.offset)
        if upload.length is not None:
            offset = min(offset, upload.length)
    return Status(
        id=upload.id,
        upload=upload,
        state=_state_of(upload, offset, now, updated_at),
        offset=offset,
        speed=None if moving is None else moving.speed,
        updated_at=updated_at,
    )


def damaged(upload_id: UploadId, upload: Upload | None = None) -> Status:
    """Return what an upload looks like whose bytes, or whose record, cannot be used."""
    return Status(id=upload_id, upload=upload, state=State.FAILED)


def _state_of(upload: Upload, offset: int, now: float, updated_at: float | None) -> State:
    if upload.expired(now):
        return State.EXPIRED
    if upload.finished:
        return State.FINISHED
    if isinstance(upload.kind, Final):
        return State.ASSEMBLING
    if not offset:
        return State.CREATED
    if updated_at is not None and now - updated_at < IDLE_AFTER_S:
        return State.UPLOADING
    return State.IDLE


def kind_of(upload: Upload) -> KindName:
    """Return the name of the kind of an upload."""
    match upload.kind:
        case Partial():
            return "partial"
        case Final():
            return "final"
        case _:
            return "whole"
