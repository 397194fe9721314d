"""Bytes as files in a directory, laid out as tusd does: ``<directory>/<id>`` is the upload."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import aiofiles

from ..filesystem.calls import (
    OpenFile,
    mapped_os_errors,
    open_regular,
    sync_parents,
    write_all,
)
from ..interfaces import FileWork
from ..protocol.checksum import Digest
from ..protocol.errors import (
    StoreUnavailable,
    TusError,
    UploadDamaged,
    UploadExists,
    UploadNotFound,
)
from ..protocol.model import (
    CONCATENATION,
    CONCATENATION_UNFINISHED,
    CREATION_DEFER_LENGTH,
    TERMINATION,
    Upload,
)

# One hop to a thread carries about this much; two of them are in memory per running body.
WRITE_BYTES = 1024 * 1024
# With many running bodies the hops carry less, so that all bodies together hold about this much.
WAITING_BYTES = 24 * 1024 * 1024
LEAST_WRITE_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
# A concatenation gives its thread back after each step of this size.
COPY_STEP_BYTES = 64 * 1024 * 1024

_OUR_NAMES = re.compile(r"[0-9a-f]{32}")


class DiskData:
    """Implements `DataStore` on a local directory, or any mounted file system."""

    extensions = frozenset(
        {CREATION_DEFER_LENGTH, TERMINATION, CONCATENATION, CONCATENATION_UNFINISHED}
    )

    def __init__(
        self, directory: Path, run: FileWork, *, dir_mode: int = 0o775, file_mode: int = 0o664
    ) -> None:
        self._directory = directory
        self._run = run
        self._dir_mode = dir_mode
        self._file_mode = file_mode
        self._sessions = 0

    async def open(self) -> None:
        await self._run(
            lambda: self._directory.mkdir(mode=self._dir_mode, parents=True, exist_ok=True)
        )

    async def close(self) -> None:
        """Nothing is held between requests."""

    async def create(self, upload: Upload) -> Mapping[str, str]:
        path = self._directory / upload.id
        await self._run(self._create_empty, path)
        return {"InfoPath": f"{path}.info", "Path": str(path), "Type": "filestore"}

    def _create_empty(self, path: Path) -> None:
        try:
            with mapped_os_errors():
                if path.parent != self._directory:  # an id with slashes, given by a hook
                    path.parent.mkdir(mode=self._dir_mode, parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                os.close(open_regular(path, flags, self._file_mode))
        except StoreUnavailable as error:
            if isinstance(error.__cause__, FileExistsError):
                raise UploadExists from None
            raise

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AsyncIterator[DiskSession]:
        file = await self._run(_open_at_offset, _path_of(upload), upload.offset)
        self._sessions += 1
        session = DiskSession(file, upload, self._run, digest, self._hop_bytes)
        try:
            yield session
        finally:
            self._sessions -= 1
            await session.close()

    def _hop_bytes(self) -> int:
        """How much each of the sessions may hold back now."""
        return min(WRITE_BYTES, max(LEAST_WRITE_BYTES, WAITING_BYTES // self._sessions))

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        if durable:
            await self._run(self._sync, _path_of(upload))

    def _sync(self, path: Path) -> None:
        with mapped_os_errors():
            with OpenFile(open_regular(path, os.O_RDWR)) as file:
                os.fdatasync(file.fd)
            sync_parents(path, self._directory)

    async def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        with _mapped_read_errors():
            async with aiofiles.open(_path_of(upload), "rb", opener=open_regular) as file:
                await file.seek(start)
                while start < stop and (chunk := await file.read(min(READ_BYTES, stop - start))):
                    start += len(chunk)
                    yield chunk

    async def open_file(self, upload: Upload) -> BinaryIO | None:
        def open_it() -> BinaryIO:
            file = _open_existing(_path_of(upload), os.O_RDONLY, UploadNotFound)
            return os.fdopen(file.detach(), "rb")

        return await self._run(open_it)

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        with contextlib.ExitStack() as open_files:
            target = await self._run(_open_at_offset, _path_of(final), 0)
            open_files.enter_context(target)
            # All parts are opened first: what is deleted from here on is still read to its end.
            sources = [await self._run(_open_part, part) for part in parts]
            for source in sources:
                open_files.enter_context(source)
            try:
                total = 0
                for source, part in zip(sources, parts, strict=True):
                    await self._copy(source, target, total, part.offset)
                    total += part.offset
            except BaseException:
                await self._run(os.ftruncate, target.fd, 0)
                raise
            return total

    async def _copy(self, source: OpenFile, target: OpenFile, start: int, length: int) -> None:
        done = 0
        while done < length:
            step = min(COPY_STEP_BYTES, length - done)
            done += await self._run(_copy_step, source.fd, done, target.fd, start + done, step)

    async def delete(self, upload: Upload) -> None:
        def unlink() -> None:
            path = _path_of(upload)
            with mapped_os_errors():
                path.unlink(missing_ok=True)
                if path.parent != self._directory and path.parent.is_dir():
                    sync_parents(path, self._directory)

        await self._run(unlink)

    async def orphans(self, before: float) -> AsyncIterator[str]:
        for name in await self._run(self._remove_orphans, before):
            yield name

    def _remove_orphans(self, before: float) -> list[str]:
        """Remove empty data files without a record: creations that a crash cut short."""
        removed = []
        with mapped_os_errors(), os.scandir(self._directory) as entries:
            for entry in entries:
                if not _OUR_NAMES.fullmatch(entry.name) or os.path.exists(f"{entry.path}.info"):
                    continue
                # Another process may be faster.
                with contextlib.suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_file() and found.st_size == 0 and found.st_mtime <= before:
                        os.unlink(entry.path)
                        removed.append(entry.name)
        return removed


class DiskSession:
    """Implements `AppendSession`: one buffer fills while the other is written in a thread."""

    def __init__(
        self,
        file: OpenFile,
        upload: Upload,
        run: FileWork,
        digest: Digest | None,
        hop_bytes: Callable[[], int],
    ) -> None:
        self._file = file
        self._run = run
        self._digest = digest
        self._hop_bytes = hop_bytes
        self._filling: list[bytes | memoryview] = []
        self._filling_bytes = 0
        self._borrowed = False  # whether what is being written is a view of a shared buffer
        self._writing: asyncio.Future[None] | None = None
        self._stored = upload.offset  # moved by the thread as bytes get written
        self._durable = upload.checkpoint

    async def write(self, buffer: bytes | memoryview) -> None:
        if self._borrowed:  # the one before is ours only until now
            await self._settle()
        self._filling.append(buffer)
        self._filling_bytes += len(buffer)
        self._borrowed = isinstance(buffer, memoryview)
        if self._borrowed or self._filling_bytes >= self._hop_bytes():
            await self._start_writing()

    async def commit(self, *, durable: bool = False) -> int:
        # After a failed write nothing is left to flush, and the offset is where it failed.
        if self._filling:
            await self._start_writing()
        await self._settle()
        if durable:
            await self._run(self._sync)
        return self._stored

    async def rollback(self, offset: int) -> None:
        self._filling.clear()
        self._filling_bytes = 0
        with contextlib.suppress(TusError):
            await self._settle()
        # After a failed sync less than that is left, and cutting there would add zeros.
        await self._run(self._truncate, min(offset, self._stored))

    async def close(self) -> None:
        try:
            with contextlib.suppress(TusError):
                await self._settle()
        finally:
            self._file.close()

    async def _start_writing(self) -> None:
        buffers, self._filling, self._filling_bytes = self._filling, [], 0
        await self._settle()
        self._writing = self._run.submit(self._write, buffers)

    async def _settle(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await self._run.join(writing)

    def _write(self, buffers: Sequence[bytes | memoryview]) -> None:
        with mapped_os_errors():
            for written in write_all(self._file.fd, buffers, self._stored):
                self._stored += written
        if self._digest is not None:
            for buffer in buffers:
                self._digest.update(buffer)

    def _sync(self) -> None:
        try:
            with mapped_os_errors():
                os.fdatasync(self._file.fd)
        except TusError:
            # A failed fsync is forgotten by the kernel: the next one would succeed although
            # the pages never reached the disk. Only what was synced before can be believed.
            self._truncate(self._durable)
            raise
        self._durable = self._stored

    def _truncate(self, offset: int) -> None:
        with mapped_os_errors():
            os.ftruncate(self._file.fd, offset)
        self._stored = offset


def _path_of(upload: Upload) -> Path:
    return Path(upload.storage["Path"])


@contextlib.contextmanager
def _mapped_read_errors() -> Iterator[None]:
    with mapped_os_errors():
        try:
            yield
        except FileNotFoundError:
            raise UploadNotFound from None


def _open_at_offset(path: Path, offset: int) -> OpenFile:
    """Open for writing and cut what lies behind the offset: it was never acknowledged."""
    file = _open_existing(path, os.O_RDWR, UploadDamaged)
    with mapped_os_errors():
        size = os.fstat(file.fd).st_size
        if size > offset:
            os.ftruncate(file.fd, offset)
    if size < offset:
        raise UploadDamaged
    return file


def _open_part(part: Upload) -> OpenFile:
    file = _open_existing(_path_of(part), os.O_RDONLY, UploadNotFound)
    if os.fstat(file.fd).st_size < part.offset:
        raise UploadDamaged
    return file


def _open_existing(path: Path, flags: int, if_missing: type[TusError]) -> OpenFile:
    with mapped_os_errors():
        try:
            file = OpenFile(open_regular(path, flags))
        except FileNotFoundError:
            raise if_missing from None
        if os.fstat(file.fd).st_nlink != 1:  # planted: it is somebody else's file as well
            raise UploadDamaged("this upload is linked to from elsewhere, which is not safe")
        return file


def _copy_step(source: int, source_at: int, target: int, target_at: int, count: int) -> int:
    """Copy inside the kernel, by reference where the file system can; by hand across two."""
    with mapped_os_errors():
        try:
            copied = os.copy_file_range(source, target, count, source_at, target_at)
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
            chunk = os.pread(source, min(count, WRITE_BYTES), source_at)
            copied = sum(write_all(target, [chunk], target_at))
    if not copied:
        raise UploadDamaged  # the part became shorter under our hands
    return copied
