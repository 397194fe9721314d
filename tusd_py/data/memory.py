"""Bytes in memory: the fake that tests and demonstrations use. All is lost with the process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import BinaryIO

from ..interfaces import Chunk, Unread
from ..protocol.checksum import Digest
from ..protocol.errors import InsufficientStorage, UploadDamaged, UploadExists, UploadNotFound
from ..protocol.model import (
    CONCATENATION,
    CONCATENATION_UNFINISHED,
    CREATION_DEFER_LENGTH,
    TERMINATION,
    Upload,
    UploadId,
    parse_storage_path,
)


class MemoryData:
    """Implements `DataStore`; `capacity` bounds all bytes together, as a disk would."""

    extensions = frozenset(
        {CREATION_DEFER_LENGTH, TERMINATION, CONCATENATION, CONCATENATION_UNFINISHED}
    )

    def __init__(self, capacity: int | None = None) -> None:
        self._files: dict[UploadId, bytearray] = {}
        self._touched: dict[UploadId, float] = {}
        self._capacity = capacity

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to give back."""

    async def check(self) -> None:
        self._check_room(1)

    def place(self, upload_id: UploadId, path: str | None = None) -> Mapping[str, str]:
        if path is None:
            return {"Type": "memorystore"}
        if parse_storage_path(path) is None:
            raise ValueError("the path leads out of the store")
        return {"Type": "memorystore", "Path": path}

    async def create(self, upload: Upload, content: bytes = b"", *, durable: bool = False) -> None:
        if upload.id in self._files:
            raise UploadExists
        self._check_room(len(content))
        self._files[upload.id] = bytearray(content)
        self.touch(upload)

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AsyncIterator[MemorySession]:
        file = self._file(upload)
        if file is None or len(file) < upload.offset:
            raise UploadDamaged
        del file[upload.offset :]
        yield MemorySession(self, upload, file, digest)

    async def seize(self, upload: Upload, fence: int) -> Mapping[str, str]:
        file = self._file(upload)
        if file is None or len(file) < upload.offset:
            raise UploadDamaged
        return upload.storage  # this process alone can reach them

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        """Memory has nothing to make final."""

    async def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        file = self._file(upload)
        if file is None:
            raise UploadNotFound
        yield bytes(file[start:stop])

    async def feed(self, upload: Upload, digest: Digest) -> None:
        file = self._file(upload)
        if file is None:
            raise UploadNotFound
        if len(file) < upload.offset:
            raise UploadDamaged
        digest.update(bytes(file[: upload.offset]))

    async def open_file(self, upload: Upload) -> BinaryIO | None:
        return None

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        file = self._file(final)
        if file is None:
            raise UploadDamaged
        file.clear()
        sources = [self._file(part) for part in parts]
        if None in sources:
            raise UploadNotFound
        joined = b"".join(source for source in sources if source is not None)
        self._check_room(len(joined))
        file += joined
        self.touch(final)
        return len(file)

    async def touched(self, uploads: Sequence[Upload]) -> Sequence[float | None]:
        return [self._touched.get(upload.id) for upload in uploads]

    async def free_bytes(self) -> int | None:
        return self.room()

    async def delete(self, upload: Upload) -> None:
        self._files.pop(upload.id, None)
        self._touched.pop(upload.id, None)

    async def orphans(self, before: float) -> AsyncIterator[str]:
        no_names: list[str] = []
        for name in no_names:
            yield name

    def touch(self, upload: Upload) -> None:
        """Note that bytes are being stored."""
        self._touched[upload.id] = time.time()

    def room(self) -> int | None:
        """How many more bytes fit; None for as many as you like."""
        if self._capacity is None:
            return None
        return self._capacity - sum(len(file) for file in self._files.values())

    def _check_room(self, count: int) -> None:
        room = self.room()
        if room is not None and count > room:
            raise InsufficientStorage

    def _file(self, upload: Upload) -> bytearray | None:
        return self._files.get(upload.id)


class MemorySession:
    """Implements `AppendSession`."""

    def __init__(
        self, store: MemoryData, upload: Upload, file: bytearray, digest: Digest | None
    ) -> None:
        self._store = store
        self._upload = upload
        self._file = file
        self._digest = digest

    async def write(self, chunk: Chunk) -> None:
        buffer = chunk if isinstance(chunk, bytes) else _read(chunk)
        room = self._store.room()
        fitting = buffer if room is None else buffer[: max(room, 0)]
        self._file += fitting
        self._store.touch(self._upload)
        if len(fitting) < len(buffer):
            raise InsufficientStorage
        if self._digest is not None:
            self._digest.update(buffer)

    async def commit(self, *, durable: bool = False) -> int:
        return len(self._file)

    async def rollback(self, offset: int) -> None:
        del self._file[offset:]


def _read(unread: Unread) -> bytes:
    content, buffer = b"", memoryview(bytearray(256 * 1024))
    with contextlib.suppress(OSError):  # whoever reads the body next is told so
        while count := unread.read_into(buffer):
            content += buffer[:count]
    return content
