"""The contract of `DataStore` and `AppendSession`, sentence by sentence, for every adapter."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.unread import Lying
from tusd_py.interfaces import DataStore
from tusd_py.protocol.errors import (
    InsufficientStorage,
    UploadDamaged,
    UploadExists,
    UploadNotFound,
)
from tusd_py.protocol.model import Partial, Upload, UploadId

from .conftest import CAPACITY_BYTES, ID, DataHarness

MIB = 1024 * 1024


def pattern(length: int, seed: int = 0) -> bytes:
    """Bytes in which every shift and every gap shows."""
    block = b"".join((seed + n).to_bytes(8, "big") for n in range(length // 8 + 1))
    return block[:length]


async def create(store: DataStore, upload_id: UploadId = ID, length: int | None = 10) -> Upload:
    """Make room for an upload."""
    upload = Upload(id=upload_id, length=length)
    upload = replace(upload, storage=store.place(upload_id))
    await store.create(upload)
    return upload


async def append(store: DataStore, upload: Upload, *buffers: bytes) -> Upload:
    """Append and commit; return the upload with its new offset."""
    async with store.append(upload) as session:
        for buffer in buffers:
            await session.write(buffer)
        return replace(upload, offset=await session.commit())


async def content(store: DataStore, upload: Upload, start: int = 0, stop: int = 1 << 40) -> bytes:
    """All bytes of a range."""
    return b"".join([chunk async for chunk in store.read(upload, start, stop)])


# --- create and delete


async def test_bytes_can_have_another_place(data: DataHarness) -> None:
    """The application may say where below the store the bytes go; the id stays what it is."""
    upload = Upload(id=ID, length=10)
    upload = replace(upload, storage=data.store.place(ID, "films/summer 1.mp4"))
    assert upload.storage["Path"].endswith("films/summer 1.mp4")
    await data.store.create(upload)
    upload = await append(data.store, upload, b"film")
    assert await content(data.store, upload) == b"film"
    with pytest.raises(UploadExists):
        await data.store.create(upload)
    await data.store.delete(upload)
    with pytest.raises(UploadNotFound):
        await content(data.store, upload)


@pytest.mark.parametrize("path", ["", "../x", "/etc/x", "a/../../x", "x.info", ".x", "a\x00"])
async def test_no_place_is_outside(data: DataHarness, path: str) -> None:
    """ValueError; nothing has been made."""
    with pytest.raises(ValueError, match="path"):
        data.store.place(ID, path)


async def test_a_new_upload_is_empty(data: DataHarness) -> None:
    """`create` makes room for an upload without a byte, and says where."""
    upload = await create(data.store)
    assert upload.storage["Type"]
    assert await content(data.store, upload) == b""


async def test_create_is_exclusive(data: DataHarness) -> None:
    """Bytes under a taken id are not touched: UploadExists."""
    upload = await append(data.store, await create(data.store), b"mine")
    with pytest.raises(UploadExists):
        await data.store.create(upload)
    assert await content(data.store, upload) == b"mine"


async def test_ids_may_have_slashes(data: DataHarness) -> None:
    """An id with folders is one upload like any other."""
    first = await create(data.store, UploadId("2026/in-box/photo.jpg"))
    second = await create(data.store, UploadId("2026/in-box/film.mp4"))
    first = await append(data.store, first, b"photo")
    second = await append(data.store, second, b"film")
    await data.store.delete(first)
    assert await content(data.store, second) == b"film"


async def test_delete_is_idempotent(data: DataHarness) -> None:
    """Deleting twice is deleting once; the id is free afterwards."""
    upload = await append(data.store, await create(data.store), b"bytes")
    await data.store.delete(upload)
    await data.store.delete(upload)
    assert await content(data.store, await create(data.store)) == b""


# --- feed


class Noted:
    """Implements `Digest`: notes the pieces that it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self.pieces.append(bytes(data))

    def digest(self) -> bytes:
        return hashlib.sha256(b"".join(self.pieces)).digest()


@pytest.mark.parametrize("length", [0, 1, MIB, 17 * MIB + 3])
async def test_all_bytes_are_fed_in_order(data: DataHarness, length: int) -> None:
    """Every byte up to the offset once, in pieces that fit into memory, and none behind it."""
    upload = await create(data.store, length=length + 5)
    upload = await append(data.store, upload, pattern(length))
    await append(data.store, upload, b"later")
    noted = Noted()
    await data.store.feed(upload, noted)
    assert noted.digest() == hashlib.sha256(pattern(length)).digest()
    if data.has_files:
        assert max((len(piece) for piece in noted.pieces), default=0) <= MIB


async def test_only_what_is_there_can_be_fed(data: DataHarness) -> None:
    """UploadDamaged if bytes are missing, UploadNotFound if all of them are."""
    upload = await append(data.store, await create(data.store), b"abc")
    with pytest.raises(UploadDamaged):
        await data.store.feed(replace(upload, offset=4), Noted())
    await data.store.delete(upload)
    with pytest.raises(UploadNotFound):
        await data.store.feed(upload, Noted())


# --- append


async def test_bytes_are_appended_in_order(data: DataHarness) -> None:
    """What was written and committed is stored, buffer behind buffer, session behind session."""
    upload = await create(data.store)
    upload = await append(data.store, upload, b"ab", b"", b"cde")
    assert upload.offset == 5
    upload = await append(data.store, upload, b"fghij")
    assert upload.offset == 10
    assert await content(data.store, upload) == b"abcdefghij"


async def test_large_and_odd_buffers_leave_no_gap(data: DataHarness) -> None:
    """Sizes around those of buffers and of vectors come out byte for byte."""
    sizes = [1, MIB - 1, 3, 2 * MIB + 7, *([5] * 1500), MIB, 17]
    buffers = [pattern(size, seed) for seed, size in enumerate(sizes)]
    upload = await append(data.store, await create(data.store), *buffers)
    assert upload.offset == sum(sizes)
    assert await content(data.store, upload) == b"".join(buffers)


@pytest.mark.parametrize("digest", [False, True])
@pytest.mark.parametrize("spliced", [True, False])
async def test_unread_bytes_are_taken_in_their_turn(
    data: DataHarness, *, spliced: bool, digest: bool
) -> None:
    """Between others, whole, and seen by the digest; nothing of them is left where they were."""
    pieces = [pattern(size, size) for size in (9, CAPACITY_BYTES // 2, 70_000, 700_001, 1)]
    upload = await create(data.store, length=sum(map(len, pieces)))
    seen = Sum()
    async with data.store.append(upload, digest=seen if digest else None) as session:
        for number, piece in enumerate(pieces):
            unread = Lying(piece, spliced=spliced)
            await session.write(unread if number in {1, 2, 3} else piece)
            assert number not in {1, 2, 3} or unread.taken == len(piece)
        upload = replace(upload, offset=await session.commit())
    assert await content(data.store, upload) == b"".join(pieces)
    assert bytes(seen.seen) == (b"".join(pieces) if digest else b"")


@pytest.mark.parametrize("digest", [False, True])
async def test_unread_bytes_are_taken_as_far_as_they_come(
    data: DataHarness, *, digest: bool
) -> None:
    """Nobody waits for what may come later; `commit` tells how many there were."""
    upload = await create(data.store, length=100)
    seen = Sum()
    async with data.store.append(upload, digest=seen if digest else None) as session:
        for expected, unread in [(5, Lying(b"hello", most=80)), (5, Lying(b"", most=80))]:
            await session.write(unread)
            assert await session.commit() == expected
        await session.write(b"!")
        upload = replace(upload, offset=await session.commit())
    assert await content(data.store, upload) == b"hello!"
    assert bytes(seen.seen) == (b"hello!" if digest else b"")


async def test_commit_may_be_repeated(data: DataHarness) -> None:
    """Each `commit` returns the offset that is stored; with nothing new it is the same."""
    upload = await create(data.store)
    async with data.store.append(upload) as session:
        assert await session.commit() == 0
        await session.write(b"abc")
        assert await session.commit(durable=True) == 3
        assert await session.commit() == 3
        await session.write(b"de")
        assert await session.commit() == 5
    assert await content(data.store, upload) == b"abcde"


async def test_append_cuts_the_tail(data: DataHarness) -> None:
    """What lies behind `upload.offset` was never acknowledged and is cut off first."""
    upload = await append(data.store, await create(data.store), b"good and bad")
    upload = replace(upload, offset=4)
    async with data.store.append(upload) as session:
        assert await session.commit() == 4
    assert await content(data.store, upload) == b"good"


async def test_missing_bytes_are_damage(data: DataHarness) -> None:
    """An upload that lacks bytes it should have cannot be continued: no gap, UploadDamaged."""
    upload = await append(data.store, await create(data.store), b"four")
    with pytest.raises(UploadDamaged):
        async with data.store.append(replace(upload, offset=5)) as session:
            await session.commit()
    await data.store.delete(upload)
    with pytest.raises(UploadDamaged):
        async with data.store.append(upload) as session:
            await session.commit()


async def test_rollback_to_the_start(data: DataHarness) -> None:
    """`rollback` drops all of the session, stored or held back."""
    upload = await append(data.store, await create(data.store), b"keep")
    async with data.store.append(upload) as session:
        await session.write(pattern(3 * MIB))
        await session.write(b"held back")
        await session.rollback(4)
        assert await session.commit() == 4
    assert await content(data.store, upload) == b"keep"


async def test_rollback_to_a_commit(data: DataHarness) -> None:
    """`rollback` can go back to what `commit` returned, and the session goes on from there."""
    upload = await create(data.store)
    async with data.store.append(upload) as session:
        await session.write(b"one")
        stored = await session.commit()
        await session.write(b"two")
        await session.commit()
        await session.rollback(stored)
        await session.write(b"three")
        assert await session.commit() == 8
        await session.rollback(7)  # or anywhere else
        assert await session.commit() == 7
    assert await content(data.store, upload) == b"onethre"


async def test_committed_bytes_survive_an_error(data: DataHarness) -> None:
    """Whatever ends the session, what was committed is there."""
    upload = await create(data.store)

    async def cut_short() -> None:
        async with data.store.append(upload) as session:
            await session.write(b"kept")
            await session.commit()
            await session.write(b" or not")
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await cut_short()
    assert (await content(data.store, upload)).startswith(b"kept")


class Sum:
    """A digest that remembers how it was fed."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self.seen += data

    def digest(self) -> bytes:
        return hashlib.sha256(self.seen).digest()


async def test_the_digest_sees_every_byte_in_order(data: DataHarness) -> None:
    """After `commit` the digest has been given the bytes of this session, and no others."""
    upload = await append(data.store, await create(data.store), b"before")
    buffers = [pattern(size, size) for size in (1, MIB, 700_000, 500_000, 3 * MIB, 9)]
    digest = Sum()
    async with data.store.append(upload, digest=digest) as session:
        for buffer in buffers:
            await session.write(buffer)
        await session.commit()
        assert bytes(digest.seen) == b"".join(buffers)


# --- no room


async def fill(store: DataStore, upload: Upload, buffers: Sequence[bytes]) -> int:
    """Write more than fits; return the offset up to which the bytes are good."""
    async with store.append(upload) as session:
        with pytest.raises(InsufficientStorage):  # noqa: PT012 - write or commit may raise
            for buffer in buffers:
                await session.write(buffer)
            await session.commit()
        return await session.commit()


async def test_commit_tells_what_was_kept_when_there_is_no_room(data: DataHarness) -> None:
    """Without room the offset is exact: the bytes up to it are good, and there is no gap."""
    buffers = [pattern(300_000, seed * 1_000_000) for seed in range(6)]
    with data.small() as small:
        upload = await create(small.store, length=None)
        kept = await fill(small.store, upload, buffers)
        assert await content(small.store, upload) == b"".join(buffers)[:kept]
        assert CAPACITY_BYTES - 4096 <= kept <= CAPACITY_BYTES


async def test_after_making_room_the_upload_goes_on(data: DataHarness) -> None:
    """A store that was full takes the rest once there is room."""
    whole = pattern(2 * CAPACITY_BYTES)
    with data.small() as small:
        upload = await create(small.store, length=len(whole))
        upload = replace(upload, offset=await fill(small.store, upload, [whole]))
        small.make_room()
        upload = await append(small.store, upload, whole[upload.offset :])
        assert await content(small.store, upload) == whole


# --- finish and read


@pytest.mark.parametrize("durable", [False, True])
async def test_finish_is_idempotent(data: DataHarness, *, durable: bool) -> None:
    """Finishing twice is finishing once, and changes no byte."""
    upload = await append(data.store, await create(data.store), b"0123456789")
    await data.store.finish(upload, durable=durable)
    await data.store.finish(upload, durable=durable)
    assert await content(data.store, upload) == b"0123456789"


async def test_ranges_are_read(data: DataHarness) -> None:
    """`read` returns the bytes from `start` up to, not including, `stop`."""
    whole = pattern(1_000_000)
    upload = await append(data.store, await create(data.store), whole)
    for start, stop in ((0, 0), (0, 1), (5, 9), (262_143, 524_289), (999_999, 1_000_000)):
        assert await content(data.store, upload, start, stop) == whole[start:stop]


async def test_reading_what_is_gone_is_not_found(data: DataHarness) -> None:
    """Bytes that are gone are not found, by `read` as by `open_file`."""
    upload = await append(data.store, await create(data.store), b"bytes")
    await data.store.delete(upload)
    with pytest.raises(UploadNotFound):
        await content(data.store, upload)
    if data.has_files:
        with pytest.raises(UploadNotFound):
            await data.store.open_file(upload)


async def test_a_file_holds_the_same_bytes(data: DataHarness) -> None:
    """`open_file` returns a real file with all the bytes, or None where there are no files."""
    upload = await append(data.store, await create(data.store), b"0123456789")
    file = await data.store.open_file(upload)
    assert (file is not None) == data.has_files
    if file is not None:
        with file:
            assert file.read() == b"0123456789"
            assert file.fileno() >= 0


# --- concatenate


async def make_parts(store: DataStore, *sizes: int) -> list[Upload]:
    """Make complete partial uploads."""
    parts = []
    for number, size in enumerate(sizes):
        part = Upload(id=UploadId(f"part-{number}"), length=size, kind=Partial())
        part = replace(part, storage=store.place(part.id))
        await store.create(part)
        parts.append(await append(store, part, pattern(size, number * 1_000_000)))
    return parts


async def joined(store: DataStore, parts: Sequence[Upload]) -> bytes:
    """The bytes of all parts."""
    return b"".join([await content(store, part) for part in parts])


async def test_parts_are_joined_in_order(data: DataHarness) -> None:
    """`concatenate` writes the parts one behind the other, returns the length, keeps the parts."""
    parts = await make_parts(data.store, 10, 0, 300_001, 7)
    parts = [parts[2], parts[0], parts[1], parts[3], parts[0]]
    expected = await joined(data.store, parts)
    final = await create(data.store, length=None)
    assert await data.store.concatenate(final, parts) == len(expected)
    assert await content(data.store, final) == expected
    assert await joined(data.store, parts) == expected


async def test_concatenation_can_be_repeated(data: DataHarness) -> None:
    """After a crash the final may have bytes already; they do not count."""
    parts = await make_parts(data.store, 100, 200)
    expected = await joined(data.store, parts)
    final = await create(data.store, length=None)
    await append(data.store, final, b"half of an earlier attempt" * 50)
    for _ in range(2):
        assert await data.store.concatenate(final, parts) == 300
        assert await content(data.store, final) == expected


async def test_a_missing_part_leaves_no_bytes(data: DataHarness) -> None:
    """All or nothing: when a part has gone, the final has no bytes, not even of an attempt."""
    parts = await make_parts(data.store, 100, 200, 300)
    final = await create(data.store, length=None)
    await append(data.store, final, b"half of an earlier attempt")
    await data.store.delete(parts[1])
    with pytest.raises(UploadNotFound):
        await data.store.concatenate(final, parts)
    assert await content(data.store, final) == b""


async def test_no_room_for_the_final_leaves_no_bytes(data: DataHarness) -> None:
    """All or nothing: without room the final has no bytes, and the parts are whole."""
    with data.small() as small:
        parts = await make_parts(small.store, 200_000, 200_000)
        parts = [*parts, *parts, *parts]
        expected = await joined(small.store, parts)
        final = await create(small.store, length=None)
        with pytest.raises(InsufficientStorage):
            await small.store.concatenate(final, parts)
        assert await content(small.store, final) == b""
        assert await joined(small.store, parts) == expected


# --- when


async def test_it_is_known_when_bytes_were_last_stored(data: DataHarness) -> None:
    """`touched` tells for each of many, and None for what is not there."""
    began = time.time() - 2  # file systems have clocks of their own
    first = await create(data.store, UploadId("a" * 32))
    second = await append(data.store, await create(data.store, UploadId("b" * 32)), b"bytes")
    gone = await create(data.store, UploadId("c" * 32))
    await data.store.delete(gone)
    one, two, nothing = await data.store.touched([first, second, gone])
    assert one is not None
    assert two is not None
    assert began <= one <= two <= time.time() + 2
    assert nothing is None
    assert list(await data.store.touched([second])) == [two]


# --- orphans


async def test_orphans_are_never_of_value(data: DataHarness) -> None:
    """What has a byte, a record, or was made lately is not an orphan."""
    with_bytes = await append(data.store, await create(data.store, UploadId("a" * 32)), b"x")
    with_record = await create(data.store, UploadId("b" * 32))
    data.make_record(with_record)
    later = time.time() + 60
    assert [name async for name in data.store.orphans(later)] == []
    young = await create(data.store, UploadId("c" * 32))
    assert [name async for name in data.store.orphans(time.time() - 60)] == []
    for upload in (with_bytes, with_record, young):
        await append(data.store, upload, b"more")


# --- seize


async def test_seized_bytes_are_the_same_in_their_new_place(data: DataHarness) -> None:
    """What was committed is there and can be read, gone on with and removed."""
    upload = await append(data.store, await create(data.store), b"kept and not saved")
    upload = replace(upload, offset=4)
    upload = replace(upload, storage=await data.store.seize(upload, 7))
    assert await content(data.store, upload, 0, 4) == b"kept"
    upload = await append(data.store, upload, b", too")
    assert await content(data.store, upload) == b"kept, too"
    await data.store.delete(upload)
    with pytest.raises(UploadNotFound):
        await content(data.store, upload)


async def test_bytes_can_be_seized_again(data: DataHarness) -> None:
    """By each claim that follows one that was not given back, and after a crash in between."""
    upload = await append(data.store, await create(data.store), b"bytes")
    await data.store.seize(upload, 7)
    upload = replace(upload, storage=await data.store.seize(upload, 8))
    upload = replace(upload, storage=await data.store.seize(upload, 9))
    assert await content(data.store, upload) == b"bytes"


@pytest.mark.parametrize("offset", [0, 6])
async def test_missing_bytes_cannot_be_seized(data: DataHarness, offset: int) -> None:
    """Fewer than were committed, or no place for any: the upload is damaged."""
    upload = await append(data.store, await create(data.store), b"bytes")
    if not offset:
        await data.store.delete(upload)
    with pytest.raises(UploadDamaged):
        await data.store.seize(replace(upload, offset=offset), 7)


async def test_a_store_tells_whether_it_takes_bytes(data: DataHarness) -> None:
    """Yes with room, no without; and nobody sees that it was tried."""
    await data.store.check()
    assert [one async for one in data.store.orphans(math.inf)] == []
    with data.small() as small:
        await small.store.open()
        await small.store.check()
        upload = await create(small.store, length=None)
        with contextlib.suppress(InsufficientStorage):
            await append(small.store, upload, bytes(4 * CAPACITY_BYTES))
        # Without root it is only the size of each file that is limited.
        if os.geteuid() == 0 or not data.has_files:
            with pytest.raises(InsufficientStorage):
                await small.store.check()
        small.make_room()
        await small.store.check()
        await small.store.close()
