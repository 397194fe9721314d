"""Bytes on their way into one file, in threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..filesystem.bulk import store_unread
from ..filesystem.calls import OpenFile, mapped_os_errors, open_regular, write_all
from ..filesystem.work import FileWork
from ..interfaces import Chunk, Unread
from ..protocol.checksum import Digest
from ..protocol.errors import ClaimLost, TusError, UploadDamaged
from ..protocol.model import PLACED_AT, Upload
from .pipeline import Pipeline
from .seizing import is_taken_away, lock_for_writing

# What is less than this is written together with the small writes of others.
LONG_BYTES = 64 * 1024


def path_of(upload: Upload) -> str:
    """Return where the bytes of the upload are."""
    return upload.storage["Path"]


def has_names(upload: Upload) -> bool:
    """Whether the data file may have other names: that where it is placed, and what came of it."""
    return PLACED_AT in upload.storage


def open_existing(upload: Upload, flags: int, if_missing: type[TusError]) -> OpenFile:
    """Open the data file of an upload.

    Raises:
        TusError: `if_missing`; also when it was unlinked in this very moment.
        UploadDamaged: what is there is not ours alone.
        StoreUnavailable
    """
    with mapped_os_errors():
        try:
            file = open_regular(path_of(upload), flags)
        except FileNotFoundError:
            raise if_missing from None
    if file.found.st_nlink == 0:
        raise if_missing
    # Planted: it is somebody else's file as well.
    if file.found.st_nlink != 1 and not has_names(upload):
        raise UploadDamaged("this upload is linked to from elsewhere, which is not safe")
    return file


def open_at_offset(upload: Upload, offset: int, *, fenced: bool) -> OpenFile:
    """Open for writing and cut what lies behind the offset: it was never acknowledged.

    Args:
        upload: what is to be written.
        offset: up to which its bytes are kept.
        fenced: make sure that nobody else writes to the file until it is closed.

    Raises:
        UploadDamaged: there are fewer bytes.
        BytesBusy, ClaimLost: see `lock_for_writing`; nothing was cut off.
        StoreUnavailable
    """
    file = open_existing(upload, os.O_RDWR, UploadDamaged)
    size = file.found.st_size
    if fenced:
        lock_for_writing(file, path_of(upload))
        with mapped_os_errors():  # whoever wrote until now may have changed it
            size = os.fstat(file.fd).st_size
    if size > offset:
        with mapped_os_errors():
            os.ftruncate(file.fd, offset)
    if size < offset:
        raise UploadDamaged
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Who else has to do with the upload directory.

    Attributes:
        fenced: claims are leases, so whoever writes makes sure that nobody took the bytes away.
        remote: it is reached over a network, so that `close` writes what is left.
    """

    fenced: bool = False
    remote: bool = False


class DiskSession:
    """Implements `AppendSession`.

    The file is opened by the first work that needs it: a small body takes one hop for all.
    """

    def __init__(
        self,
        upload: Upload,
        run: FileWork,
        digest: Digest | None,
        hop_bytes: Callable[[], int],
        sharing: Sharing,
    ) -> None:
        self._upload = upload
        self._run = run
        self._digest = digest
        self._hop_bytes = hop_bytes
        self._fenced = sharing.fenced
        self._remote = sharing.remote
        self._file: OpenFile | None = None
        self._filling: list[bytes] = []
        self._filling_bytes = 0
        self._writing: asyncio.Future[None] | None = None
        self._hashing: asyncio.Future[None] | None = None  # of the same bytes
        self._stored = upload.offset  # moved by the thread as bytes get written
        self._durable = upload.checkpoint

    async def write(self, chunk: Chunk) -> None:
        if not isinstance(chunk, bytes):
            await self._take(chunk)
            return
        self._filling.append(chunk)
        self._filling_bytes += len(chunk)
        if self._filling_bytes >= self._hop_bytes():
            await self._start_writing()

    async def commit(self, *, durable: bool = False) -> int:
        # After a failed write nothing is left to flush, and the offset is where it failed.
        buffers, size = self._take_filling()
        await self._settle()
        if durable:
            await self._run.long(self._write_and_sync, buffers)
        elif size >= LONG_BYTES:
            await self._run.long(self._write, buffers)
        elif buffers or self._file is None:
            await self._run(self._write, buffers)
        return self._stored

    async def rollback(self, offset: int) -> None:
        self._take_filling()
        with contextlib.suppress(TusError):
            await self._settle()
        # After a failed sync less than that is left, and cutting there would add zeros.
        await self._run(self._truncate, min(offset, self._stored))

    async def close(self) -> None:
        try:
            with contextlib.suppress(TusError):
                await self._settle()
        finally:
            if self._file is not None and self._remote:
                await self._run.long(self._close, self._file)
            elif self._file is not None:
                self._close(self._file)

    async def _take(self, unread: Unread) -> None:
        """Store what comes of it; what nobody has to see stays in the kernel."""
        buffers, _ = self._take_filling()
        await self._settle()
        if self._digest is None:
            await self._run.long(self._store, buffers, unread)
            return
        pipeline = Pipeline(self._store, self._digest, buffers, unread)
        self._writing = self._run.submit(pipeline.run)
        self._hashing = self._run.submit(pipeline.run)
        await self._settle()

    async def _start_writing(self) -> None:
        buffers, _ = self._take_filling()
        await self._settle()
        self._writing = self._run.submit(self._store, buffers)
        if self._digest is not None:  # at the same time: hashing takes longer than writing
            self._hashing = self._run.submit(self._hash, buffers)

    def _take_filling(self) -> tuple[Sequence[bytes], int]:
        buffers, size = self._filling, self._filling_bytes
        self._filling, self._filling_bytes = [], 0
        return buffers, size

    async def _settle(self) -> None:
        writing, hashing = self._writing, self._hashing
        self._writing = self._hashing = None
        try:
            if writing is not None:
                await self._run.join(writing)
        finally:
            if hashing is not None:
                await self._run.join(hashing)

    # --- in a thread

    @property
    def _fd(self) -> int:
        if self._file is None:
            self._file = open_at_offset(self._upload, self._stored, fenced=self._fenced)
        return self._file.fd

    def _write(self, buffers: Sequence[bytes]) -> None:
        self._store(buffers)
        self._hash(buffers)

    def _store(self, buffers: Sequence[bytes | memoryview], unread: Unread | None = None) -> None:
        """Write the buffers, and behind them what is unread."""
        fd = self._fd
        with mapped_os_errors():
            for written in write_all(fd, buffers, self._stored):
                self._stored += written
            if unread is not None:
                for written in store_unread(unread, fd, self._stored):
                    self._stored += written
            if self._fenced and is_taken_away(fd):
                raise ClaimLost

    def _hash(self, buffers: Sequence[bytes]) -> None:
        if self._digest is not None:
            for buffer in buffers:
                self._digest.update(buffer)

    def _write_and_sync(self, buffers: Sequence[bytes]) -> None:
        self._write(buffers)
        try:
            with mapped_os_errors():
                os.fdatasync(self._fd)
        except TusError:
            # A failed fsync is forgotten by the kernel: the next one would succeed although
            # the pages never reached the disk. Only what was synced before can be believed.
            # If they cannot be cut off now, they do not count all the same.
            self._stored = self._durable
            self._truncate(self._durable)
            raise
        self._durable = self._stored

    def _close(self, file: OpenFile) -> None:
        try:
            with mapped_os_errors():
                file.close_written()
        except TusError:
            if self._stored == self._durable:
                return
            # As after a failed sync: NFS and quotas may tell only now that bytes are lost.
            self._stored = self._durable
            open_at_offset(self._upload, self._stored, fenced=self._fenced).close()
            raise

    def _truncate(self, offset: int) -> None:
        fd = self._fd
        with mapped_os_errors():
            os.ftruncate(fd, offset)
        self._stored = offset
        self._durable = min(self._durable, offset)
