"""The upload and what belongs to it, as values.

All sizes and offsets are in bytes, all times in seconds since the epoch (UTC).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final as Constant
from typing import NewType

from .metadata import NO_METADATA, Metadata
from .quota import Quota

UploadId = NewType("UploadId", str)
"""An id that `parse_upload_id` has accepted: safe as a path below the upload directory."""

# A segment never begins with a dot, so neither '..' nor a hidden file can be named.
# Slashes are allowed because tusd's hooks may give ids with folders.
_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9_~.+=@-]*"
_ID = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PATH_SEGMENT = re.compile(r"(?!\.)[^\x00-\x1f\x7f/\\,\ud800-\udfff]+")
_RESERVED_SUFFIXES = (".info", ".lock", ".stop", ".state", ".tmp", ".part")
MAX_ID_LENGTH: Constant = 200

# Key in `Upload.storage`: the path under which a finished file has its second name. Of one that
# is not finished yet: the one that it is about to get, everybody having agreed.
PLACED_AT: Constant = "PlacedAt"

# The largest integer of RFC 9651; every number below it survives JSON, Lua and SQLite alike.
LARGEST_SIZE: Constant = 999_999_999_999_999


def parse_upload_id(text: str) -> UploadId | None:
    """Return `text` as an id, or None when no upload can have that id.

    The one gate for ids from URLs, from Upload-Concat and from hooks.
    Suffixes of side files are refused, so that no upload can be named like another's record.
    """
    if len(text) > MAX_ID_LENGTH or not _ID.fullmatch(text):
        return None
    if any(segment.endswith(_RESERVED_SUFFIXES) for segment in text.split("/")):
        return None
    return UploadId(text)


def parse_storage_path(text: str) -> str | None:
    """Return `text` as a path below the upload directory, or None when it may not be used.

    It may have blanks and any letters, but nothing that leads elsewhere, or to what the server
    keeps beside the uploads: names that begin with a dot or end like those of side files, and
    commas, which mark bytes that were taken away from a stale node.
    """
    segments = text.split("/")
    if len(text) > MAX_ID_LENGTH or not all(map(_PATH_SEGMENT.fullmatch, segments)):
        return None
    if any(segment.endswith(_RESERVED_SUFFIXES) for segment in segments):
        return None
    return text


@dataclass(frozen=True, slots=True)
class Whole:
    """An ordinary upload."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A part, meant to be concatenated with others (Upload-Concat: partial)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The concatenation of partial uploads (Upload-Concat: final;...)."""

    parts: tuple[UploadId, ...]
    header: str | None = None  # Upload-Concat as received, for HEAD; None: a record of tusd's


Kind = Whole | Partial | Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload as its record describes it.

    `offset` is what clients are told; `checkpoint` is how much of it is known to be on disk
    and is what counts after a power cut. 0 <= checkpoint <= offset <= length.
    """

    id: UploadId
    length: int | None  # None: not known yet (creation-defer-length)
    offset: int = 0
    checkpoint: int = 0
    metadata: Metadata = NO_METADATA
    kind: Kind = field(default_factory=Whole)
    created_at: float | None = None  # None: not known (a record of tusd's)
    expires_at: float | None = None  # None: never
    owner: str | None = None  # None: created without authorisation
    finished: bool = False  # all that has to happen at completion has happened
    storage: Mapping[str, str] = field(default_factory=dict)  # where the data store keeps the bytes
    max_size: int | None = None  # granted to its creator, in bytes; None: what the server allows
    types: tuple[str, ...] | None = None  # granted likewise: globs such as "video/*"
    digests: Mapping[str, bytes] = field(default_factory=dict)  # of all bytes, by algorithm
    failed: str | None = None  # code of the error for which it will never be finished
    quota: Quota | None = None  # granted likewise: what its owner may have and do
    bytes_per_second: int | None = None  # granted likewise, for this upload

    @property
    def complete(self) -> bool:
        """Whether every byte has arrived."""
        return self.length is not None and self.offset == self.length

    @property
    def missing(self) -> int | None:
        """How many bytes have not arrived yet; None while the length is not known."""
        return None if self.length is None else self.length - self.offset

    def expired(self, now: float) -> bool:
        """Whether the upload may be removed at the time `now`."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one upload may be at most."""

    max_size: int | None = None  # bytes; None: no limit of ours
    expire_after_s: float | None = None  # since the last byte arrived; None: never
    max_parts: int = 1000  # partial uploads in one final

    @property
    def size_ceiling(self) -> int:
        """The largest length that is ever accepted, in bytes."""
        return LARGEST_SIZE if self.max_size is None else self.max_size

    def capped(self, max_size: int | None) -> Limits:
        """Return these limits for somebody who may have at most `max_size` bytes."""
        if max_size is None or max_size >= self.size_ceiling:
            return self
        return replace(self, max_size=max_size)

    def room_of(self, upload: Upload) -> int:
        """How many bytes the upload may still get, at most."""
        ceiling = self.capped(upload.max_size).size_ceiling
        return (ceiling if upload.length is None else upload.length) - upload.offset


CREATION: Constant = "creation"
CREATION_WITH_UPLOAD: Constant = "creation-with-upload"
CREATION_DEFER_LENGTH: Constant = "creation-defer-length"
EXPIRATION: Constant = "expiration"
CHECKSUM: Constant = "checksum"
CHECKSUM_TRAILER: Constant = "checksum-trailer"
TERMINATION: Constant = "termination"
CONCATENATION: Constant = "concatenation"
CONCATENATION_UNFINISHED: Constant = "concatenation-unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What this server can do, as OPTIONS announces it."""

    extensions: tuple[str, ...]
    max_size: int | None = None

    def __contains__(self, extension: str) -> bool:
        """Whether the extension of that name is on."""
        return extension in self.extensions
