"""What a request asks for and what came of it, whatever the dialect it is asked in."""

from __future__ import annotations

from dataclasses import dataclass

from .checksum import Checksum, ChecksumInTrailer
from .metadata import Metadata
from .model import Kind, Upload, UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyHead:
    """What the head of a request says about the bytes that follow it.

    Attributes:
        length: Content-Length; None: chunked.
        trailers: names of the fields that are announced to come behind it, in lower case.
    """

    length: int | None
    checksum: Checksum | ChecksumInTrailer | None = None
    trailers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Discover:
    """OPTIONS: what can the server do?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """POST on the creation URL: make an upload, perhaps with its first bytes."""

    length: int | None  # None: deferred, or a final upload
    metadata: Metadata
    kind: Kind
    body: BodyHead | None  # None: no bytes of the upload come along


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspect:
    """HEAD: how far did it get?"""

    id: UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """PATCH: more bytes."""

    id: UploadId
    offset: int
    declared_length: int | None  # Upload-Length, once a deferred length is known
    body: BodyHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """DELETE: remove it."""

    id: UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """GET: give it back."""

    id: UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """GET with ``?status``: how does it stand?"""

    id: UploadId


Command = Discover | Create | Inspect | Append | Terminate | Fetch | Watch


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the server can do is in the head of every dialect."""


@dataclass(frozen=True, slots=True)
class Created:
    """The upload exists; `upload.offset` bytes of it came along."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Inspected:
    """The upload as it stands, no other request writing to it."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Appended:
    """The whole body is stored."""

    upload: Upload


@dataclass(frozen=True, slots=True)
class Terminated:
    """The upload is gone."""


Outcome = Discovered | Created | Inspected | Appended | Terminated
