"""What lies beside the data, and how records come back from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tests.support.waiting import wait_until
from tusd_py.filesystem.mounts import is_local
from tusd_py.offsets.directory import RecordDirectory
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.offsets.redis_scripts import SAVE, Script
from tusd_py.protocol.errors import (
    ClaimLost,
    InsufficientStorage,
    StoreUnavailable,
    UploadDamaged,
    UploadExists,
    UploadLocked,
    UploadNotFound,
)
from tusd_py.protocol.metadata import parse_metadata
from tusd_py.protocol.model import Final, Partial, Upload, UploadId

from .conftest import ID, KEY, StartNode, add


def info_of(directory: Path) -> dict[str, object]:
    """The copy of the upload."""
    content: dict[str, object] = json.loads((directory / f"{ID}.info").read_bytes())
    return content


def own_of(directory: Path) -> dict[str, Any]:
    """What the copy says beside what tusd would."""
    own = info_of(directory)["TusdPy"]
    assert isinstance(own, dict)
    return own


def fence_of(directory: Path) -> int:
    """The fence in the copy."""
    fence: int = own_of(directory)["Fence"]
    return fence


# --- when copies are written


async def test_a_copy_is_tusds_record(start: StartNode, directory: Path) -> None:
    """A new upload has an `.info` file that the embedded store reads just so."""
    store = await start()
    upload = Upload(id=ID, length=10, metadata=parse_metadata("a Yg=="), owner="me")
    upload = await add(store, directory, upload)
    assert RecordDirectory(directory).get(ID) == upload
    assert fence_of(directory) == 1


async def test_an_offset_alone_is_not_copied(start: StartNode, directory: Path) -> None:
    """A PATCH that only moves offset and expiry costs no file; whatever else changes does."""
    store = await start()
    upload = await add(store, directory, Upload(id=ID, length=None, expires_at=50.0))
    before = os.stat(directory / f"{ID}.info").st_ino
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, offset=5, expires_at=90.0))
        assert os.stat(directory / f"{ID}.info").st_ino == before
        await claim.save(replace(claim.upload, length=10))
        assert info_of(directory)["Size"] == 10
        await claim.save(replace(claim.upload, checkpoint=5), durable=True)
        assert info_of(directory)["Offset"] == 5
    assert fence_of(directory) == 2


async def test_a_copy_goes_with_its_record(start: StartNode, directory: Path) -> None:
    """After `remove` there is none, and nothing brings the upload back."""
    store = await start()
    await add(store, directory, data=b"12")
    content = (directory / f"{ID}.info").read_bytes()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.remove()
    assert not (directory / f"{ID}.info").exists()
    (directory / f"{ID}.info").write_bytes(content)  # back after a power cut, or written late
    with pytest.raises(UploadNotFound):
        await store.get(ID)
    assert [outcome async for outcome in store.rebuild_all()] == [(ID, "terminated")]


def test_an_earlier_copy_never_replaces_a_later_one(directory: Path) -> None:
    """Who was stopped before writing a copy does no harm with it."""
    copies = Copies(directory)
    copies.make()
    (directory / ID).write_bytes(b"")
    upload = Upload(id=ID, length=10, storage={"Path": str(directory / ID)})
    copies.add_copy(upload, 5, durable=False)
    assert not copies.write_copy(replace(upload, owner="old"), 4, exact=False, durable=False)
    assert copies.write_copy(replace(upload, owner="new"), 5, exact=False, durable=True)
    assert copies.write_copy(replace(upload, owner="new"), 6, exact=False, durable=False)
    copy = copies.read_copy(ID)
    assert copy is not None
    assert (copy.upload.owner, copy.fence) == ("new", 6)


async def test_a_save_that_finds_a_later_copy_is_fenced(start: StartNode, directory: Path) -> None:
    """F53: in a split brain, the side that comes second at the data hears of it."""
    store = await start()
    upload = await add(store, directory)
    async with store.claim(ID, timeout_s=0) as claim:
        Copies(directory).write_copy(upload, claim.fence + 1, exact=False, durable=False)
        with pytest.raises(ClaimLost):
            await claim.save(replace(upload, checkpoint=0), durable=True)


# --- rebuilding


@pytest.mark.parametrize("kind", [Partial(), Final(parts=(UploadId("p"),), header="final;p")])
async def test_a_lost_record_is_rebuilt_by_whoever_asks(
    start: StartNode, server: RedisServer, directory: Path, kind: Partial | Final
) -> None:
    """F46: all of it comes back, and the upload can be claimed, found and removed as before."""
    store = await start()
    upload = Upload(id=ID, length=9, kind=kind, owner="me", created_at=1.5, expires_at=2e9)
    upload = await add(store, directory, upload)
    server.ask("FLUSHALL")
    rebuilt = await store.get(ID)
    assert replace(rebuilt, expires_at=upload.expires_at) == upload
    server.ask("FLUSHALL")
    assert [found async for found in store.expired(3e9)] == [ID]
    unassembled = [found async for found in store.unassembled()]
    assert unassembled == ([ID] if isinstance(kind, Final) else [])
    server.ask("FLUSHALL")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await store.get(ID)


async def test_what_came_since_the_copy_the_size_tells(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """While the kernel runs that took the bytes, none of them is lost with Redis."""
    store = await start()
    await add(store, directory)
    (directory / ID).write_bytes(b"1234567")
    server.ask("FLUSHALL")
    assert (await store.get(ID)).offset == 7


async def test_unverified_bytes_do_not_count(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A checksummed body that was on its way when Redis was lost is not believed."""
    store = await start()
    await add(store, directory, data=b"123")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=True)
        (directory / ID).write_bytes(b"123 unverified")
        server.ask("FLUSHALL")
        assert (await (await start()).get(ID)).offset == 3


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("exact", [False, True])
async def test_a_mark_in_redis_is_one_in_the_copy(
    start: StartNode, server: RedisServer, directory: Path, *, exact: bool, saved: bool
) -> None:
    """A holder that fails between the two gives the upload back as one that needs care.

    Its successor writes the copy; else bytes stored since would be forgotten with Redis.
    """
    store = await start()
    await add(store, directory, data=b"123")
    run = store._link.run

    async def failing(script: Script, *args: str) -> Any:
        if script is not SAVE:
            return await run(script, *args)
        if saved:
            await run(script, *args)
        raise StoreUnavailable

    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=not exact)
    async with store.claim(ID, timeout_s=0) as claim:
        store._link.run = failing  # type: ignore[assignment,method-assign]
        with pytest.raises(StoreUnavailable):
            await claim.save(claim.upload, exact=exact)
        store._link.run = run  # type: ignore[method-assign]
    async with store.claim(ID, timeout_s=0) as claim:
        assert claim.seized
        assert claim.exact is (exact if saved else not exact)
        assert (own_of(directory)["ExactAt"] == 3) is claim.exact
        (directory / ID).write_bytes(b"12345")
        await claim.save(replace(claim.upload, offset=5), exact=claim.exact)
    server.ask("FLUSHALL")
    assert (await store.get(ID)).offset == 5


async def test_a_copy_that_could_not_be_written_is_written_later(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """The next save under the same claim does it, whatever it changes."""
    store = await start()
    await add(store, directory, data=b"123")
    copies = store._shared.copies
    assert copies is not None

    def full(*_: Any, **__: Any) -> bool:
        raise InsufficientStorage

    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=True)
        store._shared.copies = cast("Copies", _Slowly(copies, full))
        with pytest.raises(InsufficientStorage):
            await claim.save(claim.upload)
        store._shared.copies = copies
        await claim.save(claim.upload)
        assert own_of(directory)["ExactAt"] is None
    async with store.claim(ID, timeout_s=0) as claim:
        assert not claim.seized


async def test_what_a_dead_holder_left_is_copied(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """It may have died between Redis and the copy, so its successor writes the copy."""
    store = await start()
    await add(store, directory, data=b"123")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=True)
    before = (directory / f"{ID}.info").read_bytes()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload)
        (directory / f"{ID}.info").write_bytes(before)  # it did not get there
        server.ask("DEL", f"{KEY}:claim")
        async with (await start()).claim(ID, timeout_s=0) as successor:
            assert successor.seized
            assert own_of(directory)["ExactAt"] is None


@pytest.mark.parametrize("exact", [False, True])
async def test_a_rebuilt_record_says_what_its_copy_says(
    start: StartNode, server: RedisServer, directory: Path, *, exact: bool
) -> None:
    """Whether bytes behind the offset count, also after Redis has lost everything."""
    store = await start()
    await add(store, directory, data=b"123")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(claim.upload, exact=exact)
    server.ask("FLUSHALL")
    async with store.claim(ID, timeout_s=0) as claim:
        assert own_of(directory)["ExactAt"] == (3 if claim.exact else None)
        assert claim.upload.offset == 3


async def test_an_expiry_that_only_redis_knew_is_not_forgotten(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """The copy says when the upload would have expired without the bytes that came since."""
    store = await start()
    upload = await add(store, directory, Upload(id=ID, length=9, expires_at=1000.0))
    os.utime(directory / f"{ID}.info", (100, 100))
    os.utime(upload.storage["Path"], (160, 160))
    server.ask("FLUSHALL")
    assert (await store.get(ID)).expires_at == 1060.0


async def test_everything_is_rebuilt_at_once(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """`rebuild_all` tells what became of each upload, and may be repeated."""
    store = await start()
    for name in "abc":
        await add(store, directory, Upload(id=UploadId(name), length=5, offset=1), b"1")
    server.ask("FLUSHALL")
    (directory / "b").unlink()
    (directory / "c.info").write_bytes(b"{")
    await store.get(UploadId("a"))
    server.ask("DEL", "tusd-py:{a}")
    outcomes = {str(found): outcome async for found, outcome in store.rebuild_all()}
    assert outcomes == {"a": "rebuilt", "b": "ERR_UPLOAD_NOT_FOUND", "c": "ERR_UPLOAD_DAMAGED"}
    outcomes = {str(found): outcome async for found, outcome in store.rebuild_all()}
    assert outcomes["a"] == "present"


async def test_a_directory_of_tusd_can_be_taken_over(start: StartNode, directory: Path) -> None:
    """Records that Redis has never seen are taken up when asked for; their bytes stay in place."""
    (directory / ID).write_bytes(b"12345")
    storage = {"Path": str(directory / ID), "Type": "filestore"}
    RecordDirectory(directory).make()
    RecordDirectory(directory).add(
        Upload(id=ID, length=10, storage=storage), durable=False
    ).file.close()
    store = await start()
    async with store.claim(ID, timeout_s=0) as claim:
        assert not claim.seized
        assert claim.upload.offset == 5
    assert fence_of(directory) >= 1


async def test_an_id_that_redis_has_lost_is_not_given_again(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Creating an upload of that id raises UploadExists, and the old one is as it was."""
    store = await start()
    upload = await add(store, directory, Upload(id=ID, length=10, owner="first"))
    server.ask("FLUSHALL")
    with pytest.raises(UploadExists):
        async with store.create(replace(upload, owner="second")):
            pass
    server.ask("FLUSHALL")
    assert (await store.get(ID)).owner == "first"


async def test_without_files_nothing_is_rebuilt(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A data store that has no directory has no copies either."""
    store = await start(copies=False)
    await add(store, directory)
    assert not (directory / f"{ID}.info").exists()
    server.ask("FLUSHALL")
    with pytest.raises(UploadNotFound):
        await store.get(ID)
    assert [outcome async for outcome in store.rebuild_all()] == []


# --- Redis and the data do not agree


async def test_after_a_power_cut_only_checkpoints_count(start: StartNode, directory: Path) -> None:
    """The host of the data was restarted, and Redis was not: what was synced is believed."""
    store = await start(boot="one")
    upload = await add(store, directory, data=b"1234567")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, offset=7, checkpoint=4), durable=True)
    after = await start(boot="two")
    assert (await after.get(ID)).offset == 4
    async with after.claim(ID, timeout_s=0) as claim:
        assert claim.upload.offset == 4
        await claim.save(replace(claim.upload, offset=5))
    assert (await after.get(ID)).offset == 5


async def test_a_tail_of_zeros_never_counts_whoever_is_lost(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A look after a power cut believes no more than the checkpoint, even if Redis is lost then."""
    store = await start(boot="one")
    upload = await add(store, directory, data=b"1234\0\0\0")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, offset=7, checkpoint=4), durable=True)
    after = await start(boot="two")
    async with after.claim(ID, timeout_s=0) as claim:
        assert claim.upload.offset == 4
    server.ask("FLUSHALL")
    assert (await after.get(ID)).offset == 4
    (directory / ID).write_bytes(b"12345")
    async with after.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, offset=5))
    server.ask("FLUSHALL")
    assert (await after.get(ID)).offset == 5


async def test_bytes_that_redis_vouches_for_are_missed(start: StartNode, directory: Path) -> None:
    """F18: fewer bytes than a checkpoint promised mean damage, never a lower offset."""
    store = await start(boot="one")
    upload = await add(store, directory, data=b"1234567")
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, offset=7, checkpoint=7), durable=True)
    (directory / ID).write_bytes(b"123")
    after = await start(boot="two")
    with pytest.raises(UploadDamaged):
        async with after.claim(ID, timeout_s=0):
            pass
    async with after.claim(ID, timeout_s=0, damaged=True) as claim:  # to be removed
        await claim.remove()
    assert not (directory / f"{ID}.info").exists()


async def test_a_termination_that_redis_forgot_stays(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F53: a record that is back after a failover, without bytes and copy, is removed again."""
    store = await start()
    await add(store, directory)
    old = server.ask("HGETALL", KEY)
    async with store.claim(ID, timeout_s=0) as claim:
        (directory / ID).unlink()
        await claim.remove()
    server.ask("FLUSHALL")
    old["run"] = "an earlier one"
    server.ask("HSET", KEY, *[word for pair in old.items() for word in pair])
    with pytest.raises(UploadNotFound):
        async with store.claim(ID, timeout_s=0):
            pass
    assert server.ask("EXISTS", KEY) == 0


@pytest.mark.parametrize("nodes", [1, 2])
async def test_nothing_is_told_before_its_copy_is_on_disk(
    start: StartNode, directory: Path, nodes: int
) -> None:
    """I6: a look beside the request that finishes an upload, here or at another node."""
    stores = [await start() for _ in range(nodes)]
    async with _finishing(stores[0], directory) as finished:
        looking = stores[-1]
        assert (await looking.get(ID)).finished
        assert own_of(directory)["Finished"], "what is told is not on disk yet"
        with pytest.raises(UploadLocked):  # nor is it given back before that
            async with looking.claim(ID, timeout_s=0.05):
                pass
    assert (await stores[-1].get(ID)) == finished


async def test_what_a_dead_node_finished_is_on_disk_before_it_is_told(
    start: StartNode, directory: Path, server: RedisServer
) -> None:
    """It died between Redis and its copy; once anybody has looked, the copy tells the same."""
    first, second = await start(lease_s=0.3), await start()
    async with _finishing(first, directory):
        await first._keeper.close()  # nobody renews the lease
        await asyncio.to_thread(wait_until, lambda: not server.ask("EXISTS", f"{KEY}:claim"))
        assert (await second.get(ID)).finished
        assert own_of(directory)["Finished"]
        assert server.ask("HGET", KEY, "holder") in (None, ""), "each look would write it again"


@contextlib.asynccontextmanager
async def _finishing(store: RedisOffsets, directory: Path) -> AsyncIterator[Upload]:
    """Finish an upload; within the context Redis has it, and the copy is not written."""
    upload = await add(store, directory, data=b"0123456789")
    finished = replace(upload, offset=10, finished=True)
    copies = store._shared.copies
    assert copies is not None
    begun, may_end = threading.Event(), threading.Event()

    def slow(*args: Any, durable: bool, **options: Any) -> bool:
        begun.set()
        assert may_end.wait(10)
        return copies.write_copy(*args, durable=durable, **options)

    store._shared.copies = cast("Copies", _Slowly(copies, slow))
    try:
        async with store.claim(ID, timeout_s=0) as claim:
            saving = asyncio.create_task(claim.save(finished, durable=True, release=True))
            assert await asyncio.to_thread(begun.wait, 10)
            assert not own_of(directory)["Finished"]
            try:
                yield finished
            finally:
                may_end.set()
                with contextlib.suppress(ClaimLost):
                    await saving
    finally:
        store._shared.copies = copies


class _Slowly:
    """Copies of which one kind of work takes long."""

    def __init__(self, copies: Copies, write_copy: Callable[..., bool]) -> None:
        self._copies = copies
        self.write_copy = write_copy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._copies, name)


async def test_a_look_sees_no_older_record_than_a_claim(
    start: StartNode, directory: Path, tmp_path: Path
) -> None:
    """F53: `get` is not fooled by a Redis that came back with what it had a while ago."""
    ids = [UploadId(name) for name in ("moved", "finished", "removed", "same")]
    moved, finished, removed, same = ids
    with running_redis("--dbfilename", "dump") as forgetful:
        store = await start(url=forgetful.url)
        for upload_id in ids:
            await add(store, directory, Upload(id=upload_id, length=5, offset=2), b"12")
        forgetful.ask("SAVE")
        for upload_id in (moved, finished):
            (directory / upload_id).write_bytes(b"12345")
            async with store.claim(upload_id, timeout_s=0) as claim:
                done = upload_id == finished
                at = replace(claim.upload, offset=5 if done else 4, finished=done)
                await claim.save(at, durable=done)
        (directory / moved).write_bytes(b"1234")
        async with store.claim(removed, timeout_s=0) as claim:
            (directory / removed).unlink()
            await claim.remove()
        forgetful.kill()
        forgetful.start()
        for node in (store, await start(url=forgetful.url)):
            assert (await node.get(moved)).offset == 4
            assert (await node.get(finished)).finished
            assert (await node.get(same)).offset == 2
            with pytest.raises(UploadNotFound):
                await node.get(removed)
        (directory / same).write_bytes(b"")
        with pytest.raises(UploadDamaged):
            await store.get(same)
        assert (await store.get(same, damaged=True)).id == same
        for upload_id in (moved, finished):
            before = await store.get(upload_id)
            async with store.claim(upload_id, timeout_s=0) as claim:
                assert claim.upload == before
            assert await store.get(upload_id) == before
        # A claim has set it right, so that files need not be looked at any more.
        (directory / f"{moved}.info").rename(tmp_path / "away")
        assert (await store.get(moved)).offset == 4


async def test_nodes_may_mount_the_directory_elsewhere(
    start: StartNode, directory: Path, tmp_path: Path
) -> None:
    """Each node finds the bytes where it sees them."""
    store = await start()
    await add(store, directory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(directory)
    other = Copies(elsewhere)
    upload = await store.get(ID)
    assert other.place_of(upload) == f"{elsewhere}/{ID}"
    seized = replace(upload, storage={"Path": f"{directory}/{ID},3-00"})
    assert other.place_of(seized) == f"{elsewhere}/{ID},3-00"
    assert other.place_of(replace(upload, storage={"Type": "memorystore"})) is None


# --- orphans


@pytest.mark.parametrize("lost", [False, True])
async def test_records_whose_bytes_are_gone_are_orphans(
    start: StartNode, server: RedisServer, directory: Path, *, lost: bool
) -> None:
    """What a crash in the middle of a termination leaves is removed, record and copy."""
    store = await start()
    await add(store, directory)
    (directory / ID).unlink()
    os.utime(directory / f"{ID}.info", (50, 50))
    assert [name async for name in store.orphans(40)] == []
    if lost:
        server.ask("FLUSHALL")
    else:
        async with store.claim(ID, timeout_s=0):
            assert [name async for name in store.orphans(60)] == []
    assert [name async for name in store.orphans(60)] == [ID]
    assert server.ask("EXISTS", KEY) == 0
    assert not (directory / f"{ID}.info").exists()


async def test_seized_files_that_no_record_names_are_orphans(
    start: StartNode, directory: Path
) -> None:
    """What seizures that were cut short left is removed, and never what is in use."""
    store = await start()
    upload = await add(store, directory)
    used = directory / f"{ID},7-00"
    (directory / ID).rename(used)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, storage={"Path": str(used)}))
    left = [f"{ID},6-00", f"{ID},8-00~", "unknown,1-00"]
    for name in left:
        (directory / name).write_bytes(b"left")
    (directory / f"{ID}.info").touch()
    now = os.stat(directory / f"{ID},8-00~").st_ctime
    assert [name async for name in store.orphans(now - 60)] == []
    async with store.claim(ID, timeout_s=0):
        assert [name async for name in store.orphans(now + 60)] == ["unknown,1-00"]
    assert {name async for name in store.orphans(now + 60)} == set(left[:2])
    assert used.exists()


async def test_a_save_that_gives_the_claim_back_makes_no_copy_anew(
    start: StartNode, directory: Path
) -> None:
    """The next holder may have removed the upload before the copy is written."""
    store = await start()
    upload = await add(store, directory)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, owner="me"), release=True)
    assert RecordDirectory(directory).get(ID).owner == "me"
    async with store.claim(ID, timeout_s=0) as claim:
        (directory / f"{ID}.info").unlink()
        await claim.save(replace(upload, owner="you"), release=True)
    assert not (directory / f"{ID}.info").exists()


@pytest.mark.parametrize(
    ("kind", "local"), [("ext4", True), ("nfs4", False), ("fuse.sshfs", False)]
)
def test_shared_file_systems_are_known(tmp_path: Path, kind: str, *, local: bool) -> None:
    """The file system of the longest mount point above a path tells whether hosts share it."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - xfs /dev/sda rw\n"
        f"2 1 8:2 / {tmp_path}/up\\040loads rw,noatime shared:1 - {kind} host:/x rw\n"
    )
    assert is_local(tmp_path / "up loads/in", mounts) is local
    assert is_local(tmp_path, mounts)
    assert not is_local(tmp_path, tmp_path / "missing")
