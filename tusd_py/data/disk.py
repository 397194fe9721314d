"""Bytes as files in a directory, laid out as tusd does: ``<directory>/<id>`` is the upload."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import aiofiles

from ..filesystem.bulk import feed_digest
from ..filesystem.calls import (
    OpenFile,
    create_file,
    make_folders,
    mapped_os_errors,
    open_regular,
    sync_parents,
    write_all,
)
from ..filesystem.mounts import is_local
from ..filesystem.new_files import NewFiles
from ..filesystem.seized_names import seized_path
from ..filesystem.work import FileWork
from ..protocol.checksum import Digest
from ..protocol.errors import UploadDamaged, UploadExists, UploadNotFound
from ..protocol.model import (
    CONCATENATION,
    CONCATENATION_UNFINISHED,
    CREATION_DEFER_LENGTH,
    TERMINATION,
    Upload,
    UploadId,
    parse_storage_path,
)
from .seizing import seize
from .session import DiskSession, Sharing, has_names, open_at_offset, open_existing, path_of

# One hop to a thread carries about this much; two of them are in memory per running body.
WRITE_BYTES = 1024 * 1024
# With many running bodies the hops carry less, so that all bodies together hold about this much.
WAITING_BYTES = 12 * 1024 * 1024
LEAST_WRITE_BYTES = 32 * 1024
READ_BYTES = 256 * 1024
# Enough to need a block of its own.
CHECK_BYTES = 4096
# A concatenation gives its thread back after each step of this size.
COPY_STEP_BYTES = 64 * 1024 * 1024
# So does whoever reads all bytes to hash them.
FEED_STEP_BYTES = 16 * 1024 * 1024

_OUR_NAMES = re.compile(r"[0-9a-f]{32}")


class DiskData:
    """Implements `DataStore` on a local directory, or any mounted file system.

    Args:
        directory: the upload directory.
        run: for file work.
        dir_mode: of new folders, before the umask.
        file_mode: of new files, before the umask.
        fenced: True where claims are leases: whoever writes makes sure that nobody has taken
            the bytes away.
    """

    extensions = frozenset(
        {CREATION_DEFER_LENGTH, TERMINATION, CONCATENATION, CONCATENATION_UNFINISHED}
    )

    def __init__(
        self,
        directory: Path,
        run: FileWork,
        *,
        dir_mode: int = 0o775,
        file_mode: int = 0o664,
        fenced: bool = False,
    ) -> None:
        self._directory = directory
        self._run = run
        self._dir_mode = dir_mode
        self._file_mode = file_mode
        self._sharing = Sharing(fenced=fenced)
        self._new = NewFiles(directory, file_mode)
        self._sessions = 0

    async def open(self) -> None:
        await self._run(make_folders, self._directory, self._dir_mode)
        await self._run(self._new.make)
        local = await self._run(is_local, self._directory)
        self._sharing = replace(self._sharing, remote=not local)

    async def close(self) -> None:
        self._new.close()

    async def check(self) -> None:
        await self._run.long(self._check)

    def _check(self) -> None:
        file, place = self._new.write(bytes(CHECK_BYTES))
        file.close()
        with mapped_os_errors():
            self._new.remove(place)

    def place(self, upload_id: UploadId, path: str | None = None) -> Mapping[str, str]:
        beside = f"{self._directory}/{upload_id}"
        place = beside if path is None else self._place_of(path)
        return {"InfoPath": f"{beside}.info", "Path": place, "Type": "filestore"}

    def _place_of(self, path: str) -> str:
        """Return where a path leads that is relative to the directory, or begins with it."""
        below = parse_storage_path(path.removeprefix(f"{self._directory}/"))
        if below is None:
            raise ValueError("the path leads out of the upload directory, or to a side file")
        if _OUR_NAMES.fullmatch(below):  # its record would be looked for beside it
            raise ValueError("the path is that of another upload")
        return f"{self._directory}/{below}"

    async def create(self, upload: Upload, content: bytes = b"", *, durable: bool = False) -> None:
        path = path_of(upload)
        made: list[bool] = []
        run = self._run.long if durable else self._run
        try:
            await run(self._create, path, content, made, durable=durable)
        except asyncio.CancelledError:  # the work went on to its end
            if made:
                await self._run(os.unlink, path)
            raise

    def _create(self, path: str, content: bytes, made: list[bool], *, durable: bool) -> None:
        with mapped_os_errors():
            folder = os.path.dirname(path)
            if folder != str(self._directory):  # an id with slashes, given by a hook
                os.makedirs(folder, mode=self._dir_mode, exist_ok=True)
            try:
                if content:
                    file, place = self._new.write(content, durable=durable)
                    self._new.give_name(place, path)
                    if durable:  # or XFS may keep both names, and a file with two is not safe
                        os.fsync(file.fd)
                else:
                    file = create_file(path, self._file_mode)
            except FileExistsError:
                raise UploadExists from None
            file.close()
            made.append(True)
            if durable:
                try:
                    sync_parents(Path(path), self._directory)
                except OSError:
                    os.unlink(path)
                    raise

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AsyncIterator[DiskSession]:
        self._sessions += 1
        session = DiskSession(upload, self._run, digest, self._hop_bytes, self._sharing)
        try:
            yield session
        finally:
            self._sessions -= 1
            await session.close()

    def _hop_bytes(self) -> int:
        """How much each of the sessions may hold back now."""
        return min(WRITE_BYTES, max(LEAST_WRITE_BYTES, WAITING_BYTES // self._sessions))

    async def seize(self, upload: Upload, fence: int) -> Mapping[str, str]:
        old = path_of(upload)
        new = seized_path(old, fence)
        try:
            await self._run.long(seize, old, new, upload.offset, has_names=has_names(upload))
        except UploadNotFound:
            raise UploadDamaged from None
        return {**upload.storage, "Path": new}

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        if durable:
            await self._run.long(self._sync, path_of(upload), upload.checkpoint)

    def _sync(self, path: str, checkpoint: int) -> None:
        with mapped_os_errors():
            with open_regular(path, os.O_RDWR) as file:
                try:
                    os.fdatasync(file.fd)
                except OSError:  # see `DiskSession`: the next one would succeed
                    os.ftruncate(file.fd, checkpoint)
                    raise
            sync_parents(Path(path), self._directory)

    async def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        with _mapped_read_errors():
            async with aiofiles.open(path_of(upload), "rb", opener=_opener) as file:
                await file.seek(start)
                while start < stop and (chunk := await file.read(min(READ_BYTES, stop - start))):
                    start += len(chunk)
                    yield chunk

    async def feed(self, upload: Upload, digest: Digest) -> None:
        with await self._run.reading(open_existing, upload, os.O_RDONLY, UploadNotFound) as file:
            for start in range(0, upload.offset, FEED_STEP_BYTES):
                stop = min(start + FEED_STEP_BYTES, upload.offset)
                await self._run.long(feed_digest, file.fd, start, stop, digest)

    async def open_file(self, upload: Upload) -> BinaryIO | None:
        def open_it() -> BinaryIO:
            file = open_existing(upload, os.O_RDONLY, UploadNotFound)
            return os.fdopen(file.detach(), "rb")

        return await self._run.reading(open_it)

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        with contextlib.ExitStack() as open_files:
            target = await self._run(open_at_offset, final, 0, fenced=self._sharing.fenced)
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
                with contextlib.suppress(OSError):  # it would be cut before it is joined anew
                    await self._run(os.ftruncate, target.fd, 0)
                raise
            return total

    async def _copy(self, source: OpenFile, target: OpenFile, start: int, length: int) -> None:
        done = 0
        while done < length:
            step = min(COPY_STEP_BYTES, length - done)
            done += await self._run.long(_copy_step, source.fd, done, target.fd, start + done, step)

    async def touched(self, uploads: Sequence[Upload]) -> Sequence[float | None]:
        run = self._run.reading if len(uploads) == 1 else self._run.long
        return await run(lambda: [_changed_at(path_of(upload)) for upload in uploads])

    async def free_bytes(self) -> int | None:
        return await self._run.reading(_free_bytes, self._directory)

    async def delete(self, upload: Upload) -> None:
        def unlink() -> None:
            path = Path(path_of(upload))
            with mapped_os_errors():
                try:
                    path.unlink(missing_ok=True)
                except IsADirectoryError:  # planted: nothing of ours
                    raise UploadDamaged from None
                if path.parent != self._directory and path.parent.is_dir():
                    sync_parents(path, self._directory)

        await self._run(unlink)

    async def orphans(self, before: float) -> AsyncIterator[str]:
        for name in await self._run.long(self._remove_orphans, before):
            yield name

    def _remove_orphans(self, before: float) -> list[str]:
        """Remove empty data files without a record: creations that a crash cut short."""
        removed = self._new.remove_older(before)
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


@contextlib.contextmanager
def _mapped_read_errors() -> Iterator[None]:
    with mapped_os_errors():
        try:
            yield
        except FileNotFoundError:
            raise UploadNotFound from None


def _free_bytes(directory: Path) -> int:
    with mapped_os_errors():
        volume = os.statvfs(directory)
    return volume.f_bavail * volume.f_frsize


def _changed_at(path: str) -> float | None:
    with mapped_os_errors():
        try:
            return os.lstat(path).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None


def _opener(path: str, flags: int) -> int:
    return open_regular(path, flags).detach()


def _open_part(part: Upload) -> OpenFile:
    file = open_existing(part, os.O_RDONLY, UploadNotFound)
    if file.found.st_size < part.offset:
        raise UploadDamaged
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
