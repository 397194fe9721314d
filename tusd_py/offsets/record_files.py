"""Records as files, one beside the data of each upload: what both stores share. All of it blocks.

The embedded store locks such a file for its claim (`directory`); beside Redis it is a copy with
a fence (`redis_copies`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable
from dataclasses import replace
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
from ..protocol.errors import UploadDamaged, UploadExists, UploadNotFound
from ..protocol.model import Upload, UploadId, parse_upload_id
from .records import Record, format_record, parse_record

_USUAL_BYTES = 16 * 1024  # more than most records have


class RecordFiles:
    """The `.info` files in one upload directory.

    Args:
        path: the upload directory.
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
        self.boot = boot_id() if boot is None else boot
        self.written_boot: str | None = self.boot
        self._durability = durability

    def check(self) -> None:
        """See `OffsetStore.check`; whether there is room is what the data store tells."""
        with mapped_os_errors():
            os.stat(self._directory / PRIVATE_FOLDER)

    def make(self) -> None:
        """Make the folders that records need."""
        self._new.make()
        with mapped_os_errors():  # a process that was killed may have left that to be done
            sync_directory(self._directory)

    def close(self) -> None:
        """Let go of the directory."""
        self._new.close()

    def format(self, upload: Upload, *, exact: bool = False, fence: int | None = None) -> bytes:
        """Return the record that says `upload`, and nothing of bytes behind it if `exact`."""
        exact_at = upload.offset if exact else None
        return format_record(
            Record(upload=upload, boot=self.written_boot, exact_at=exact_at, fence=fence)
        )

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

    def _write_new(
        self, content: bytes, give_name: Callable[[str], None], *, durable: bool
    ) -> OpenFile:
        """Write a record, lock it, and have it given its name; if that fails, it is given up.

        Whatever refers to the error would keep the file open, and so the upload locked.
        """
        file, place = self._new.write(content, durable=durable)
        try:
            try_lock(file)
            give_name(place)
        except BaseException:
            file.close()
            self._new.give_up(place)
            raise
        return file

    def _name_new(self, upload_id: UploadId, place: str, *, durable: bool) -> None:
        """Make what is at `place` the record of a new upload.

        Raises:
            UploadExists: it has one.
        """
        path = self._path(upload_id)
        with mapped_os_errors():
            if "/" in upload_id:
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

    def _is_current(self, upload_id: UploadId, file: OpenFile) -> bool:
        try:
            return os.path.samestat(file.found, os.stat(self._path(upload_id)))
        except FileNotFoundError:
            raise UploadNotFound from None

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
            offset = record.offset_for(size, self.boot)
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

    def _is_orphan(self, upload_id: UploadId, file: OpenFile, before: float) -> bool:
        if file.found.st_mtime > before or not self._is_current(upload_id, file):
            return False
        record = parse_record(content_of(file))
        try:
            self._find_data(upload_id, record)
        except (UploadNotFound, UploadDamaged):
            return True
        return False

    def _path(self, upload_id: UploadId) -> str:
        return f"{self._directory}/{upload_id}.info"


def try_lock(file: OpenFile) -> bool:
    """Lock the file, unless somebody else has done so."""
    with mapped_os_errors():
        try:
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def content_of(file: OpenFile) -> bytes:
    """Return all that is in the file."""
    with mapped_os_errors():
        content = os.pread(file.fd, _USUAL_BYTES, 0)
        if len(content) == _USUAL_BYTES:
            content += os.pread(file.fd, file.found.st_size, _USUAL_BYTES)
    return content
