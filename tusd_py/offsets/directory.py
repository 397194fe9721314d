"""The directory of records, as blocking calls: read, lock, replace, remove, look through.

The lock is on the record, so one open file gives both. A record is replaced by renaming a new
file over it, which the holder locks before it gets the name: the lock moves along, and whoever
waited on the old file finds that it is no longer the record and looks again. Nothing is left
behind by a dead process, for the kernel drops its locks (no PID files, no leases).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..filesystem.calls import (
    OpenFile,
    boot_id,
    mapped_os_errors,
    open_regular,
    sync_directory,
    sync_parents,
)
from ..filesystem.new_files import PRIVATE_FOLDER, NewFiles
from ..interfaces import Durability
from ..protocol.errors import ClaimLost, TusError, UploadDamaged, UploadExists, UploadNotFound
from ..protocol.model import Upload, UploadId, parse_upload_id
from .records import Record, format_record, parse_record

_USUAL_BYTES = 16 * 1024  # more than most records have


@dataclass(frozen=True, slots=True)
class Locked:
    """The record, and the open file whose lock is the claim."""

    file: OpenFile
    upload: Upload
    content: bytes


class RecordDirectory:
    """The records in one upload directory.

    Args:
        path: the upload directory; all processes that serve it must run on one kernel.
        durability: what is promised about power cuts.
        file_mode: of new records, before the umask.
        boot: names the run of the kernel; only tests give another one.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = Durability.COMPLETE,
        file_mode: int = 0o664,
        boot: str | None = None,
    ) -> None:
        self._directory = path
        self._new = NewFiles(path, file_mode)
        self.bells = path / PRIVATE_FOLDER / "bells"
        self._boot = boot_id() if boot is None else boot
        self._durability = durability
        self._unsynced: set[UploadId] = set()  # replaced durably, but for the last sync

    def make(self) -> None:
        """Make the folders that records need."""
        self._new.make()
        with mapped_os_errors():  # a process that was killed may have left that to be done
            sync_directory(self._directory)

    def add(self, upload: Upload, *, durable: bool) -> Locked:
        """Make the record of a new upload, and hold it; see `OffsetStore.create`."""
        content = self.format(upload)
        path = self._path(upload.id)
        with self._locked_new(content, durable=durable) as (file, place), mapped_os_errors():
            if "/" in upload.id:
                os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                self._new.give_name(place, path)
            except FileExistsError:
                raise UploadExists from None
            if durable:
                try:
                    sync_parents(Path(path), self._directory)
                except OSError:
                    os.unlink(path)
                    raise
        return Locked(file, upload, content)

    @contextlib.contextmanager
    def _locked_new(self, content: bytes, *, durable: bool) -> Iterator[tuple[OpenFile, str]]:
        """Write a record that has no name yet, and lock it; on an error it is given up.

        Whatever refers to the error would keep the file open, and so the upload locked.
        """
        file, place = self._new.write(content, durable=durable)
        try:
            with mapped_os_errors():
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield file, place
        except BaseException:
            file.close()
            self._new.give_up(place)
            raise

    def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        """See `OffsetStore.get`."""
        with self._open(upload_id) as file:
            upload = self._understand(upload_id, _content_of(file), damaged=damaged).upload
        if upload_id in self._unsynced:  # nobody must be told of it before it would stay
            with mapped_os_errors():
                sync_parents(Path(self._path(upload_id)), self._directory)
        return upload

    def try_lock(self, upload_id: UploadId, *, damaged: bool = False) -> Locked | None:
        """Lock the record, or return None while somebody else has it."""
        while True:
            with contextlib.ExitStack() as closing:
                file = closing.enter_context(self._open(upload_id))
                try:
                    fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return None
                # If not, it was replaced or removed between open and lock: look again.
                if self._is_current(upload_id, file):
                    content = _content_of(file)
                    upload = self._understand(upload_id, content, damaged=damaged).upload
                    closing.pop_all()
                    return Locked(file, upload, content)

    def _is_current(self, upload_id: UploadId, file: OpenFile) -> bool:
        try:
            return os.path.samestat(file.found, os.stat(self._path(upload_id)))
        except FileNotFoundError:
            raise UploadNotFound from None

    def replace(self, locked: Locked, upload: Upload, content: bytes, *, durable: bool) -> Locked:
        """Make `upload`, whose record is `content`, what `locked` holds, and hold the new one.

        To be on disk its name needs a `sync` as well.
        """
        with mapped_os_errors():
            _check_named(locked)
        if content == locked.content and not durable:
            return Locked(locked.file, upload, content)
        on_disk = durable or self._stays(locked.upload.checkpoint)
        with self._locked_new(content, durable=on_disk) as (new, place), mapped_os_errors():
            if durable:
                self._unsynced.add(upload.id)
            else:
                self._unsynced.discard(upload.id)
            os.rename(place, self._path(upload.id))
        locked.file.close()
        return Locked(new, upload, content)

    def sync(self, upload_id: UploadId) -> None:
        """Have the name of a record survive a power cut."""
        with mapped_os_errors():
            sync_parents(Path(self._path(upload_id)), self._directory)
        self._unsynced.discard(upload_id)

    def _stays(self, checkpoint: int) -> bool:
        """Whether a record with that checkpoint, or what replaces it, has to survive a power cut.

        Some file systems (XFS) keep a renaming but not what was written before it: the record
        would be empty.
        """
        match self._durability:
            case Durability.NONE:
                return False
            case Durability.COMPLETE:
                return checkpoint > 0
            case Durability.ACK:
                return True

    def remove(self, locked: Locked) -> None:
        """Remove the record for good; without the sync it would be back after a power cut."""
        path = self._path(locked.upload.id)
        with mapped_os_errors():
            _check_named(locked)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            sync_directory(os.path.dirname(path))

    def format(self, upload: Upload, *, exact: bool = False) -> bytes:
        """Return the record that says `upload`, and nothing of bytes behind it if `exact`."""
        exact_at = upload.offset if exact else None
        return format_record(Record(upload=upload, boot=self._boot, exact_at=exact_at))

    def _open(self, upload_id: UploadId) -> OpenFile:
        with mapped_os_errors():
            try:
                return open_regular(self._path(upload_id), os.O_RDONLY)
            except (FileNotFoundError, NotADirectoryError):
                raise UploadNotFound from None

    def _understand(self, upload_id: UploadId, content: bytes, *, damaged: bool = False) -> Record:
        """Return the record with the offset that counts and the place where the bytes are.

        Of an upload that may be `damaged`, and is, no byte counts.
        """
        record = parse_record(content)
        upload = record.upload
        place, offset = self._directory / upload_id, 0
        try:
            place, size = self._find_data(upload_id, record)
            offset = record.offset_for(size, self._boot)
        except UploadDamaged:
            if not damaged:
                raise
        upload = replace(
            upload,
            id=upload_id,
            offset=offset,
            storage={**upload.storage, "Path": str(place)},
        )
        # tusd keeps no such mark; what it completed, it has finished.
        finished = upload.finished or (not record.ours and upload.complete)
        return replace(record, upload=replace(upload, finished=finished))

    def _find_data(self, upload_id: UploadId, record: Record) -> tuple[Path, int]:
        """Return where the data file is, and its size.

        tusd keeps absolute paths; after the directory has moved, the file is beside its record.
        """
        beside = self._directory / upload_id
        named = record.upload.storage.get("Path")
        for path in (self._place_of(named) if named else beside, beside):
            with mapped_os_errors(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = os.lstat(path)
                if not stat.S_ISREG(found.st_mode):  # planted: nothing of ours
                    raise UploadDamaged
                return path, found.st_size
        # Without a promise to keep it is a creation or a termination that a crash cut short.
        raise (
            UploadDamaged if record.upload.checkpoint or record.upload.finished else UploadNotFound
        )

    def _place_of(self, named: str) -> Path:
        """Return the place that a record names; elsewhere, links of the operator's are followed."""
        path = self._directory / named
        if str(path).startswith(f"{self._directory}/"):
            return path
        return Path(os.path.realpath(path.parent)) / path.name

    def ids(self) -> list[UploadId]:
        """Return the ids that have a record, in any order."""
        found = []
        for folder, folders, names in os.walk(self._directory):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below = os.path.relpath(folder, self._directory)
            for name in names:
                text = os.path.normpath(os.path.join(below, name.removesuffix(".info")))
                if name.endswith(".info") and (upload_id := parse_upload_id(text)):
                    found.append(upload_id)
        return found

    def read_some(self, upload_ids: list[UploadId]) -> list[Record]:
        """Return the records that can be read."""
        records = []
        for upload_id in upload_ids:
            # What is unreadable or just went away is no reason to stop looking at the others.
            with contextlib.suppress(TusError), self._open(upload_id) as file:
                records.append(self._understand(upload_id, _content_of(file)))
        return records

    def remove_orphans(self, before: float) -> list[str]:
        """Remove records whose bytes are gone, and new ones that never got their name.

        The first is what a crash in the middle of a termination leaves, the second one in the
        middle of a save; both only if they are older than `before`.
        """
        removed = self._new.remove_older(before)
        for upload_id in self.ids():
            # Gone meanwhile, unreadable, or held by whoever is just terminating it.
            with contextlib.suppress(TusError, BlockingIOError), self._open(upload_id) as file:
                fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_orphan(upload_id, file, before):
                    os.unlink(self._path(upload_id))
                    removed.append(upload_id)
        return removed

    def _is_orphan(self, upload_id: UploadId, file: OpenFile, before: float) -> bool:
        if file.found.st_mtime > before or not self._is_current(upload_id, file):
            return False
        record = parse_record(_content_of(file))
        try:
            self._find_data(upload_id, record)
        except (UploadNotFound, UploadDamaged):
            return True
        return False

    def _path(self, upload_id: UploadId) -> str:
        return f"{self._directory}/{upload_id}.info"


def _check_named(locked: Locked) -> None:
    if not os.fstat(locked.file.fd).st_nlink:  # removed or replaced behind our back
        raise ClaimLost


def _content_of(file: OpenFile) -> bytes:
    with mapped_os_errors():
        content = os.pread(file.fd, _USUAL_BYTES, 0)
        if len(content) == _USUAL_BYTES:
            content += os.pread(file.fd, file.found.st_size, _USUAL_BYTES)
    return content
