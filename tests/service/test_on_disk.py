"""The service on a directory: cancelled writes, failed syncs, power cuts."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.bodies import ScriptedBody
from tests.support.work import HeldWork, SlowWork, running_lanes
from tusd_py.data.disk import WRITE_BYTES, DiskData
from tusd_py.filesystem.work import FileWork
from tusd_py.interfaces import BodyEnd, Durability, HookType
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.checksum import Checksum
from tusd_py.protocol.errors import (
    MismatchedOffset,
    StoreUnavailable,
    UnexpectedEOF,
    UploadInterrupted,
    UploadRejected,
)
from tusd_py.protocol.model import Upload
from tusd_py.service import transfer

from .conftest import SOON_S, House

ROUNDS = 20
CHUNK = 300_000


@pytest.fixture
async def held() -> AsyncIterator[HeldWork]:
    """File work that a test can hold up."""
    async with running_lanes() as lanes:
        yield HeldWork(lanes)


@pytest.fixture
async def slow() -> AsyncIterator[SlowWork]:
    """File work as on a slow disk."""
    async with running_lanes() as lanes:
        yield SlowWork(lanes, seed=4, longest_s=0.004)


async def on_disk(
    directory: Path,
    run: FileWork,
    durability: Durability = Durability.COMPLETE,
    boot: str | None = None,
) -> House:
    """The service on a directory."""
    offsets = FileOffsets(directory, run, durability=durability, boot=boot)
    house = House(offsets=offsets, data=DiskData(directory, run), durability=durability)
    await house.data.open()
    await offsets.open()
    return house


async def after_a_power_cut(directory: Path, run: FileWork, upload: Upload) -> Upload:
    """The record as the next run of the kernel reads it."""
    return await FileOffsets(directory, run, boot="the next boot").get(upload.id)


def sha1(content: bytes) -> Checksum:
    """The checksum a client announces."""
    return Checksum("sha1", hashlib.sha1(content, usedforsecurity=False).digest())


# --- two requests


async def test_a_cancelled_write_ends_before_the_next_begins(
    tmp_path: Path, held: HeldWork
) -> None:
    """The claim is given back only when the thread has written what it was given."""
    house = await on_disk(tmp_path, held)
    upload = await house.create(None)
    body = ScriptedBody(end=None)
    first = asyncio.create_task(house.append(upload, body))
    await body.wait_starved()
    held.hold()
    body.feed(b"1" * WRITE_BYTES)
    await held.wait_begun()
    first.cancel()
    asking = asyncio.create_task(house.head(upload))
    await asyncio.wait([asking], timeout=0.05)
    assert not first.done()
    assert not asking.done()
    held.release()
    assert (await asking).offset == WRITE_BYTES
    assert first.cancelled()
    await house.append(upload, b"2" * 10, offset=WRITE_BYTES)
    assert await house.content(upload) == b"1" * WRITE_BYTES + b"2" * 10
    await house.offsets.close()


async def test_bytes_of_requests_never_mix(tmp_path: Path, slow: SlowWork) -> None:
    """Cancelled or taken over at any moment: what HEAD has told once stays as it was."""
    house = await on_disk(tmp_path, slow)
    upload = await house.create(None)
    moments = random.Random(7)  # noqa: S311 - the same at every run
    told = [0]
    for number in range(1, ROUNDS + 1):
        body = ScriptedBody(*[bytes([number]) * CHUNK] * 8, end=None)
        task = asyncio.create_task(house.append(upload, body, offset=told[-1]))
        await asyncio.wait([task], timeout=moments.uniform(0, 0.03))
        if number % 2:
            task.cancel()
        told.append((await house.head(upload)).offset)
        await asyncio.wait([task], timeout=SOON_S)
        assert task.cancelled() or isinstance(task.exception(), UploadInterrupted)
    content = await house.content(upload)
    assert len(content) == told[-1] > ROUNDS * CHUNK
    for number, (start, stop) in enumerate(pairwise(told), 1):
        assert content[start:stop].count(number) == stop - start
    await house.offsets.close()


# --- failed syncs


def fail(fd: int) -> None:
    """A disk that does not take it."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("checksum", [None, sha1(b"defghij")])
async def test_bytes_whose_sync_failed_are_sent_again(
    tmp_path: Path,
    held: HeldWork,
    monkeypatch: pytest.MonkeyPatch,
    checksum: Checksum | None,
) -> None:
    """503, and HEAD tells an offset up to which every byte is the client's: no zeros."""
    house = await on_disk(tmp_path, held)
    upload = await house.append(await house.create(10), b"abc")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreUnavailable):
            await house.append(upload, b"defghij", checksum=checksum)
    offset = (await house.head(upload)).offset
    assert await house.content(upload) == b"abcdefghij"[:offset]
    upload = await house.append(upload, b"abcdefghij"[offset:], offset=offset)
    assert upload.finished
    assert await house.content(upload) == b"abcdefghij"
    await house.offsets.close()


# --- crashes and power cuts


@pytest.mark.parametrize(
    ("durability", "chunk", "cut"),
    [(Durability.NONE, 0, 0), (Durability.COMPLETE, 0, 5), (Durability.ACK, 3, 5)],
)
async def test_what_a_power_cut_leaves(
    tmp_path: Path, held: HeldWork, durability: Durability, chunk: int, cut: int
) -> None:
    """After a chunk, after a cut and after the last byte: what the level promises, and no more."""
    house = await on_disk(tmp_path, held, durability)
    upload = await house.append(await house.create(10), b"abc")
    assert (await after_a_power_cut(tmp_path, held, upload)).offset == chunk
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"de", end=BodyEnd.DISCONNECTED))
    assert (await after_a_power_cut(tmp_path, held, upload)).offset == cut
    await house.append(upload, b"fghij", offset=5)
    record = await after_a_power_cut(tmp_path, held, upload)
    assert (record.offset, record.finished) == (10, True)
    await house.offsets.close()


@pytest.mark.parametrize("ask", ["HEAD", "PATCH"])
async def test_what_a_crash_left_is_synced_before_it_is_told(
    tmp_path: Path, held: HeldWork, ask: str
) -> None:
    """At `ack`, an offset that only the cache of a killed server vouches for is told no client."""
    house = await on_disk(tmp_path, held, Durability.ACK)
    upload = await house.create(10)
    (tmp_path / upload.id).write_bytes(b"abcd")
    again = await on_disk(tmp_path, held, Durability.ACK)
    if ask == "HEAD":
        assert (await again.head(upload)).offset == 4
    else:
        with pytest.raises(MismatchedOffset):
            await again.append(upload, b"abcd", offset=0)
    assert (await after_a_power_cut(tmp_path, held, upload)).offset == 4
    await house.offsets.close()
    await again.offsets.close()


async def test_a_length_alone_makes_no_tail_count(tmp_path: Path, held: HeldWork) -> None:
    """After a power cut a PATCH without bytes cuts off the zeros that lie behind the checkpoint."""
    house = await on_disk(tmp_path, held)
    upload = await house.create(None)
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"abcd", end=BodyEnd.DISCONNECTED))
    with (tmp_path / upload.id).open("ab") as file:
        file.write(bytes(6))
    again = await on_disk(tmp_path, held, boot="the next boot")
    upload = await again.append(upload, b"", offset=4, length=10)
    assert (upload.offset, upload.length) == (4, 10)
    assert (await again.head(upload)).offset == 4
    await house.offsets.close()
    await again.offsets.close()


async def test_bodies_share_the_way_to_a_checkpoint(
    tmp_path: Path, held: HeldWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body is made durable by what is not on disk of the upload, not of the body alone."""
    monkeypatch.setattr(transfer, "CHECKPOINT_BYTES", 10)
    house = await on_disk(tmp_path, held)
    upload = await house.append(await house.create(100), b"123456")
    running = await house.start_append(upload, b"7890", b"abcd")
    assert (await after_a_power_cut(tmp_path, held, upload)).offset == 10
    running.body.stop(BodyEnd.DISCONNECTED)
    await running.error()
    await house.offsets.close()


async def test_unverified_bytes_do_not_survive_the_process(tmp_path: Path, held: HeldWork) -> None:
    """A process that dies within a checksummed body leaves the offset where it was."""
    house = await on_disk(tmp_path, held)
    upload = await house.append(await house.create(3 * WRITE_BYTES), b"abc")
    # The second write begins when the first is done.
    body = ScriptedBody(b"x" * WRITE_BYTES, b"y" * WRITE_BYTES, end=None)
    task = asyncio.create_task(house.append(upload, body, checksum=sha1(b"")))
    await body.wait_starved()
    assert (tmp_path / upload.id).stat().st_size >= WRITE_BYTES + 3
    other = FileOffsets(tmp_path, held)
    assert (await other.get(upload.id)).offset == 3
    body.stop(BodyEnd.DISCONNECTED)
    await asyncio.wait([task])
    assert (tmp_path / upload.id).stat().st_size == 3
    await house.offsets.close()


async def test_bytes_behind_verified_ones_survive_the_process(
    tmp_path: Path, held: HeldWork
) -> None:
    """Without a checksum they count while they come, also if the body before had one.

    What lies behind that one was verified by nobody: it is gone before anything counts.
    """
    house = await on_disk(tmp_path, held)
    upload = await house.append(await house.create(3 * WRITE_BYTES), b"abc", checksum=sha1(b"abc"))
    with (tmp_path / upload.id).open("ab") as file:
        file.write(b"unverified when a process died")
    other = FileOffsets(tmp_path, held)
    for chunks in ((), (b"x" * WRITE_BYTES, b"y" * WRITE_BYTES)):
        body = ScriptedBody(*chunks, end=None)
        task = asyncio.create_task(house.append(upload, body))
        await body.wait_starved()
        offset = (await other.get(upload.id)).offset
        assert offset >= 3 + WRITE_BYTES if chunks else offset == 3
        body.stop(BodyEnd.DISCONNECTED)
        with pytest.raises(UnexpectedEOF):
            await task
        assert (tmp_path / upload.id).read_bytes() == b"abc" + b"".join(chunks)
    await house.offsets.close()


async def test_a_refused_finish_counts_verified_bytes(tmp_path: Path, held: HeldWork) -> None:
    """What was verified need not be sent again because pre-finish refused."""
    house = await on_disk(tmp_path, held)
    upload = await house.create(3)
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    with pytest.raises(UploadRejected):
        await house.append(upload, b"abc", checksum=sha1(b"abc"))
    assert (await house.record(upload)).offset == 3
    await house.offsets.close()


async def test_an_empty_verified_body_leaves_no_mark(tmp_path: Path, held: HeldWork) -> None:
    """Bytes that follow an empty checksummed body count, even if the process dies."""
    house = await on_disk(tmp_path, held)
    upload = await house.append(await house.create(3 * WRITE_BYTES), b"abc")
    upload = await house.append(upload, b"", checksum=sha1(b""))
    # The second write begins when the first is done.
    body = ScriptedBody(b"x" * WRITE_BYTES, b"y" * WRITE_BYTES, end=None)
    task = asyncio.create_task(house.append(upload, body))
    await body.wait_starved()
    other = FileOffsets(tmp_path, held)
    assert (await other.get(upload.id)).offset >= 3 + WRITE_BYTES
    body.stop(BodyEnd.DISCONNECTED)
    await asyncio.wait([task])
    await house.offsets.close()
