"""Records as tusd's `.info` files beside the data; claims as kernel locks on those very files.

The lock is on the record, so one open file gives both. A record is replaced by renaming a new
file over it, which the holder locks before it gets the name: the lock moves along, and whoever
waited on the old file finds that it is no longer the record and looks again. Nothing is left
behind by a dead process, for the kernel drops its locks (no PID files, no leases).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ..filesystem.calls import (
    OpenFile,
    boot_id,
    mapped_os_errors,
    open_regular,
    sync_directory,
    sync_parents,
    write_all,
)
from ..interfaces import FileWork
from ..protocol.errors import (
    ClaimLost,
    TusError,
    UploadDamaged,
    UploadExists,
    UploadLocked,
    UploadNotFound,
)
from ..protocol.model import Final, Upload, UploadId, parse_upload_id
from .bells import Bell
from .records import Record, format_record, parse_record
from .turns import Turn, Turns

# A bell can be missed (a full pipe, a process that just died); then the lock is tried again.
_RETRY_S = 0.25
_SCAN_BATCH = 256
_PRIVATE = ".tusd_py"


@dataclass(frozen=True, slots=True)
class _Locked:
    """The record, and the open file whose lock is the claim."""

    file: OpenFile
    upload: Upload
    content: bytes


class FileOffsets:
    """Implements `OffsetStore` in the upload directory.

    Args:
        directory: the upload directory; all processes that serve it must run on one kernel.
        run: for file work.
        checkpoints: False when nothing is promised about power cuts, so that sizes always count.
        boot: names the run of the kernel; only tests give another one.
    """

    def __init__(
        self,
        directory: Path,
        run: FileWork,
        *,
        checkpoints: bool = True,
        file_mode: int = 0o664,
        boot: str | None = None,
    ) -> None:
        self._directory = directory
        self._private = directory / _PRIVATE
        self.run = run
        self._file_mode = file_mode
        self._boot = boot_id() if boot is None else boot
        self._written_boot = self._boot if checkpoints else None
        self._turns = Turns()
        self._bell = Bell(
            self._private / "bells", run, wanted=self._on_wanted, freed=self._on_freed
        )
        self._askers: dict[UploadId, set[str]] = {}  # bells to ring when we leave
        self._freed: dict[UploadId, asyncio.Event] = {}  # we wait for another process

    async def open(self) -> None:
        await self.run(self._make_directories)
        await self._bell.open()

    async def close(self) -> None:
        await self._bell.close()

    async def add(self, upload: Upload, *, durable: bool = False) -> None:
        await self.run(self._add, upload, durable=durable)

    async def get(self, upload_id: UploadId) -> Upload:
        return await self.run(self._get, upload_id)

    @contextlib.asynccontextmanager
    async def claim(self, upload_id: UploadId, *, timeout_s: float) -> AsyncIterator[FileClaim]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with self._turns.take(upload_id, timeout_s=timeout_s) as turn:
            claim = FileClaim(self, upload_id, turn)
            try:
                await self._wait_locked(claim, upload_id, deadline)
                yield claim
            finally:
                claim.close()
                while askers := self._askers.pop(upload_id, None):
                    await self._bell.tell_free(upload_id, askers)

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if record.upload.expired(before):
                yield record.upload.id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if isinstance(record.upload.kind, Final) and not record.upload.finished:
                yield record.upload.id

    # --- between processes

    async def _wait_locked(self, claim: FileClaim, upload_id: UploadId, deadline: float) -> None:
        """Take the kernel lock; while another process has it, ring for it and try again."""
        loop = asyncio.get_running_loop()
        while not await self.run(claim.try_lock):
            if (remaining := deadline - loop.time()) <= 0:
                raise UploadLocked
            freed = self._freed[upload_id] = asyncio.Event()
            try:
                await self._bell.ask_for(upload_id)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(_RETRY_S, remaining)):
                        await freed.wait()
            finally:
                del self._freed[upload_id]

    def _on_wanted(self, upload_id: UploadId, asker: str) -> None:
        if self._turns.ask_to_leave(upload_id):
            self._askers.setdefault(upload_id, set()).add(asker)

    def _on_freed(self, upload_id: UploadId) -> None:
        if (freed := self._freed.get(upload_id)) is not None:
            freed.set()

    # --- in a thread

    def _make_directories(self) -> None:
        with mapped_os_errors():
            (self._private / "new").mkdir(parents=True, exist_ok=True)

    def _add(self, upload: Upload, *, durable: bool) -> None:
        new, name = self._write_new(self._format(upload), durable=durable)
        new.close()
        path = self._path(upload.id)
        with mapped_os_errors():
            try:
                os.link(name, path)  # unlike rename, it never replaces
            except FileExistsError:
                raise UploadExists from None
            finally:
                os.unlink(name)
            if durable:
                sync_parents(path, self._directory)

    def _get(self, upload_id: UploadId) -> Upload:
        with self._open(upload_id) as file:
            return self._understand(upload_id, _content_of(file)).upload

    def try_lock(self, upload_id: UploadId) -> _Locked | None:
        """Lock the record, or return None while somebody else has it (blocks)."""
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
                    upload = self._understand(upload_id, content).upload
                    closing.pop_all()
                    return _Locked(file, upload, content)

    def _is_current(self, upload_id: UploadId, file: OpenFile) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fd), os.stat(self._path(upload_id)))
        except FileNotFoundError:
            raise UploadNotFound from None

    def replace_record(
        self, locked: _Locked, upload: Upload, *, durable: bool, exact: bool
    ) -> _Locked:
        """Make `upload` the record that `locked` holds, and hold the new one (blocks)."""
        content = self._format(upload, exact_at=upload.offset if exact else None)
        path = self._path(upload.id)
        with mapped_os_errors():
            _check_named(locked)
            if content == locked.content:
                if durable:
                    os.fsync(locked.file.fd)
                    sync_parents(path, self._directory)
                return _Locked(locked.file, upload, content)
        new, name = self._write_new(content, durable=durable)
        with mapped_os_errors():
            fcntl.flock(new.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(name, path)
            if durable:
                sync_parents(path, self._directory)
        locked.file.close()
        return _Locked(new, upload, content)

    def remove_record(self, locked: _Locked) -> None:
        """Remove the record for good; without the sync it would be back after a power cut."""
        path = self._path(locked.upload.id)
        with mapped_os_errors():
            _check_named(locked)
            path.unlink(missing_ok=True)
            sync_directory(path.parent)

    def _write_new(self, content: bytes, *, durable: bool) -> tuple[OpenFile, Path]:
        """Write a file that has no name of an upload yet."""
        name = self._private / "new" / secrets.token_hex(8)
        with mapped_os_errors():
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            new = OpenFile(open_regular(name, flags, self._file_mode))
            try:
                for _ in write_all(new.fd, [content], 0):
                    pass
                if durable:
                    os.fsync(new.fd)
            except OSError:
                name.unlink(missing_ok=True)
                raise
        return new, name

    def _format(self, upload: Upload, exact_at: int | None = None) -> bytes:
        return format_record(Record(upload=upload, boot=self._written_boot, exact_at=exact_at))

    def _open(self, upload_id: UploadId) -> OpenFile:
        with mapped_os_errors():
            try:
                return OpenFile(open_regular(self._path(upload_id), os.O_RDONLY))
            except (FileNotFoundError, NotADirectoryError):
                raise UploadNotFound from None

    def _understand(self, upload_id: UploadId, content: bytes) -> Record:
        """Return the record with the offset that counts and the place where the bytes are."""
        record = parse_record(content)
        upload = record.upload
        place, size = self._find_data(upload_id, record)
        offset = record.offset_for(size, self._boot)
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
        for path in (self._directory / named if named else beside, beside):
            with mapped_os_errors(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return path, os.stat(path).st_size
        # Without a promise to keep it is a creation or a termination that a crash cut short.
        raise (
            UploadDamaged if record.upload.checkpoint or record.upload.finished else UploadNotFound
        )

    async def _scan(self) -> AsyncIterator[Record]:
        names = await self.run(self._list_records)
        for start in range(0, len(names), _SCAN_BATCH):
            for record in await self.run(self._read_some, names[start : start + _SCAN_BATCH]):
                yield record

    def _list_records(self) -> list[UploadId]:
        found = []
        for folder, folders, names in os.walk(self._directory):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below = os.path.relpath(folder, self._directory)
            for name in names:
                text = os.path.normpath(os.path.join(below, name.removesuffix(".info")))
                if name.endswith(".info") and (upload_id := parse_upload_id(text)):
                    found.append(upload_id)
        return found

    def _read_some(self, upload_ids: list[UploadId]) -> list[Record]:
        records = []
        for upload_id in upload_ids:
            # What is unreadable or just went away is no reason to stop looking at the others.
            with contextlib.suppress(TusError), self._open(upload_id) as file:
                records.append(self._understand(upload_id, _content_of(file)))
        return records

    def _path(self, upload_id: UploadId) -> Path:
        return self._directory / f"{upload_id}.info"


class FileClaim:
    """Implements `Claim`: holds the lock on the record's file.

    What is held is noted in the thread that takes it: a request that is cancelled meanwhile
    would not learn of it, and could not give it back.
    """

    def __init__(self, store: FileOffsets, upload_id: UploadId, turn: Turn) -> None:
        self._store = store
        self._upload_id = upload_id
        self._turn = turn
        self._held: _Locked | None = None

    @property
    def upload(self) -> Upload:
        """See `Claim.upload`."""
        return self._locked.upload

    @property
    def _locked(self) -> _Locked:
        assert self._held is not None
        return self._held

    def on_wanted(self, leave: Callable[[], None]) -> None:
        self._turn.on_wanted(leave)

    async def save(self, upload: Upload, *, durable: bool = False, exact: bool = False) -> None:
        await self._store.run(self._replace, upload, durable=durable, exact=exact)

    async def remove(self) -> None:
        await self._store.run(self._store.remove_record, self._locked)

    def try_lock(self) -> bool:
        """Take the lock, if nobody else has it (blocks)."""
        self._held = self._store.try_lock(self._upload_id)
        return self._held is not None

    def _replace(self, upload: Upload, *, durable: bool, exact: bool) -> None:
        self._held = self._store.replace_record(self._locked, upload, durable=durable, exact=exact)

    def close(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held.file.close()


def _check_named(locked: _Locked) -> None:
    if not os.fstat(locked.file.fd).st_nlink:  # removed or replaced behind our back
        raise ClaimLost


def _content_of(file: OpenFile) -> bytes:
    with mapped_os_errors():
        return os.pread(file.fd, os.fstat(file.fd).st_size, 0)
