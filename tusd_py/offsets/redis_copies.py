"""Copies of Redis' records beside the data, from which they are rebuilt. Everything here blocks.

A copy is tusd's `.info` file with the fence of the claim under which it was written; a later
one is never replaced by an earlier one. It is written when more than the offset changes, and
when bytes became durable; what came since then, the size of the data file tells.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..filesystem.calls import OpenFile, mapped_os_errors, sync_parents
from ..filesystem.mounts import is_local
from ..filesystem.seized_names import is_seized_name, newest_seized, plain_path
from ..interfaces import Durability
from ..protocol.errors import TusError, UploadDamaged, UploadNotFound
from ..protocol.model import Upload, UploadId, parse_upload_id
from .record_files import RecordFiles, content_of, try_lock
from .records import Record, parse_record

_LOCK_PATIENCE_S = 1.0
_LOCK_PAUSE_S = 0.005


@dataclass(frozen=True, slots=True)
class Copy:
    """What lies beside the data.

    Attributes:
        upload: with the offset that counts, and the place where the bytes are.
        fence: under which it was written; None if Redis had no part in it yet.
    """

    upload: Upload
    fence: int | None


class Copies(RecordFiles):
    """The copies in one upload directory, which several nodes may share.

    Args:
        path: the upload directory.
        durability: what is promised about power cuts; if nothing is, sizes always count.
        file_mode: of new copies, before the umask.
        boot: names the run of the kernel; only tests give another one.

    Attributes:
        one_host: whether only this host can write there.
        promises_finished: whether a finished upload has to survive a power cut.
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
        if durability is Durability.NONE:
            self.written_boot = None
        self.one_host = False
        self.promises_finished = durability is not Durability.NONE

    def make(self) -> None:
        """Make the folders that copies need, and see whether other hosts can write there, too."""
        super().make()
        self.one_host = is_local(self._directory)

    def add_copy(self, upload: Upload, fence: int, *, durable: bool) -> None:
        """Write the copy of a new upload.

        Raises:
            UploadExists: there is one, which Redis did not know of.
        """
        content = self.format(upload, fence=fence)
        name = partial(self._name_new, upload.id, durable=durable)
        self._write_new(content, name, durable=durable).close()

    def write_copy(
        self, upload: Upload, fence: int, *, exact: bool, durable: bool, replacing: bool = False
    ) -> bool:
        """Write the copy, unless there is a later one; return whether ours is the latest.

        Args:
            upload: what it is to tell.
            fence: of the claim under which it was saved.
            exact: see `Claim.save`.
            durable: return only when it would survive a power cut.
            replacing: only if there is one: the claim was given back, and the next holder may
                have removed the upload.
        """
        path = self._path(upload.id)
        with self._only_writer(upload.id) as present:
            if present is None and replacing:
                return False
            if present is not None and _fence_in(present) > fence:
                return False
            content = self.format(upload, exact=exact, fence=fence)
            if content != present or durable:  # it may have been written in a hurry
                stays = present is not None and self._stays(_checkpoint_in(present))
                with mapped_os_errors():
                    rename = partial(self._new.replace, path=path)
                    self._write_new(content, rename, durable=durable or stays).close()
            if durable:
                with mapped_os_errors():
                    sync_parents(Path(path), self._directory)
        return True

    def remove_copy(self, upload_id: UploadId) -> None:
        """Remove the copy for good; without the sync it would be back after a power cut."""
        path = self._path(upload_id)
        with (
            self._only_writer(upload_id),
            mapped_os_errors(),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
        ):
            os.unlink(path)
            sync_parents(Path(path), self._directory)

    def read_copy(self, upload_id: UploadId) -> Copy | None:
        """Return the copy, or None if there is none.

        Raises:
            UploadNotFound: there are no bytes to it: only half of it was created, or is left.
            UploadDamaged: bytes that it vouches for are missing, or it cannot be read.
        """
        try:
            file = self._open(upload_id)
        except UploadNotFound:
            return None
        with file:
            record = self._understand(upload_id, content_of(file))
            upload = record.upload
            if upload.expires_at is not None:
                # Each byte puts the end off, which Redis alone has noted.
                with mapped_os_errors():
                    later_s = os.stat(upload.storage["Path"]).st_mtime - file.found.st_mtime
                upload = replace(upload, expires_at=upload.expires_at + max(0.0, later_s))
        return Copy(upload, record.fence)

    def size_of(self, upload: Upload) -> int | None:
        """Return how many bytes there are; None if there is no file."""
        try:
            return self._find_data(upload.id, Record(upload=upload))[1]
        except (UploadNotFound, UploadDamaged):
            return None

    def place_of(self, upload: Upload) -> str | None:
        """Return where the bytes are on this host; None if they are not in files.

        Hosts may have mounted the directory at different places.
        """
        named = upload.storage.get("Path")
        if named is None:
            return None
        folder, name = os.path.split(named)
        below = os.path.dirname(upload.id)
        ours = f"{self._directory}/{below}" if below else str(self._directory)
        if folder == ours or not name.startswith(os.path.basename(upload.id)):
            return named
        return f"{ours}/{name}"

    def without_data(self, before: float) -> list[UploadId]:
        """Return the ids of older copies whose bytes are gone."""
        found = []
        for upload_id in self.ids():
            with contextlib.suppress(TusError), self._open(upload_id) as file:
                if self._is_orphan(upload_id, file, before):
                    found.append(upload_id)
        return found

    def seized_files(self, before: float) -> list[tuple[UploadId, str]]:
        """Return older files that seizures made, with the id of the upload that each is of."""
        found = []
        for folder, folders, names in os.walk(self._directory):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (f"{folder}/{name}" for name in names if is_seized_name(name)):
                upload_id = parse_upload_id(os.path.relpath(plain_path(path), self._directory))
                with mapped_os_errors(), contextlib.suppress(FileNotFoundError):
                    # Unlike the other time, this one is new after a renaming.
                    if upload_id is not None and os.lstat(path).st_ctime <= before:
                        found.append((upload_id, path))
        return found

    def is_there(self, path: str) -> bool:
        """Whether there is something at that place."""
        with mapped_os_errors(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(path)
            return True
        return False

    def remove_seized(self, path: str) -> None:
        """Remove a file that a seizure has left."""
        with mapped_os_errors(), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    @contextlib.contextmanager
    def _only_writer(self, upload_id: UploadId) -> Iterator[bytes | None]:
        """Keep other writers of this copy away; give what is in it now.

        A writer that was stopped in here may overwrite ours when it wakes. That is only as if
        ours had not been written yet, so nobody waits for it any longer than this.
        """
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                file = self._open(upload_id)
            except UploadNotFound:
                yield None
                return
            with file:
                locked = try_lock(file)
                late = time.monotonic() >= deadline
                if late or (locked and self._still_current(upload_id, file)):
                    yield content_of(file)
                    return
            if not locked:
                time.sleep(_LOCK_PAUSE_S)

    def _still_current(self, upload_id: UploadId, file: OpenFile) -> bool:
        try:
            return self._is_current(upload_id, file)
        except UploadNotFound:
            return False

    def _find_data(self, upload_id: UploadId, record: Record) -> tuple[Path, int]:
        """Look also where a seizure has put it that nobody could record any more."""
        try:
            return super()._find_data(upload_id, record)
        except (UploadNotFound, UploadDamaged):
            newest = newest_seized(f"{self._directory}/{upload_id}")
            if newest is None:
                raise
            with mapped_os_errors():
                return Path(newest), os.lstat(newest).st_size


def _fence_in(content: bytes) -> int:
    try:
        return parse_record(content).fence or 0
    except UploadDamaged:
        return 0  # torn: ours is better


def _checkpoint_in(content: bytes) -> int:
    try:
        return parse_record(content).upload.checkpoint
    except UploadDamaged:
        return 0
