"""What happens, for those who only watch: metrics, logs, history, live progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.model import Upload, UploadId
from .application import HookType


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """There is a new upload."""

    upload: Upload  # with no bytes yet


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBegun:
    """Bytes of an upload begin to be stored; it is resumed if it has some already."""

    upload: Upload  # as it was before
    received: Callable[[], int]  # how many bytes of this body have come by now


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEnded:
    """No more bytes of a body are stored."""

    upload: Upload  # as it is now
    received: int  # bytes; more than are kept if they were refused
    duration_s: float
    cause: str | None  # code of the error that ended it; None: it came to its own end


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """All bytes of an upload are stored, and it is final."""

    upload: Upload
    duration_s: float | None  # since its creation; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """An upload was removed because a client, or the application, wanted it."""

    upload: Upload  # as it was; cancelled if it was not finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """An upload was removed because its time was over."""

    upload: Upload  # as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A request has got the claim of an upload, or has waited for it in vain."""

    upload_id: UploadId
    wait_s: float
    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCalled:
    """A hook was asked or told something."""

    type: HookType
    receiver: str  # of what is told; empty: all that have a say were asked
    duration_s: float
    error: str | None  # None: it went well; a refusal is no error


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request has been answered."""

    method: str  # the effective one
    path: str  # as received, without the query
    status: int
    code: str | None  # of the error; None: there was none
    duration_s: float
    request_id: str | None  # X-Request-ID as received
    upload_id: UploadId | None
    offset: int | None  # where the client wanted to go on
    stored: int | None  # the offset the upload has afterwards, if that is known
    received: int  # bytes of the body
    first_byte_s: float | None  # until the first of them came; None: none came


Occurrence = (
    Created
    | BodyBegun
    | BodyEnded
    | Finished
    | Terminated
    | Expired
    | Claimed
    | HookCalled
    | Answered
)

Observe = Callable[[Occurrence], None]
"""Takes note. Called from the event loop; neither raises nor waits."""


def ignore(occurrence: Occurrence) -> None:
    """Take no note."""
