"""The end of an upload: once, in order, and also after a crash or a refusal."""

from __future__ import annotations

import asyncio

import pytest

from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import Durability, HookEvent, HookType
from tusd_py.protocol.errors import (
    MismatchedOffset,
    TerminationRejected,
    UploadLocked,
    UploadNotFound,
    UploadRejected,
)
from tusd_py.protocol.model import Upload, UploadId

from .conftest import EXPIRE_AFTER_S, START, House

FINISHED = ["pre-create", "post-create", "pre-finish", "post-finish"]


class NotedData(MemoryData):
    """Notes how uploads are finished."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[tuple[int, bool]] = []

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        self.finished.append((upload.offset, durable))


@pytest.mark.parametrize("durability", Durability)
async def test_the_bytes_are_final_before_anybody_hears_of_them(durability: Durability) -> None:
    """The data is finished, on disk where that is promised, when pre-finish is called."""
    data = NotedData()
    house = House(data=data, durability=durability)
    seen: list[list[tuple[int, bool]]] = []

    async def look(event: HookEvent) -> None:
        seen.append(list(data.finished))

    house.hooks.says[HookType.PRE_FINISH] = look
    upload = await house.append(await house.create(3), b"abc")
    assert seen == [[(3, durability is not Durability.NONE)]]
    assert upload.checkpoint == (0 if durability is Durability.NONE else 3)


async def test_a_crash_before_the_finish_is_made_up_for_by_head(house: House) -> None:
    """Offset equal to length means success to a client: all of it is true before HEAD says so."""
    upload = await house.crash_with(await house.create(3), b"abc")
    assert (await house.head(upload)).finished
    assert house.hooks.types == FINISHED
    await house.head(upload)
    assert house.hooks.types == FINISHED


async def test_what_a_crash_left_complete_never_expires(house: House) -> None:
    """Finished late, it is kept for ever all the same."""
    upload = await house.crash_with(await house.create(3), b"abc")
    assert upload.expires_at == START + EXPIRE_AFTER_S
    assert (await house.head(upload)).expires_at is None
    house.now += 2 * EXPIRE_AFTER_S
    assert not await house.uploads.expire(upload.id)
    assert await house.content(await house.fetch(upload)) == b"abc"


async def test_a_crash_before_the_finish_is_made_up_for_by_patch(house: House) -> None:
    """A client that repeats its last bytes gets 409; everybody is told of the finish."""
    upload = await house.crash_with(await house.create(3), b"abc")
    with pytest.raises(MismatchedOffset):
        await house.append(upload, b"abc", offset=0)
    assert (await house.record(upload)).finished
    assert house.hooks.types == FINISHED


async def test_an_empty_patch_makes_up_for_a_crash_too(house: House) -> None:
    """PATCH at the end finishes once."""
    upload = await house.crash_with(await house.create(3), b"abc")
    assert (await house.append(upload, b"")).finished
    assert house.hooks.types == FINISHED


async def test_a_download_does_not_wait_for_the_finish(house: House) -> None:
    """GET takes no claim and calls no hook; complete bytes are complete."""
    upload = await house.crash_with(await house.create(3), b"abc")
    assert await house.content(await house.fetch(upload)) == b"abc"
    assert house.hooks.types == ["pre-create", "post-create"]


async def test_a_refused_finish_is_repeated(house: House) -> None:
    """While pre-finish refuses, nobody is told success; the bytes need not be sent again."""
    upload = await house.create(3)
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected("a virus")
    with pytest.raises(UploadRejected, match="a virus"):
        await house.append(upload, b"abc")
    record = await house.record(upload)
    assert (record.offset, record.finished) == (3, False)
    for _ in range(2):
        with pytest.raises(UploadRejected):
            await house.head(upload)
    del house.hooks.says[HookType.PRE_FINISH]
    assert (await house.head(upload)).finished
    assert house.hooks.types.count("pre-finish") == 4
    assert house.hooks.types.count("post-finish") == 1
    assert await house.content(upload) == b"abc"


async def test_what_was_refused_expires(house: House) -> None:
    """An upload that nobody finishes is removed when its time has come."""
    upload = await house.create(3)
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    with pytest.raises(UploadRejected):
        await house.append(upload, b"abc")
    house.now += EXPIRE_AFTER_S
    assert await house.uploads.expire(upload.id)
    with pytest.raises(UploadNotFound):
        await house.record(upload)


async def test_a_bug_in_a_hook_is_a_refusal(house: House) -> None:
    """Whatever pre-finish raises: the upload stays unfinished, and its bytes are kept."""
    upload = await house.create(3)
    house.hooks.says[HookType.PRE_FINISH] = ValueError("a bug of the application")
    with pytest.raises(ValueError, match="a bug"):
        await house.append(upload, b"abc")
    record = await house.record(upload)
    assert (record.offset, record.finished) == (3, False)
    async with house.offsets.claim(upload.id, timeout_s=0):
        pass


async def test_a_slow_hook_keeps_the_claim(house: House) -> None:
    """Whoever asks while pre-finish runs waits for it, and then sees success."""
    called, answer = asyncio.Event(), asyncio.Event()

    async def think(event: HookEvent) -> None:
        called.set()
        await answer.wait()

    house.hooks.says[HookType.PRE_FINISH] = think
    upload = await house.create(3)
    appending = asyncio.create_task(house.append(upload, b"abc"))
    await called.wait()
    asking = asyncio.create_task(house.head(upload))
    await asyncio.wait([asking], timeout=0.02)
    assert not asking.done()
    answer.set()
    assert (await asking).finished
    assert (await appending).finished
    assert house.hooks.types == FINISHED


async def test_a_hook_that_never_answers_locks_the_upload_only() -> None:
    """Others time out with 423; other uploads go on."""
    house = House(acquire_lock_timeout_s=0.05)
    called = asyncio.Event()

    async def hang(event: HookEvent) -> None:
        called.set()
        await asyncio.Event().wait()

    upload = await house.create(3)
    other = await house.create(3)
    house.hooks.says[HookType.PRE_FINISH] = hang
    appending = asyncio.create_task(house.append(upload, b"abc"))
    await called.wait()
    with pytest.raises(UploadLocked):
        await house.head(upload)
    assert (await house.append(other, b"ab")).offset == 2
    appending.cancel()
    await asyncio.wait([appending])
    async with house.offsets.claim(upload.id, timeout_s=0):
        pass


# --- termination


async def test_a_terminated_upload_is_gone(house: House) -> None:
    """No record, no bytes, 404 from then on, and both hooks are told."""
    upload = await house.append(await house.create(10), b"abc")
    await house.delete(upload)
    for operation in (house.head, house.fetch, house.delete, house.content):
        with pytest.raises(UploadNotFound):
            await operation(upload)
    assert house.hooks.types[2:] == ["pre-terminate", "post-terminate"]


async def test_a_hook_may_refuse_a_termination(house: House) -> None:
    """The upload stays as it is."""
    upload = await house.append(await house.create(10), b"abc")
    house.hooks.says[HookType.PRE_TERMINATE] = TerminationRejected()
    with pytest.raises(TerminationRejected):
        await house.delete(upload)
    assert (await house.append(upload, b"defghij")).finished


async def test_what_is_missing_cannot_be_terminated(house: House) -> None:
    """404, and no hook is called."""
    with pytest.raises(UploadNotFound):
        await house.delete(Upload(id=UploadId("nobody"), length=1))
    assert house.hooks.types == []
