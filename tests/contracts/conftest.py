"""The adapters that the suites run over; a new one needs a harness and a line below."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tests.support.work import running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.data.memory import MemoryData
from tusd_py.filesystem.lanes import Lanes
from tusd_py.interfaces import DataStore, OffsetStore
from tusd_py.offsets.files import FileOffsets
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.redis_client.address import RedisAddress, RedisOptions

CAPACITY_BYTES = 1024 * 1024
ID = UploadId("0123456789abcdef0123456789abcdef")
SOON_S = 5.0


class OffsetsHarness(Protocol):
    """What the suite of `OffsetStore` needs beside the store."""

    store: OffsetStore

    async def make(self, upload: Upload) -> Upload:
        """Make `upload.offset` bytes exist where the store looks; return it with its storage."""

    async def take_away(self, upload_id: UploadId) -> None:
        """Remove the record behind the back of whoever holds the claim."""


class FilesHarness:
    """`FileOffsets` on a directory of its own."""

    def __init__(self, directory: Path, run: Lanes) -> None:
        self._directory = directory
        self.store: OffsetStore = FileOffsets(directory, run)

    async def make(self, upload: Upload) -> Upload:
        path = self._directory / upload.id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * upload.offset)
        return replace(upload, storage={"Path": str(path), "Type": "filestore"})

    async def take_away(self, upload_id: UploadId) -> None:
        (self._directory / f"{upload_id}.info").unlink()


class MemoryHarness:
    """`MemoryOffsets`."""

    def __init__(self) -> None:
        self._memory = MemoryOffsets()
        self.store: OffsetStore = self._memory

    async def make(self, upload: Upload) -> Upload:
        return replace(upload, storage={"Type": "memorystore"})

    async def take_away(self, upload_id: UploadId) -> None:
        del self._memory._uploads[upload_id]


class RedisHarness:
    """`RedisOffsets` on a server that is empty, with files as data or without."""

    def __init__(self, server: RedisServer, run: Lanes, directory: Path | None) -> None:
        server.ask("FLUSHALL")
        self._server = server
        self._directory = directory
        copies = None if directory is None else Copies(directory)
        options = RedisOptions(address=RedisAddress(server.url))
        self.store: OffsetStore = RedisOffsets(options, run, copies=copies)

    async def make(self, upload: Upload) -> Upload:
        if self._directory is None:
            return replace(upload, storage={"Type": "memorystore"})
        path = self._directory / upload.id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * upload.offset)
        return replace(upload, storage={"Path": str(path), "Type": "filestore"})

    async def take_away(self, upload_id: UploadId) -> None:
        self._server.ask("DEL", f"tusd-py:{{{upload_id}}}")
        if self._directory is not None:
            (self._directory / f"{upload_id}.info").unlink()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A server for all tests of the suites."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["files", "memory", "redis", "redis-alone"])
async def offsets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OffsetsHarness]:
    """An open offset store of each kind."""
    async with running_lanes() as run:
        harness: OffsetsHarness
        if request.param == "files":
            harness = FilesHarness(tmp_path / "uploads", run)
        elif request.param == "memory":
            harness = MemoryHarness()
        else:
            directory = tmp_path / "uploads" if request.param == "redis" else None
            harness = RedisHarness(request.getfixturevalue("redis_server"), run, directory)
        await harness.store.open()
        yield harness
        await harness.store.close()


async def add(offsets: OffsetsHarness, upload: Upload | None = None) -> Upload:
    """Keep an upload of ten bytes, or the one that is given."""
    upload = await offsets.make(upload or Upload(id=ID, length=10))
    async with offsets.store.create(upload):
        pass
    return upload


class DataHarness(Protocol):
    """What the suite of `DataStore` needs beside the store."""

    store: DataStore
    has_files: bool

    def make_record(self, upload: Upload) -> None:
        """Let a record of the upload exist."""

    def small(self) -> contextlib.AbstractContextManager[SmallStore]:
        """A second store, in which there is room for `CAPACITY_BYTES`."""


@dataclass(frozen=True)
class SmallStore:
    """A store with little room, until `make_room` gives it four times as much."""

    store: DataStore
    make_room: Callable[[], None]


class DiskHarness:
    """`DiskData` on a directory of its own."""

    has_files = True

    def __init__(self, directory: Path, run: Lanes, *, fenced: bool) -> None:
        self._directory = directory
        self._run = run
        self._fenced = fenced
        self.store: DataStore = DiskData(directory / "uploads", run, fenced=fenced)

    def make_record(self, upload: Upload) -> None:
        (self._directory / "uploads" / f"{upload.id}.info").write_text("{}")

    @contextlib.contextmanager
    def small(self) -> Iterator[SmallStore]:
        directory = self._directory / "small"
        directory.mkdir()
        with _small_file_system(directory) as make_room:
            yield SmallStore(DiskData(directory, self._run, fenced=self._fenced), make_room)


class MemoryDataHarness:
    """`MemoryData`."""

    has_files = False

    def __init__(self) -> None:
        self.store: DataStore = MemoryData()

    def make_record(self, upload: Upload) -> None:
        """There are no orphans in memory."""

    @contextlib.contextmanager
    def small(self) -> Iterator[SmallStore]:
        store = MemoryData(capacity=CAPACITY_BYTES)
        yield SmallStore(store, lambda: setattr(store, "_capacity", 4 * CAPACITY_BYTES))


@contextlib.contextmanager
def _small_file_system(directory: Path) -> Iterator[Callable[[], None]]:
    """A small tmpfs (ENOSPC) for root; else a limit on the size of files (EFBIG)."""
    if os.geteuid() == 0 and _mount(directory, f"size={CAPACITY_BYTES}"):
        try:
            yield lambda: _enlarge(directory)
        finally:
            subprocess.run(["umount", str(directory)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    _limit_files(CAPACITY_BYTES)
    try:
        yield lambda: _limit_files(4 * CAPACITY_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _mount(directory: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    return subprocess.run(command, check=False).returncode == 0


def _enlarge(directory: Path) -> None:
    assert _mount(directory, f"remount,size={4 * CAPACITY_BYTES}")


def _limit_files(size: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))


@pytest.fixture(params=["disk", "disk-fenced", "memory"])
async def data(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DataHarness]:
    """An open data store of each kind."""
    async with running_lanes() as run:
        harness: DataHarness = (
            MemoryDataHarness()
            if request.param == "memory"
            else DiskHarness(tmp_path, run, fenced=request.param == "disk-fenced")
        )
        await harness.store.open()
        yield harness
        await harness.store.close()
