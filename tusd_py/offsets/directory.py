"""The directory of records, as blocking calls: read, lock, replace, remove, look through.

The lock is on the record, so one open file gives both. A record is replaced by renaming a new
file over it, which the holder locks before it gets the name: the lock moves along, and whoever
waited on the old file finds that it is no longer the record and looks again. Nothing is left
behind by a dead process, for the kernel drops its locks (no PID files, no leases).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..filesystem.calls import (
    OpenFile,
    mapped_os_errors,
    sync_directory,
    sync_parents,
)
from ..interfaces import Durability, Listed
from ..protocol.errors import ClaimLost, StoreUnavailable, TusError, UploadNotFound
from ..protocol.model import Upload, UploadId
from .record_files import RecordFiles, content_of, try_lock
from .records import Record


@dataclass(frozen=True, slots=True)
class Locked:
    """The record, and the open file whose lock is the claim; `exact` is as for `Claim`."""

    file: OpenFile
    upload: Upload
    content: bytes
    exact: bool = False


class RecordDirectory(RecordFiles):
    """The records in one upload directory, each with the lock that is the claim on its upload.

    All processes that serve the directory must run on one kernel. The arguments are those of
    `RecordFiles`.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = Durability.COMPLETE,
        file_mode: int = 0o664,
        boot: str | None = None,
    ) -> None:
        super().__init__(path, durability=durability, file_mode=file_mode, boot=boot)
        self._unsynced: set[UploadId] = set()  # replaced durably, but for the last sync

    def add(self, upload: Upload, *, durable: bool) -> Locked:
        """Make the record of a new upload, and hold it; see `OffsetStore.create`."""
        content = self.format(upload)
        name = partial(self._name_new, upload.id, durable=durable)
        return Locked(self._write_new(content, name, durable=durable), upload, content)

    def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        """See `OffsetStore.get`."""
        with self._open(upload_id) as file:
            upload = self._understand(upload_id, content_of(file), damaged=damaged).upload
        if upload_id in self._unsynced:  # nobody must be told of it before it would stay
            with mapped_os_errors():
                sync_parents(Path(self._path(upload_id)), self._directory)
        return upload

    def try_lock(self, upload_id: UploadId, *, damaged: bool = False) -> Locked | None:
        """Lock the record, or return None while somebody else has it."""
        while True:
            with contextlib.ExitStack() as closing:
                file = closing.enter_context(self._open(upload_id))
                if not try_lock(file):
                    return None
                # If not, it was replaced or removed between open and lock: look again.
                if self._is_current(upload_id, file):
                    content = content_of(file)
                    record = self._understand(upload_id, content, damaged=damaged)
                    closing.pop_all()
                    # Else what was cut off since would count if it came back.
                    exact = record.exact_at == record.upload.offset
                    return Locked(file, record.upload, content, exact)

    def replace(self, locked: Locked, saved: Locked, *, durable: bool) -> Locked:
        """Make what is `saved`, but for its file, the record, and hold the new one.

        To be on disk its name needs a `sync` as well.
        """
        with mapped_os_errors():
            _check_named(locked)
        upload_id = saved.upload.id
        if saved.content == locked.content and not durable:
            return dataclasses.replace(saved, file=locked.file)

        def rename(place: str) -> None:
            if durable:
                self._unsynced.add(upload_id)
            else:
                self._unsynced.discard(upload_id)
            with mapped_os_errors():
                self._new.replace(place, self._path(upload_id))

        on_disk = durable or self._stays(locked.upload.checkpoint)
        new = self._write_new(saved.content, rename, durable=on_disk)
        locked.file.close()
        return dataclasses.replace(saved, file=new)

    def sync(self, upload_id: UploadId) -> None:
        """Have the name of a record survive a power cut."""
        with mapped_os_errors():
            sync_parents(Path(self._path(upload_id)), self._directory)
        self._unsynced.discard(upload_id)

    def remove(self, locked: Locked) -> None:
        """Remove the record for good; without the sync it would be back after a power cut."""
        path = self._path(locked.upload.id)
        with mapped_os_errors():
            _check_named(locked)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            sync_directory(os.path.dirname(path))

    def read_some(self, upload_ids: list[UploadId]) -> list[Record]:
        """Return the records that can be read."""
        records = []
        for upload_id in upload_ids:
            # What is unreadable or just went away is no reason to stop looking at the others.
            with contextlib.suppress(TusError), self._open(upload_id) as file:
                records.append(self._understand(upload_id, content_of(file)))
        return records

    def look_at(self, upload_ids: Sequence[UploadId]) -> list[Listed]:
        """Return those that are there, the damaged ones among them; see `OffsetStore.uploads`."""
        found = []
        for upload_id in upload_ids:
            try:
                found.append(Listed(upload_id, self.get(upload_id)))
            except UploadNotFound:  # it went away just now
                continue
            except StoreUnavailable:
                raise
            except TusError:
                found.append(Listed(upload_id, None))
        return found

    def remove_orphans(self, before: float) -> list[str]:
        """Remove records whose bytes are gone, and new ones that never got their name.

        The first is what a crash in the middle of a termination leaves, the second one in the
        middle of a save; both only if they are older than `before`.
        """
        removed = self._new.remove_older(before)
        for upload_id in self.ids():
            # Gone meanwhile, unreadable, or held by whoever is just terminating it.
            with contextlib.suppress(TusError, BlockingIOError), self._open(upload_id) as file:
                if try_lock(file) and self._is_orphan(upload_id, file, before):
                    os.unlink(self._path(upload_id))
                    removed.append(upload_id)
        return removed


def _check_named(locked: Locked) -> None:
    if not os.fstat(locked.file.fd).st_nlink:  # removed or replaced behind our back
        raise ClaimLost
