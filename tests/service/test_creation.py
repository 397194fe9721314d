"""POST: what exists afterwards, and what hooks may change or refuse."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import BodyEnd, HookReply, HookType
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.checksum import Checksum
from tusd_py.protocol.errors import (
    ChecksumMismatch,
    InsufficientStorage,
    InternalError,
    MaxSizeExceeded,
    ReadTimeout,
    ServerShutdown,
    StoreUnavailable,
    TusError,
    UploadExists,
    UploadNotFound,
    UploadRejected,
    UploadSizeExceeded,
)
from tusd_py.protocol.metadata import parse_metadata
from tusd_py.protocol.model import Limits, Partial, Upload, UploadId

from .conftest import EXPIRE_AFTER_S, START, House

FIRST = Upload(id=UploadId("upload-1"), length=None)


async def check_nothing(house: House, upload: Upload = FIRST) -> None:
    """Neither a record nor bytes are left."""
    with pytest.raises(UploadNotFound):
        await house.record(upload)
    with pytest.raises(UploadNotFound):
        await house.content(upload)


async def test_a_new_upload(house: House) -> None:
    """The record says all the client said, when it was made and until when it is kept."""
    metadata = parse_metadata("name YQ==")
    upload = await house.create(10, metadata=metadata, kind=Partial())
    assert upload == Upload(
        id=UploadId("upload-1"),
        length=10,
        metadata=metadata,
        kind=Partial(),
        created_at=START,
        expires_at=START + EXPIRE_AFTER_S,
        storage={"Type": "memorystore"},
    )
    assert await house.record(upload) == upload
    assert await house.content(upload) == b""


async def test_an_empty_upload_is_finished_at_once(house: House) -> None:
    """Length 0 is complete: hooks are called, and it never expires."""
    upload = await house.create(0)
    assert upload.finished
    assert upload.expires_at is None
    assert house.hooks.types == ["pre-create", "post-create", "pre-finish", "post-finish"]


async def test_above_the_limit_nothing_is_made() -> None:
    """413 before any hook."""
    house = House(limits=Limits(max_size=10))
    with pytest.raises(MaxSizeExceeded):
        await house.create(11)
    await check_nothing(house)
    assert house.hooks.types == []


# --- with upload


async def test_bytes_may_come_along(house: House) -> None:
    """The first bytes are stored as by a PATCH."""
    upload = await house.create(10, b"abcd")
    assert upload.offset == 4
    assert await house.content(upload) == b"abcd"
    assert (await house.append(upload, b"efghij")).finished


async def test_all_bytes_may_come_along(house: House) -> None:
    """The upload is finished with its creation."""
    upload = await house.create(4, ScriptedBody(b"ab", b"cd"))
    assert upload.finished
    assert house.hooks.types == ["pre-create", "post-create", "pre-finish", "post-finish"]


@pytest.mark.parametrize("end", [BodyEnd.DISCONNECTED, BodyEnd.TIMED_OUT, BodyEnd.SHUTDOWN])
async def test_a_body_cut_short_leaves_what_arrived(house: House, end: BodyEnd) -> None:
    """The creation succeeded: the client gets its URL and goes on with a PATCH."""
    upload = await house.create(10, ScriptedBody(b"abcd", end=end))
    assert upload.offset == 4
    assert (await house.append(upload, b"efghij")).finished


async def test_a_cut_behind_the_last_byte_finishes(house: House) -> None:
    """All bytes are there, so everybody is told that the upload is finished."""
    upload = await house.create(4, ScriptedBody(b"abcd", end=BodyEnd.DISCONNECTED))
    assert upload.finished
    assert house.hooks.types[-2:] == ["pre-finish", "post-finish"]


async def test_an_empty_upload_with_a_cut_body_is_finished(house: House) -> None:
    """There was nothing to miss."""
    assert (await house.create(0, ScriptedBody(end=BodyEnd.DISCONNECTED))).finished


@pytest.mark.parametrize(
    ("body", "checksum", "error"),
    [
        (ScriptedBody, None, UploadSizeExceeded),
        (bytes, Checksum("md5", bytes(16)), ChecksumMismatch),
    ],
)
async def test_refused_bytes_leave_no_upload(
    house: House, body: type, checksum: Checksum | None, error: type[TusError]
) -> None:
    """Nobody will learn its URL, so it is removed."""
    with pytest.raises(error):
        await house.create(4, body(b"abcde"[: 4 if checksum else 5]), checksum=checksum)
    await check_nothing(house)


async def test_without_room_there_is_no_upload() -> None:
    """507 on a POST: nothing is left to take room."""
    house = House(data=MemoryData(capacity=3))
    with pytest.raises(InsufficientStorage):
        await house.create(10, b"abcde")
    await check_nothing(house)


# --- hooks


async def test_a_hook_may_give_another_id(house: House) -> None:
    """The upload lives under the id that pre-create names, with folders even."""
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="in/folders")
    upload = await house.create(3, b"abc")
    assert upload.id == "in/folders"
    assert await house.content(upload) == b"abc"


@pytest.mark.parametrize("bad", ["", "../x", "a.info", "a b", ".hidden", "a" * 201])
async def test_an_id_that_is_none_is_refused(house: House, bad: str) -> None:
    """What a hook returns is checked like what a client sends; it is our fault, though."""
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id=bad)
    with pytest.raises(InternalError):
        await house.create(3)
    await check_nothing(house)


async def test_a_taken_id_leaves_the_other_upload_alone(house: House) -> None:
    """A hook that repeats itself does not destroy what is there."""
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="same")
    upload = await house.create(3, b"abc")
    with pytest.raises(UploadExists):
        await house.create(5)
    assert await house.content(upload) == b"abc"
    assert (await house.record(upload)).length == 3


async def test_a_hook_may_replace_the_metadata(house: House) -> None:
    """HEAD tells what pre-create made of it."""
    house.hooks.says[HookType.PRE_CREATE] = HookReply(metadata={"filename": "größe", "x": ""})
    upload = await house.create(3, metadata=parse_metadata("a Yg=="))
    assert (await house.head(upload)).metadata.header == "filename Z3LDtsOfZQ==,x"


async def test_a_hook_may_refuse(house: House) -> None:
    """Nothing is created, and no other hook is called."""
    house.hooks.says[HookType.PRE_CREATE] = UploadRejected("not today")
    with pytest.raises(UploadRejected, match="not today"):
        await house.create(3)
    await check_nothing(house)
    assert house.hooks.types == ["pre-create"]


async def test_a_refused_finish_takes_the_creation_back(house: House) -> None:
    """If pre-finish refuses what came with the POST, nobody will learn its URL."""
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    for length, body in ((0, None), (3, b"abc")):
        with pytest.raises(UploadRejected):
            await house.create(length, body)
    await check_nothing(house)
    await check_nothing(house, Upload(id=UploadId("upload-2"), length=3))


async def test_hooks_see_the_upload_as_it_is(house: House) -> None:
    """post-create comes before the bytes, pre-finish before and post-finish after the finish."""
    await house.create(3, b"abc")
    seen = [(e.type.value, e.upload.offset, e.upload.finished) for e in house.hooks.events]
    assert seen == [
        ("pre-create", 0, False),
        ("post-create", 0, False),
        ("pre-finish", 3, False),
        ("post-finish", 3, True),
    ]
    assert all(event.request is not None for event in house.hooks.events)


# --- faults


class BrokenOffsets(MemoryOffsets):
    """Cannot keep a record."""

    @contextlib.asynccontextmanager
    async def create(self, upload: Upload, *, durable: bool = False) -> AsyncIterator[MemoryClaim]:
        raise StoreUnavailable
        yield


async def test_without_a_record_there_are_no_bytes() -> None:
    """If the record cannot be kept, no room is made for the bytes."""
    house = House(offsets=BrokenOffsets())
    with pytest.raises(StoreUnavailable):
        await house.create(3)
    with pytest.raises(UploadNotFound):
        await house.content(FIRST)


async def test_a_shutdown_refuses_creations(house: House) -> None:
    """503: another process, or the next one, will take it."""
    house.uploads.stop_bodies()
    with pytest.raises(ServerShutdown):
        await house.create(3)
    await check_nothing(house)


async def test_a_stalled_creation_gives_way(house: House) -> None:
    """The bytes of a POST whose client fell silent are kept for whoever asks next."""
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="known")
    body = ScriptedBody(b"ab", end=None)
    creating = asyncio.create_task(house.create(4, body))
    await body.wait_starved()
    upload = Upload(id=UploadId("known"), length=4)
    assert (await house.head(upload)).offset == 2
    assert (await creating).offset == 2
    with pytest.raises(ReadTimeout):
        await house.append(upload, ScriptedBody(end=BodyEnd.TIMED_OUT), offset=2)
