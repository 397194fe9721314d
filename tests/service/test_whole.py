"""POST with the whole of a small upload: stored in one go, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.bodies import ScriptedBody
from tests.support.work import running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import Body, BodyEnd, Durability, HookReply, HookType
from tusd_py.offsets.files import FileOffsets
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.checksum import Checksum
from tusd_py.protocol.commands import BodyHead, Create
from tusd_py.protocol.errors import (
    ChecksumMismatch,
    InsufficientStorage,
    UploadExists,
    UploadNotFound,
    UploadRejected,
)
from tusd_py.protocol.metadata import NO_METADATA
from tusd_py.protocol.model import Upload, UploadId, Whole
from tusd_py.service.intake import WHOLE_BYTES

from .conftest import REQUEST, SOON_S, House

FIRST = Upload(id=UploadId("upload-1"), length=None)


class CountedOffsets(MemoryOffsets):
    """Counts how often records are written and claims taken."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[MemoryClaim]:
        self.claims += 1
        async with super().claim(upload_id, timeout_s=timeout_s, damaged=damaged) as claim:
            yield claim


def deaf(house: House) -> House:
    """Let nobody listen to pre-finish."""
    house.hooks.deaf_to.add(HookType.PRE_FINISH)
    return house


async def post(house: House, length: int, body: Body, *, declared: int | None = None) -> Upload:
    """POST a body of known length."""
    head = BodyHead(length=length if declared is None else declared)
    command = Create(length=length, metadata=NO_METADATA, kind=Whole(), body=head)
    return (await house.uploads.create(command, body, REQUEST)).upload


async def test_a_whole_upload_is_finished_from_the_start() -> None:
    """Its record is written once, and no second claim is taken for its bytes."""
    offsets = CountedOffsets()
    house = deaf(House(offsets=offsets))
    upload = await house.create(5, b"hello")
    assert (upload.offset, upload.finished, upload.expires_at) == (5, True, None)
    assert await house.record(upload) == upload
    assert await house.content(upload) == b"hello"
    assert offsets.claims == 0


async def test_hooks_hear_of_it_in_order() -> None:
    """post-create tells of an empty upload, post-finish of a complete one, as ever."""
    house = deaf(House())
    await house.create(5, b"hello")
    assert [(e.type.value, e.upload.offset) for e in house.hooks.events] == [
        ("pre-create", 0),
        ("post-create", 0),
        ("post-finish", 5),
    ]


async def test_whoever_can_refuse_is_asked_before_it_is_finished() -> None:
    """With a pre-finish hook the record is finished when the hook has agreed, not before."""
    house = House()

    async def look(event: object) -> None:
        assert not (await house.offsets.get(FIRST.id)).finished

    house.hooks.says[HookType.PRE_FINISH] = look
    assert (await house.create(5, b"hello")).finished
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    with pytest.raises(UploadRejected):
        await house.create(5, b"hello")


async def test_a_wrong_checksum_creates_nothing() -> None:
    """The bytes are verified before there is an upload."""
    house = deaf(House())
    wrong = Checksum(algorithm="sha1", expected=hashlib.sha1(b"other").digest())  # noqa: S324
    with pytest.raises(ChecksumMismatch):
        await house.create(5, b"hello", checksum=wrong)
    assert "post-create" not in house.hooks.types
    with pytest.raises(UploadNotFound):
        await house.record(FIRST)


@pytest.mark.parametrize("end", [BodyEnd.DISCONNECTED, BodyEnd.TIMED_OUT, BodyEnd.SHUTDOWN])
async def test_what_arrived_of_a_cut_body_is_kept(end: BodyEnd) -> None:
    """The upload exists with the bytes that came, for the PATCH that follows."""
    house = deaf(House())
    upload = await post(house, 5, ScriptedBody(b"he", b"l", end=end))
    assert (upload.offset, upload.finished) == (3, False)
    assert await house.content(upload) == b"hel"
    assert (await house.append(upload, b"lo")).finished


async def test_a_shutdown_ends_the_waiting_for_it() -> None:
    """A client that sends its small body slowly does not hold up the end of the server."""
    house = deaf(House())
    body = ScriptedBody(b"he", end=None)
    creating = asyncio.create_task(post(house, 5, body))
    await body.wait_starved()
    house.uploads.stop_bodies()
    async with asyncio.timeout(SOON_S):
        assert (await creating).offset == 2


@pytest.mark.parametrize("size", [WHOLE_BYTES, WHOLE_BYTES + 1])
async def test_large_or_small_the_outcome_is_the_same(size: int) -> None:
    """On both sides of the threshold all bytes are there and the upload is finished."""
    content = bytes(range(256)) * (size // 256 + 1)
    house = deaf(House())
    upload = await house.create(size, content[:size])
    assert upload.finished
    assert await house.content(upload) == content[:size]


async def test_without_room_there_is_no_upload() -> None:
    """507, and neither a record nor bytes."""
    house = deaf(House(data=MemoryData(capacity=3)))
    with pytest.raises(InsufficientStorage):
        await house.create(5, b"hello")
    with pytest.raises(UploadNotFound):
        await house.record(FIRST)


async def test_bytes_of_somebody_else_are_not_touched() -> None:
    """Bytes without a record, under an id that a hook gave: refused, and they stay."""
    house = deaf(House())
    await house.data.create(Upload(id=UploadId("known"), length=4), b"mine")
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="known")
    with pytest.raises(UploadExists):
        await house.create(5, b"yours")
    assert await house.content(Upload(id=UploadId("known"), length=4)) == b"mine"
    with pytest.raises(UploadNotFound):
        await house.offsets.get(UploadId("known"))


async def test_a_finished_upload_is_looked_at_without_a_claim() -> None:
    """HEAD of what nobody can change any more disturbs nobody."""
    offsets = CountedOffsets()
    house = deaf(House(offsets=offsets))
    upload = await house.create(5, b"hello")
    assert (await house.head(upload)).offset == 5
    assert offsets.claims == 0


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[tuple[FileOffsets, DiskData]]:
    """Stores on a directory."""
    async with running_lanes() as run:
        data, offsets = DiskData(tmp_path, run), FileOffsets(tmp_path, run)
        await data.open()
        await offsets.open()
        yield offsets, data
        await offsets.close()


@pytest.mark.parametrize("durability", list(Durability))
async def test_a_crash_between_record_and_bytes_leaves_nothing(
    on_disk: tuple[FileOffsets, DiskData], tmp_path: Path, durability: Durability
) -> None:
    """A record whose bytes never came was told to nobody; the janitor removes it."""
    offsets, data = on_disk
    house = deaf(House(offsets=offsets, data=data, durability=durability))
    upload = await house.create(5, b"hello")
    assert upload.checkpoint == (0 if durability is Durability.NONE else 5)
    (tmp_path / upload.id).unlink()  # as if it had not been made yet
    removed = [name async for name in offsets.orphans(float("inf"))]
    assert removed == [upload.id]
    assert os.listdir(tmp_path) == [".tusd_py"]
