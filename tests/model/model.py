"""What the service has to do, in a few lines without a file, a lock or an await.

The model holds what clients have been told. `Sent` is a body; what becomes of it is the name of
an error of `tusd_py.protocol.errors`, or "ok".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tusd_py.protocol.model import LARGEST_SIZE

OK: Final = "ok"
EXPIRE_AFTER_S: Final = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A body.

    Attributes:
        data: what arrives of it.
        announced: its Content-Length; None: chunked.
        checksum: whether the announced checksum is right; None: there is none.
        cut: whether the connection breaks behind `data`.
    """

    data: bytes = b""
    announced: int | None = None
    checksum: bool | None = None
    cut: bool = False


@dataclass(slots=True, kw_only=True)
class Entry:
    """One upload."""

    owner: str
    length: int | None
    kind: str = "whole"  # or "partial", "final"
    parts: tuple[str, ...] = ()
    content: bytes = b""
    expires_at: float | None = None
    finished: bool = False

    @property
    def offset(self) -> int:
        """What HEAD tells."""
        return len(self.content)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return self.offset == self.length

    @property
    def room(self) -> int:
        """How many bytes more it may have."""
        return (LARGEST_SIZE if self.length is None else self.length) - self.offset


@dataclass(slots=True)
class Model:
    """All uploads, and the time."""

    now: float = 1_700_000_000.0
    uploads: dict[str, Entry] = field(default_factory=dict)

    # --- operations; each returns how it has to end

    def create(self, name: str, entry: Entry, sent: Sent | None) -> str:
        """POST."""
        if sent is not None and (error := self._too_long(entry, sent)) is not None:
            return error
        if sent is not None and sent.checksum is False and not sent.cut:
            return "ChecksumMismatch"
        if sent is not None and (sent.checksum is None or not sent.cut):
            entry.content = sent.data
        self.uploads[name] = entry
        self._settle(entry, moved=True)
        return OK

    def create_final(self, name: str, owner: str, parts: Sequence[str]) -> str:
        """POST of a final upload."""
        entries = [self.uploads.get(part) for part in parts]
        for entry in entries:
            if entry is None or entry.owner != owner:
                return "UploadNotFound"
        for entry in entries:
            assert entry is not None
            if self._expired(entry):
                return "UploadExpired"
            if entry.kind != "partial":
                return "InvalidConcat"
        self.uploads[name] = Entry(owner=owner, length=None, kind="final", parts=tuple(parts))
        self._settle(self.uploads[name], moved=True)
        self.join()
        return OK

    def append(self, name: str, owner: str, offset: int, sent: Sent, declared: int | None) -> str:
        """PATCH."""
        entry = self.uploads.get(name)
        if (error := self._unusable(entry, owner)) is not None:
            return error
        assert entry is not None
        if entry.kind == "final":
            return "ModifyFinal"
        if offset != entry.offset:
            return "MismatchedOffset"
        if declared is not None and declared != entry.length:
            if entry.length is not None or declared < entry.offset:
                return "InvalidUploadLength"
            trial = Entry(owner=owner, length=declared, content=entry.content)
            if sent.announced is not None and sent.announced > trial.room:
                return "UploadSizeExceeded"
            entry.length = declared
        return self._receive(entry, sent)

    def inspect(self, name: str, owner: str) -> str:
        """HEAD."""
        return self._unusable(self.uploads.get(name), owner) or OK

    def fetch(self, name: str, owner: str) -> str:
        """GET."""
        entry = self.uploads.get(name)
        if (error := self._unusable(entry, owner)) is not None:
            return error
        return OK if entry is not None and entry.complete else "IncompleteUpload"

    def terminate(self, name: str, owner: str) -> str:
        """DELETE."""
        error = self._unusable(self.uploads.get(name), owner)
        if error is None:
            del self.uploads[name]
        return error or OK

    def sweep(self) -> None:
        """Remove what has expired."""
        for name in self.expired():
            del self.uploads[name]

    def expired(self) -> list[str]:
        """Return the uploads that the next sweep removes."""
        return [name for name, entry in self.uploads.items() if self._expired(entry)]

    def join(self) -> None:
        """Join the parts of final uploads, where all of them are complete."""
        for entry in self.uploads.values():
            if entry.kind != "final" or entry.finished or self._expired(entry):
                continue
            parts = [self.uploads.get(part) for part in entry.parts]
            if all(part is not None and part.complete for part in parts):
                entry.content = b"".join(part.content for part in parts if part is not None)
                entry.length = len(entry.content)
                self._settle(entry, moved=True)

    # --- rules

    def _receive(self, entry: Entry, sent: Sent) -> str:
        error = self._too_long(entry, sent)
        if error is not None and sent.announced is not None:
            return error
        if error is None and sent.checksum is False and not sent.cut:
            error = "ChecksumMismatch"
        kept = b"" if error is not None or (sent.checksum is not None and sent.cut) else sent.data
        entry.content += kept
        self._settle(entry, moved=bool(kept))
        self.join()
        return error or ("UnexpectedEOF" if sent.cut else OK)

    def _too_long(self, entry: Entry, sent: Sent) -> str | None:
        if max(len(sent.data), sent.announced or 0) <= entry.room:
            return None
        return "MaxSizeExceeded" if entry.length is None else "UploadSizeExceeded"

    def _settle(self, entry: Entry, *, moved: bool) -> None:
        completes = entry.complete and not entry.finished
        entry.finished = entry.complete
        if moved or completes:
            kept = entry.complete and entry.kind != "partial"
            entry.expires_at = None if kept else self.now + EXPIRE_AFTER_S

    def _unusable(self, entry: Entry | None, owner: str) -> str | None:
        if entry is None or entry.owner != owner:
            return "UploadNotFound"
        return "UploadExpired" if self._expired(entry) else None

    def _expired(self, entry: Entry) -> bool:
        return entry.expires_at is not None and entry.expires_at <= self.now
