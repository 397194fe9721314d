"""What `FileOffsets` does beyond its contract: sizes, checkpoints, kernel locks, odd files."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork, running_lanes
from tusd_py.interfaces import Durability
from tusd_py.offsets.files import FileOffsets
from tusd_py.offsets.records import Record, format_record
from tusd_py.protocol.errors import (
    StoreUnavailable,
    UploadDamaged,
    UploadLocked,
    UploadNotFound,
)
from tusd_py.protocol.model import Final, Upload, UploadId

from .conftest import add, files_below

ID = UploadId("0123456789abcdef0123456789abcdef")
UPLOAD = Upload(id=ID, length=10)


@pytest.fixture
async def other(directory: Path, run: HeldWork) -> AsyncIterator[FileOffsets]:
    """A second store on the same directory: to the kernel it is as foreign as a process."""
    offsets = FileOffsets(directory, run)
    await offsets.open()
    yield offsets
    await offsets.close()


def rebooted(directory: Path, run: HeldWork) -> FileOffsets:
    """The store as another run of the kernel opens it."""
    return FileOffsets(directory, run, boot="the next boot")


async def offset_of(store: FileOffsets) -> int:
    """The offset that counts."""
    return (await store.get(ID)).offset


async def is_free(store: FileOffsets) -> bool:
    """Whether nobody holds the upload."""
    try:
        async with store.claim(ID, timeout_s=0):
            return True
    except UploadLocked:
        return False


# --- sizes and checkpoints


async def test_the_size_counts_while_the_kernel_runs(store: FileOffsets, directory: Path) -> None:
    """What a killed process wrote is in the cache: the size of the file is the offset."""
    await add(store, directory, UPLOAD, b"abcd")
    with (directory / ID).open("ab") as file:
        file.write(b"efg")
    assert await offset_of(store) == 7


async def test_only_the_checkpoint_counts_after_a_reboot(
    store: FileOffsets, directory: Path, run: HeldWork
) -> None:
    """After a power cut the tail may be zeros (ext4): no byte behind the checkpoint counts."""
    await add(store, directory, replace(UPLOAD, offset=4, checkpoint=4), b"abcd\0\0\0")
    assert await offset_of(store) == 7
    assert await offset_of(rebooted(directory, run)) == 4


async def test_a_checkpoint_of_the_next_boot_counts_again(
    store: FileOffsets, directory: Path, run: HeldWork
) -> None:
    """A record that is saved after the reboot vouches for sizes again."""
    await add(store, directory, replace(UPLOAD, offset=4, checkpoint=4), b"abcd\0\0\0")
    later = rebooted(directory, run)
    os.truncate(directory / ID, 4)
    async with later.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload)
    with (directory / ID).open("ab") as file:
        file.write(b"efg")
    assert await offset_of(later) == 7


async def test_without_promises_bytes_are_not_believed_either(
    directory: Path, run: HeldWork
) -> None:
    """Where durability is `none`, what is there after a reboot may be zeros as well."""
    store = FileOffsets(directory, run, durability=Durability.NONE)
    await store.open()
    await add(store, directory, UPLOAD, b"abcd")
    await store.close()
    assert await offset_of(rebooted(directory, run)) == 0


async def test_unverified_bytes_do_not_count(store: FileOffsets, directory: Path) -> None:
    """After `save(exact=True)` bytes behind the offset do not count, until the next save."""
    await add(store, directory, replace(UPLOAD, offset=4), b"abcd")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=True)
        with (directory / ID).open("ab") as file:
            file.write(b"efg")
        assert await offset_of(store) == 4
        await claim.save(replace(claim.upload, offset=7))
        assert await offset_of(store) == 7


async def test_a_mark_beyond_the_offset_is_none(store: FileOffsets, directory: Path) -> None:
    """What a failed disk made us cut off must not count when other bytes take its place."""
    await add(store, directory, replace(UPLOAD, offset=4), b"abcd")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=True)
    (directory / ID).write_bytes(b"ab")
    async with store.claim(ID, timeout_s=0) as claim:
        assert (claim.upload.offset, claim.exact) == (2, False)


async def test_a_checkpoint_without_its_bytes_is_damage(
    store: FileOffsets, directory: Path
) -> None:
    """A file that is shorter than its checkpoint, or gone, cannot be continued."""
    await add(store, directory, replace(UPLOAD, offset=4, checkpoint=4), b"abc")
    with pytest.raises(UploadDamaged):
        await store.get(ID)
    (directory / ID).unlink()
    with pytest.raises(UploadDamaged):
        await store.get(ID)


async def test_what_is_damaged_can_be_claimed_to_be_removed(
    store: FileOffsets, directory: Path
) -> None:
    """Whoever says that it may be damaged gets the record, with no byte, and can remove it."""
    await add(store, directory, replace(UPLOAD, offset=4, checkpoint=4, owner="ann"), b"abc")
    assert (await store.get(ID, damaged=True)).owner == "ann"
    with pytest.raises(UploadDamaged):
        async with store.claim(ID, timeout_s=0):
            pass
    async with store.claim(ID, timeout_s=0, damaged=True) as claim:
        assert claim.upload.offset == 0
        await claim.remove()
    assert not (directory / f"{ID}.info").exists()


async def test_a_place_behind_a_link_of_the_operator_is_found(
    store: FileOffsets, directory: Path, tmp_path: Path
) -> None:
    """Tusd's records name the directory as it was given to tusd, links and all."""
    await add(store, directory, UPLOAD, b"abc")
    record = directory / f"{ID}.info"
    (tmp_path / "alias").symlink_to(directory)
    alias = f"{tmp_path}/alias/{ID}"
    record.write_text(record.read_text().replace(f'"Path":"{directory}/{ID}"', f'"Path":"{alias}"'))
    assert alias in record.read_text()
    found = await store.get(ID)
    assert (found.offset, found.storage["Path"]) == (3, str(directory / ID))


async def test_a_creation_cut_short_is_not_there(store: FileOffsets, directory: Path) -> None:
    """A record that promised nothing and has no data file is no upload."""
    await add(store, directory, UPLOAD)
    (directory / ID).unlink()
    with pytest.raises(UploadNotFound):
        await store.get(ID)


# --- where the bytes are


@pytest.mark.parametrize("named", [None, "", "gone/elsewhere", f"{ID}", "/nowhere/at/all"], ids=str)
async def test_the_data_file_is_found_beside_its_record(
    store: FileOffsets, directory: Path, named: str | None
) -> None:
    """A moved directory, a relative path and none at all: the file is beside its record."""
    await add(store, directory, UPLOAD, b"abcd")
    storage = {} if named is None else {"Path": named}
    content = format_record(Record(upload=replace(UPLOAD, storage=storage), boot=None))
    (directory / f"{ID}.info").write_bytes(content)
    upload = await store.get(ID)
    assert upload.offset == 4
    assert upload.storage["Path"] == str(directory / ID)


async def test_a_file_elsewhere_is_where_the_record_says(
    store: FileOffsets, directory: Path, tmp_path: Path
) -> None:
    """Hooks of tusd may name another path; it wins over the one beside the record."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"abcdef")
    (directory / ID).write_bytes(b"abc")
    async with store.create(replace(UPLOAD, storage={"Path": str(elsewhere)})):
        pass
    assert (await store.get(ID)).offset == 6


# --- odd files


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)]
)
async def test_only_regular_files_are_records(
    store: FileOffsets, directory: Path, make: Callable[[Path], None]
) -> None:
    """A FIFO, a directory or a symbolic link in place of a record is a fault, not 'not found'."""
    make(directory / f"{ID}.info")
    with pytest.raises(StoreUnavailable):
        await store.get(ID)
    assert [found async for found in store.expired(1.0)] == []


async def test_a_damaged_record_hides_nothing(store: FileOffsets, directory: Path) -> None:
    """Scans pass over what cannot be read, claims refuse it, and nobody keeps it locked."""
    await add(store, directory, replace(UPLOAD, expires_at=1.0))
    (directory / "foreign.info").write_bytes(b'{"ID":"foreign","Size":1,"Storage":{"Path":5}}')
    (directory / "torn.info").write_bytes(b'{"ID":"to')
    (directory / "empty.info").touch()
    assert [found async for found in store.expired(1.0)] == [ID]
    for name in ("foreign", "torn", "empty"):
        with pytest.raises(UploadDamaged) as caught:
            async with store.claim(UploadId(name), timeout_s=0):
                pass
        with (directory / f"{name}.info").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert caught.tb is not None  # as long as an error is looked at, its frames are alive


async def test_scans_see_records_only(store: FileOffsets, directory: Path) -> None:
    """Data, tusd's lock files, hidden folders and names that are no ids are passed over."""
    final = Final(parts=(UploadId("p"),))
    await add(store, directory, replace(UPLOAD, id=UploadId("in/folders"), kind=final))
    record = (directory / "in/folders.info").read_bytes()
    for name in ("x.lock", "x.stop", "x", ".hidden.info", ".tusd_py/y.info", "a b.info"):
        (directory / name).write_bytes(record)
    assert [found async for found in store.unassembled()] == ["in/folders"]


async def test_nothing_is_left_behind(store: FileOffsets, directory: Path) -> None:
    """A life of an upload leaves no lock, no temporary file and no record."""
    await add(store, directory, UPLOAD)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, length=11), durable=True)
        await claim.remove()
    (directory / ID).unlink()
    assert files_below(directory) == {f".tusd_py/bells/{store._bell.name}"}
    await store.close()
    assert files_below(directory) == set()
    await store.open()


# --- kernel locks


async def test_the_lock_moves_along_with_the_record(
    store: FileOffsets, other: FileOffsets, directory: Path
) -> None:
    """However often the holder replaces the record, nobody else gets in between."""
    await add(store, directory, UPLOAD)
    async with store.claim(ID, timeout_s=0) as claim:
        for number in range(5):
            assert not await is_free(other)
            await claim.save(replace(claim.upload, expires_at=float(number)))
        assert not await is_free(other)
    assert await is_free(other)


async def test_a_lock_on_the_old_record_is_no_claim(
    store: FileOffsets, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is replaced between open and lock is looked up again."""
    await add(store, directory, UPLOAD)
    path, lock = directory / f"{ID}.info", fcntl.flock
    fields = {**json.loads(path.read_bytes()), "Size": 77}

    def replace_before(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        new = directory / "new"
        new.write_text(json.dumps(fields))
        new.rename(path)
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", replace_before)
    async with store.claim(ID, timeout_s=0) as claim:
        assert claim.upload.length == 77
        await claim.save(claim.upload)  # and it is the record that has the name


async def test_a_lock_on_a_removed_record_is_not_found(
    store: FileOffsets, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is removed between open and lock is gone."""
    await add(store, directory, UPLOAD)
    lock = fcntl.flock

    def remove_before(fd: int, operation: int) -> None:
        (directory / f"{ID}.info").unlink()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", remove_before)
    with pytest.raises(UploadNotFound):
        async with store.claim(ID, timeout_s=0):
            pass


async def test_a_claim_cancelled_in_its_thread_is_given_back(
    store: FileOffsets, other: FileOffsets, directory: Path, run: HeldWork
) -> None:
    """A request that goes away while a thread takes the lock does not keep it."""
    await add(store, directory, UPLOAD)

    async def claim() -> None:
        async with store.claim(ID, timeout_s=5):
            pytest.fail("it was cancelled")

    run.hold()
    task = asyncio.create_task(claim())
    await run.wait_begun()
    task.cancel()
    run.release()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await is_free(other)


async def test_a_save_cancelled_in_its_thread_is_given_back(
    store: FileOffsets, other: FileOffsets, directory: Path, run: HeldWork
) -> None:
    """A request that goes away while its record is replaced does not keep the new one locked."""
    await add(store, directory, UPLOAD)

    async def claim() -> None:
        async with store.claim(ID, timeout_s=5) as claim:
            run.hold()
            await claim.save(replace(claim.upload, length=77))

    task = asyncio.create_task(claim())
    await run.wait_begun()
    task.cancel()
    run.release()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await is_free(other)
    assert (await store.get(ID)).length == 77


async def test_who_failed_to_get_in_owes_no_answer(
    store: FileOffsets, other: FileOffsets, directory: Path
) -> None:
    """Bells to ring are forgotten with the claim, also when it was never granted."""
    await add(store, directory, UPLOAD)

    async def wait_in_vain(offsets: FileOffsets) -> None:
        with pytest.raises(UploadLocked):
            async with offsets.claim(ID, timeout_s=0.1):
                pass

    with (directory / f"{ID}.info").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # a third process; both ring, and hear each other
        await asyncio.gather(wait_in_vain(store), wait_in_vain(other))
    assert store._askers == {}
    assert other._askers == {}


# --- what survives a power cut


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that matter to a disk, in order."""
    seen: list[str] = []
    sync, rename, unlink, link = os.fsync, os.rename, os.unlink, os.link

    def noted_sync(fd: int) -> None:
        seen.append("sync directory" if os.path.isdir(f"/proc/self/fd/{fd}") else "sync file")
        sync(fd)

    def noted(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def it(*args: object, **kwargs: object) -> None:
            seen.append(name)
            call(*args, **kwargs)

        return it

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "rename", noted("rename", rename))
    monkeypatch.setattr(os, "unlink", noted("unlink", unlink))
    monkeypatch.setattr(os, "link", noted("link", link))
    return seen


async def test_a_durable_record_is_synced_before_and_after_it_is_named(
    store: FileOffsets, directory: Path, calls: list[str]
) -> None:
    """First the content, then the name, then the directory that holds the name."""
    path = directory / ID
    path.touch()
    async with store.create(replace(UPLOAD, storage={"Path": str(path)}), durable=True):
        pass
    assert calls == ["sync file", "link", "unlink", "sync directory"]
    calls.clear()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, length=5), durable=True)
    assert calls == ["sync file", "rename", "sync directory"]


async def test_a_removal_is_synced(store: FileOffsets, directory: Path, calls: list[str]) -> None:
    """Without a sync of the directory a removed record would be back after a power cut."""
    await add(store, directory, UPLOAD)
    calls.clear()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.remove()
    assert calls == ["unlink", "sync directory"]


async def test_an_unchanged_record_is_not_written_again(
    store: FileOffsets, directory: Path, calls: list[str]
) -> None:
    """The size of the file is the offset, so a small PATCH costs no record."""
    await add(store, directory, UPLOAD, b"abc")
    calls.clear()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, offset=3))
    assert calls == []


@pytest.mark.parametrize(
    ("durability", "checkpoint", "synced"),
    [
        (Durability.NONE, 4, False),
        (Durability.COMPLETE, 0, False),
        (Durability.COMPLETE, 4, True),
        (Durability.ACK, 0, True),
    ],
)
async def test_what_replaces_a_durable_record_is_never_empty(
    directory: Path,
    run: HeldWork,
    calls: list[str],
    durability: Durability,
    checkpoint: int,
    *,
    synced: bool,
) -> None:
    """XFS keeps a renaming but not the content before it, unless that was synced."""
    store = FileOffsets(directory, run, durability=durability)
    await store.open()
    await add(store, directory, replace(UPLOAD, offset=4, checkpoint=checkpoint), b"abcd")
    calls.clear()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, expires_at=4e9))
    assert calls == ["sync file"] * synced + ["rename"]
    await store.close()


async def test_what_is_told_while_it_is_synced_is_synced_first(
    store: FileOffsets, directory: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEAD that finds a new record before its name is on disk sees to that itself."""
    await add(store, directory, UPLOAD, b"abcd")
    seen: list[str] = []
    sync = os.fsync

    def look(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}") and not seen:
            seen.append("first sync of the directory")
            told = store.records.get(ID)
            assert (told.finished, calls[-1]) == (True, "sync directory")
        sync(fd)

    monkeypatch.setattr(os, "fsync", look)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, length=4, finished=True), durable=True)
    assert seen
    calls.clear()
    await store.get(ID)
    assert calls == []


async def test_a_record_that_says_the_same_is_synced_all_the_same(
    store: FileOffsets, directory: Path, calls: list[str]
) -> None:
    """It may have been written in a hurry, when nothing was promised yet."""
    await add(store, directory, UPLOAD)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, length=5))
        calls.clear()
        await claim.save(claim.upload, durable=True)
    assert calls == ["sync file", "rename", "sync directory"]


async def test_a_damaged_upload_is_listed_as_that(tmp_path: Path) -> None:
    """A list misses no upload whose record cannot be read, and shows the others."""
    async with running_lanes() as run:
        store = FileOffsets(tmp_path, run)
        await store.open()
        for name in "ab":
            (tmp_path / name).touch()
            async with store.create(Upload(id=UploadId(name), length=1)):
                pass
        (tmp_path / "a.info").write_bytes(b"{")
        listed = [(one.id, one.upload is None) async for one in store.uploads()]
        assert listed == [("a", True), ("b", False)]
        await store.close()
