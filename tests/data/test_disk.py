"""What `DiskData` does beyond its contract: names, syncs, failures, threads."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork, running_lanes
from tusd_py.data.disk import WRITE_BYTES, DiskData
from tusd_py.protocol.errors import (
    InsufficientStorage,
    StoreUnavailable,
    UploadDamaged,
    UploadNotFound,
)
from tusd_py.protocol.model import Upload, UploadId

from .conftest import create

FAR_FUTURE = 1e10


def path_of(upload: Upload) -> Path:
    """Where the bytes are."""
    return Path(upload.storage["Path"])


async def read(store: DiskData, upload: Upload) -> bytes:
    """All bytes."""
    return b"".join([chunk async for chunk in store.read(upload, 0, 1 << 40)])


# --- names


async def test_files_are_named_as_tusd_names_them(disk: DiskData, tmp_path: Path) -> None:
    """The upload is ``<directory>/<id>``, and `storage` says so in tusd's words."""
    upload = await create(disk)
    assert list(upload.storage.items()) == [
        ("InfoPath", str(tmp_path / "uploads" / ("a" * 32 + ".info"))),
        ("Path", str(tmp_path / "uploads" / ("a" * 32))),
        ("Type", "filestore"),
    ]
    assert path_of(upload).read_bytes() == b""


async def test_modes_are_those_of_the_settings(tmp_path: Path, run: HeldWork) -> None:
    """Directories and files get the modes that were set, less the umask."""
    before = os.umask(0)
    try:
        store = DiskData(tmp_path / "uploads", run, dir_mode=0o750, file_mode=0o640)
        await store.open()
        upload = await create(store, "in/folders")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path_of(upload).stat().st_mode) == 0o640
    assert stat.S_IMODE(path_of(upload).parent.stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "uploads").stat().st_mode) == 0o750


async def test_a_link_in_place_of_the_data_is_not_followed(disk: DiskData, tmp_path: Path) -> None:
    """Neither written nor read through: it is a fault of the store."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    upload = await create(disk)
    path_of(upload).unlink()
    path_of(upload).symlink_to(secret)
    with pytest.raises(StoreUnavailable):
        async with disk.append(upload) as session:
            await session.commit()
    with pytest.raises(StoreUnavailable):
        await read(disk, upload)
    with pytest.raises(StoreUnavailable):
        await disk.open_file(upload)
    assert secret.read_bytes() == b"secret"


# --- syncs


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The syncs, in order."""
    seen: list[str] = []

    def noted(name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def it(fd: int) -> None:
            seen.append(f"{name} {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
            call(fd)

        return it

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "fdatasync", noted("fdatasync", os.fdatasync))
    return seen


async def test_syncs_come_when_they_are_asked_for(disk: DiskData, calls: list[str]) -> None:
    """A durable commit syncs the bytes, a durable finish the names too, and nothing else does."""
    upload = await create(disk, "in/folders")
    async with disk.append(upload) as session:
        await session.write(b"abc")
        await session.commit()
        assert calls == []
        await session.commit(durable=True)
        assert calls == ["fdatasync folders"]
    calls.clear()
    await disk.finish(upload, durable=False)
    assert calls == []
    await disk.finish(upload, durable=True)
    assert calls == ["fdatasync folders", "fsync in", "fsync uploads"]


@pytest.mark.parametrize("content", [b"", b"abc"])
async def test_a_durable_creation_is_synced(
    disk: DiskData, calls: list[str], content: bytes
) -> None:
    """The bytes before they get their name, and all directories that the name is in."""
    upload_id = UploadId("in/folders")
    upload = Upload(id=upload_id, length=10, storage=disk.place(upload_id))
    await disk.create(upload, content, durable=True)
    assert len(calls) == 2 * bool(content) + 2  # before it has a name, and when it has only one
    assert calls[-2:] == ["fsync in", "fsync uploads"]
    assert await read(disk, upload) == content


async def test_a_creation_whose_sync_fails_leaves_nothing(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id is free again."""
    upload_id = UploadId("folders")
    upload = Upload(id=upload_id, length=10, storage=disk.place(upload_id))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(StoreUnavailable):
            await disk.create(upload, durable=True)
    await disk.create(upload, durable=True)


async def test_bytes_whose_sync_failed_are_dropped(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel forgets a failed sync, so what was not synced before is cut off."""
    upload = await create(disk)
    async with disk.append(upload) as session:
        await session.write(b"synced")
        assert await session.commit(durable=True) == 6
        await session.write(b" and not")
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            with pytest.raises(StoreUnavailable):
                await session.commit(durable=True)
        assert await session.commit() == 6
        assert await session.commit(durable=True) == 6
    assert await read(disk, upload) == b"synced"


async def test_a_failed_sync_believes_no_more_than_the_checkpoint(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of an earlier session that were never synced are not believed either."""
    upload = await create(disk)
    path_of(upload).write_bytes(b"0123456789")
    upload = replace(upload, offset=10, checkpoint=4)
    monkeypatch.setattr(os, "fdatasync", fail)
    async with disk.append(upload) as session:
        await session.write(b"abc")
        with pytest.raises(StoreUnavailable):
            await session.commit(durable=True)
        assert await session.commit() == 4
    assert await read(disk, upload) == b"0123"


async def test_rolling_back_after_a_failed_sync_adds_no_zeros(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back to where the session started never makes a file longer."""
    upload = await create(disk)
    path_of(upload).write_bytes(b"0123456789")
    upload = replace(upload, offset=10, checkpoint=4)
    monkeypatch.setattr(os, "fdatasync", fail)
    async with disk.append(upload) as session:
        await session.write(b"abc")
        with pytest.raises(StoreUnavailable):
            await session.commit(durable=True)
        await session.rollback(10)
        assert await session.commit() == 4
    assert await read(disk, upload) == b"0123"


def fail(fd: int) -> None:
    """A disk that does not take it."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


# --- threads


async def test_one_buffer_fills_while_the_other_is_written(disk: DiskData, run: HeldWork) -> None:
    """A slow disk holds the client up only when both buffers are full."""
    upload = await create(disk)
    async with disk.append(upload) as session:
        run.hold()
        await session.write(b"a" * WRITE_BYTES)
        await run.wait_begun()
        await session.write(b"b" * (WRITE_BYTES - 1))
        third = asyncio.create_task(session.write(b"c" * WRITE_BYTES))
        await asyncio.wait([third], timeout=0.05)
        assert not third.done()
        run.release()
        await third
        assert await session.commit() == 3 * WRITE_BYTES - 1
    expected = b"a" * WRITE_BYTES + b"b" * (WRITE_BYTES - 1) + b"c" * WRITE_BYTES
    assert await read(disk, upload) == expected


class Waited:
    """Implements `Digest`: tells when it has been given something."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.taken = hashlib.sha256()

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self.begun.set()
        self.taken.update(data)

    def digest(self) -> bytes:
        return self.taken.digest()


async def test_a_buffer_is_hashed_while_it_is_written(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two use a core each: a write that takes until the hashing has begun comes to its end."""
    upload = await create(disk)
    digest, pwritev = Waited(), os.pwritev

    def slow(fd: int, buffers: list[memoryview], offset: int) -> int:
        assert digest.begun.wait(10), "nothing was hashed meanwhile"
        return pwritev(fd, buffers, offset)

    monkeypatch.setattr(os, "pwritev", slow)
    async with disk.append(upload, digest=digest) as session:
        await session.write(b"a" * WRITE_BYTES)
        await session.write(b"b" * 5)
        assert await session.commit() == WRITE_BYTES + 5
    content = b"a" * WRITE_BYTES + b"bbbbb"
    assert digest.digest() == hashlib.sha256(content).digest()
    assert await read(disk, upload) == content


@pytest.mark.parametrize("digest", [None, Waited()], ids=["bytes", "bytes and digest"])
async def test_a_session_never_leaves_its_work_behind(
    disk: DiskData, run: HeldWork, digest: Waited | None
) -> None:
    """A request cancelled during a write ends after the write, so the next one cuts its tail."""
    upload = await create(disk)

    async def append() -> None:
        async with disk.append(upload, digest=digest) as session:
            run.hold()
            await session.write(b"x" * WRITE_BYTES)
            await session.commit()

    task = asyncio.create_task(append())
    await run.wait_begun()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    assert not task.done()
    run.release()
    await asyncio.wait([task])
    assert task.cancelled()
    assert digest is None or digest.digest() == hashlib.sha256(b"x" * WRITE_BYTES).digest()
    assert path_of(upload).stat().st_size == WRITE_BYTES
    async with disk.append(upload) as session:
        assert await session.commit() == 0
    assert path_of(upload).stat().st_size == 0


async def test_a_session_that_is_left_closes_its_file(disk: DiskData, run: HeldWork) -> None:
    """However often a request is cancelled, its descriptor is given back."""
    upload = await create(disk)
    before = len(os.listdir("/proc/self/fd"))

    async def append() -> None:
        async with disk.append(upload) as session:
            run.hold()
            await session.write(b"x" * WRITE_BYTES)

    task = asyncio.create_task(append())
    await run.wait_begun()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    run.release()
    await asyncio.wait([task])
    assert task.cancelled()
    assert len(os.listdir("/proc/self/fd")) == before


# --- concatenation


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP])
async def test_parts_are_copied_by_hand_where_the_kernel_cannot(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Across file systems the bytes take the long way, and are the same."""

    def cannot(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", cannot)
    parts, whole = await make_parts(disk)
    final = await create(disk)
    assert await disk.concatenate(final, parts) == len(whole)
    assert await read(disk, final) == whole


async def test_parts_are_copied_in_steps(disk: DiskData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that copies little at a time is called until all is there."""
    copy = os.copy_file_range

    def little(source: int, target: int, count: int, at: int, to: int) -> int:
        return copy(source, target, min(count, 100_000), at, to)

    monkeypatch.setattr(os, "copy_file_range", little)
    parts, whole = await make_parts(disk)
    final = await create(disk)
    assert await disk.concatenate(final, parts) == len(whole)
    assert await read(disk, final) == whole


async def test_a_copy_that_fails_leaves_no_bytes(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails in the middle, the final has no bytes."""
    copy = os.copy_file_range
    left = 2

    def full(source: int, target: int, count: int, at: int, to: int) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target, min(count, 1000), at, to)

    monkeypatch.setattr(os, "copy_file_range", full)
    parts, _ = await make_parts(disk)
    final = await create(disk)
    with pytest.raises(InsufficientStorage):
        await disk.concatenate(final, parts)
    assert path_of(final).stat().st_size == 0


async def test_a_cancelled_concatenation_leaves_no_bytes(disk: DiskData, run: HeldWork) -> None:
    """Whoever terminates the final meanwhile finds it empty, and no copy under way."""
    parts, _ = await make_parts(disk)
    final = await create(disk)
    task = asyncio.create_task(disk.concatenate(final, parts))
    await asyncio.sleep(0)
    run.hold()
    await run.wait_begun()
    task.cancel()
    run.release()
    await asyncio.wait([task])
    assert task.cancelled()
    assert path_of(final).stat().st_size == 0


async def test_a_part_that_shrank_is_damage(disk: DiskData) -> None:
    """A part with fewer bytes than its record says is not joined."""
    parts, _ = await make_parts(disk)
    os.truncate(path_of(parts[1]), 5)
    final = await create(disk)
    with pytest.raises(UploadDamaged):
        await disk.concatenate(final, parts)
    assert path_of(final).stat().st_size == 0


async def make_parts(store: DiskData) -> tuple[list[Upload], bytes]:
    """Three parts, and their bytes together."""
    contents = [b"a" * 300_000, b"b" * 7, b"c" * 2_000_000]
    parts = []
    for number, content in enumerate(contents):
        part = await create(store, f"part-{number}")
        path_of(part).write_bytes(content)
        parts.append(replace(part, length=len(content), offset=len(content)))
    return parts, b"".join(contents)


# --- orphans


async def test_empty_files_without_a_record_are_removed(disk: DiskData, tmp_path: Path) -> None:
    """What a crash left of a creation goes; whatever else lies around stays."""
    for name in ("a" * 32, "b" * 32, "c" * 32, "d" * 32):
        await create(disk, name)
    directory = tmp_path / "uploads"
    (directory / ("b" * 32)).write_bytes(b"x")
    (directory / ("c" * 32 + ".info")).write_text("{}")
    os.utime(directory / ("d" * 32), (FAR_FUTURE, FAR_FUTURE))
    (directory / "notes").touch()
    (directory / ("e" * 32)).mkdir()
    (directory / ("f" * 32)).symlink_to("nothing")
    removed = [name async for name in disk.orphans(FAR_FUTURE - 1)]
    assert removed == ["a" * 32]
    assert {path.name for path in directory.iterdir()} == {
        *(letter * 32 for letter in "bcdef"),
        "c" * 32 + ".info",
        "notes",
        ".tusd_py",
    }


async def test_two_processes_may_look_for_orphans_at_once(disk: DiskData, tmp_path: Path) -> None:
    """Each orphan is removed once, and nobody fails because the other was faster."""
    directory = tmp_path / "uploads"
    names = {f"{number:032x}" for number in range(3000)}
    for name in names:
        (directory / name).touch()

    async def sweep() -> list[str]:
        async with running_lanes(1) as lanes:
            return [name async for name in DiskData(directory, lanes).orphans(FAR_FUTURE)]

    async with asyncio.TaskGroup() as group:
        sweeps = [group.create_task(sweep()) for _ in range(2)]
    removed = [name for task in sweeps for name in task.result()]
    assert len(removed) == len(names)
    assert set(removed) == names


async def test_a_part_that_is_gone_is_not_found(disk: DiskData) -> None:
    """It is the client's business, not a fault of the store."""
    missing = Upload(id=UploadId("p"), length=1, offset=1, storage={"Path": "/nowhere/at/all"})
    with pytest.raises(UploadNotFound):
        await disk.concatenate(await create(disk), [missing])


@pytest.mark.parametrize(("sessions", "written"), [(1, 0), (100, 300_000)])
async def test_many_sessions_hold_back_less(disk: DiskData, sessions: int, written: int) -> None:
    """What is held back in memory is shared: the more bodies run, the sooner each is written."""
    uploads = [await create(disk, UploadId(f"{n:032x}")) for n in range(sessions)]
    async with contextlib.AsyncExitStack() as running:
        open_sessions = [await running.enter_async_context(disk.append(u)) for u in uploads]
        for session in open_sessions:
            await session.write(b"a" * 300_000)
        for session in open_sessions:
            await session.write(b"b" * 300_000)  # begins when the write before has ended
        assert all(path_of(upload).stat().st_size >= written for upload in uploads)
        assert path_of(uploads[0]).stat().st_size in (written, 2 * written)
