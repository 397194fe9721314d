"""Final uploads: joined at once, in the background, after a crash, or never."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import HookEvent, HookReply, HookType
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.errors import (
    IncompleteUpload,
    InsufficientStorage,
    InvalidConcat,
    ModifyFinal,
    UploadExpired,
    UploadNotFound,
    UploadRejected,
)
from tusd_py.protocol.model import Final, Limits, Partial, Upload, UploadId

from .conftest import EXPIRE_AFTER_S, REQUEST, SOON_S, House


class HeldData(MemoryData):
    """Joins parts when the test lets it, as a large copy takes its time."""

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__(capacity)
        self.joining = asyncio.Event()
        self.go = asyncio.Event()
        self.joined = 0

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        self.joining.set()
        await self.go.wait()
        self.joined += 1
        return await super().concatenate(final, parts)


async def wait_for(event: asyncio.Event) -> None:
    """Wait for something that has to happen soon."""
    async with asyncio.timeout(SOON_S):
        await event.wait()


# --- at once


async def test_complete_parts_are_joined_at_once(house: House) -> None:
    """The answer to the POST is the finished upload; it never expires, and the parts stay."""
    first, second = await house.part(b"abc"), await house.part(b"defg")
    house.hooks.events.clear()
    final = await house.final(second, first, second)
    assert final.finished
    assert (final.offset, final.length, final.expires_at) == (11, 11, None)
    assert await house.content(await house.fetch(final)) == b"defgabcdefg"
    assert house.hooks.types == ["pre-create", "post-create", "pre-finish", "post-finish"]
    assert await house.content(first) == b"abc"


async def test_hooks_of_a_join_tell_who_asked_for_it(house: House) -> None:
    """As with tusd it is the POST of the final upload, while that is under way."""
    await house.final(await house.part(b"abc"))
    assert [event.type.value for event in house.hooks.events[-2:]] == ["pre-finish", "post-finish"]
    assert [event.request for event in house.hooks.events[-2:]] == [REQUEST, REQUEST]


async def test_hooks_of_a_late_join_come_from_the_server_itself(house: House) -> None:
    """Nobody asked for it just then, so there is no request."""
    part = await house.part(b"abc", cut=1)
    final = await house.final(part)
    await house.append(part, b"bc")
    await house.wait_finished(final)
    told = [event for event in house.hooks.events if event.upload.id == final.id]
    assert [(event.type.value, event.request) for event in told[-2:]] == [
        ("pre-finish", None),
        ("post-finish", None),
    ]


async def test_only_parts_can_be_joined(house: House) -> None:
    """Others are refused, and nothing is created."""
    whole = await house.append(await house.create(3), b"abc")
    with pytest.raises(InvalidConcat):
        await house.final(whole)
    with pytest.raises(UploadNotFound):
        await house.final(Upload(id=UploadId("nobody"), length=1))
    part = await house.part(b"abc", cut=1)
    house.now += EXPIRE_AFTER_S
    with pytest.raises(UploadExpired):
        await house.final(part)
    assert [found async for found in house.offsets.unassembled()] == []


async def test_a_final_takes_no_bytes(house: House) -> None:
    """403, finished or not."""
    for final in (
        await house.final(await house.part(b"abc")),
        await house.final(await house.part(b"abc", cut=1)),
    ):
        with pytest.raises(ModifyFinal):
            await house.append(final, b"x")


async def test_a_join_that_fails_at_once_leaves_nothing() -> None:
    """507 on the POST: neither a record nor bytes; the parts are whole."""
    house = House(data=MemoryData(capacity=10))
    part = await house.part(b"abcdef")
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="final")
    with pytest.raises(InsufficientStorage):
        await house.final(part)
    final = Upload(id=UploadId("final"), length=6)
    with pytest.raises(UploadNotFound):
        await house.record(final)
    with pytest.raises(UploadNotFound):
        await house.content(final)
    assert await house.content(part) == b"abcdef"


async def test_a_refused_finish_takes_the_final_back(house: House) -> None:
    """If pre-finish refuses while the client waits, nobody will learn the URL."""
    part = await house.part(b"abc")
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    with pytest.raises(UploadRejected):
        await house.final(part)
    assert [found async for found in house.offsets.unassembled()] == []


# --- waiting for parts


async def test_a_final_waits_for_its_parts(house: House) -> None:
    """It is there at once, unfinished; the last byte of the last part finishes it."""
    first, second = await house.part(b"abc", cut=1), await house.part(b"def", cut=2)
    final = await house.final(first, second)
    assert not final.finished
    assert final.length == 6
    assert (await house.head(final)).offset == 0
    with pytest.raises(IncompleteUpload):
        await house.fetch(final)
    await house.append(second, b"f")
    assert not (await house.record(final)).finished
    await house.append(first, b"bc")
    final = await house.wait_finished(final)
    assert await house.content(final) == b"abcdef"


async def test_parts_of_unknown_length(house: House) -> None:
    """As long as one length is not known, the final's is not either."""
    part = await house.create(None, kind=(await house.part(b"x")).kind)
    final = await house.final(part)
    assert final.length is None
    await house.append(part, b"abcd", length=4)
    final = await house.wait_finished(final)
    assert (final.length, await house.content(final)) == (4, b"abcd")


async def test_one_part_of_two_finals(house: House) -> None:
    """Each of them is joined when the part is complete."""
    part = await house.part(b"abc", cut=1)
    finals = [await house.final(part), await house.final(part, part)]
    await house.append(part, b"bc")
    assert await house.content(await house.wait_finished(finals[0])) == b"abc"
    assert await house.content(await house.wait_finished(finals[1])) == b"abcabc"


async def test_a_part_that_vanishes_leaves_the_final_unfinished(house: House) -> None:
    """Nothing to join, nothing to log as an error; it expires like any unfinished upload."""
    part = await house.part(b"abc", cut=1)
    final = await house.final(part)
    await house.delete(part)
    assert not (await house.head(final)).finished
    await house.wait_idle()
    house.now += EXPIRE_AFTER_S
    assert await house.uploads.expire(final.id)


# --- in the background


async def test_a_long_join_goes_on_in_the_background() -> None:
    """The POST is answered with what is there; the client asks until it is finished."""
    data = HeldData()
    house = House(data=data, assembly_wait_s=0)
    final = await house.final(await house.part(b"abc"))
    assert not final.finished
    await wait_for(data.joining)
    assert (await house.head(final)).offset == 0  # answered at once, though it is being joined
    data.go.set()
    final = await house.wait_finished(final)
    assert await house.content(final) == b"abc"
    assert data.joined == 1


async def test_delete_ends_a_join() -> None:
    """The copy stops, and record and bytes are gone; the parts stay."""
    data = HeldData()
    house = House(data=data, assembly_wait_s=0)
    part = await house.part(b"abc")
    final = await house.final(part)
    await wait_for(data.joining)
    async with asyncio.timeout(SOON_S):
        await house.delete(final)
    with pytest.raises(UploadNotFound):
        await house.record(final)
    with pytest.raises(UploadNotFound):
        await house.content(final)
    assert await house.content(part) == b"abc"
    await house.uploads.close()


async def test_a_restart_goes_on_with_what_was_left() -> None:
    """Closing ends the copy; the next process joins the parts."""
    data, offsets = HeldData(), MemoryOffsets()
    house = House(data=data, offsets=offsets, assembly_wait_s=0)
    final = await house.final(await house.part(b"abc"), await house.part(b"def"))
    await wait_for(data.joining)
    async with asyncio.timeout(SOON_S):
        await house.uploads.close()
    assert not (await house.record(final)).finished
    data.go.set()
    after = House(data=data, offsets=offsets)
    await after.uploads.resume_assembly()
    final = await after.wait_finished(final)
    assert await after.content(final) == b"abcdef"
    assert after.hooks.types == ["pre-finish", "post-finish"]


async def test_after_closing_nothing_is_joined() -> None:
    """A part that completes late waits for the next process."""
    house = House()
    part = await house.part(b"abc", cut=1)
    final = await house.final(part)
    await house.uploads.close()
    await house.head(final)
    await house.uploads.resume_assembly()
    assert not (await house.record(final)).finished


class Between(MemoryOffsets):
    """Lets something happen between the creation of an upload and what its creator does next."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[Upload], Awaitable[None]] | None = None

    @contextlib.asynccontextmanager
    async def create(self, upload: Upload, *, durable: bool = False) -> AsyncIterator[MemoryClaim]:
        async with super().create(upload, durable=durable) as claim:
            yield claim
        if self.then is not None:
            await self.then(upload)


async def test_who_asks_early_does_not_start_it_twice() -> None:
    """A HEAD between creation and join, by whoever knows the id already, does no harm."""
    data = HeldData()
    data.go.set()
    offsets = Between()
    house = House(data=data, offsets=offsets)
    part = await house.part(b"abc")
    heads: list[Upload] = []

    async def look(upload: Upload) -> None:
        heads.append(await house.head(upload))
        await asyncio.sleep(0)  # the join it asked for begins

    offsets.then = look
    final = await house.final(part)
    assert len(heads) == 1
    assert (await house.wait_finished(final)).offset == 3
    assert data.joined == 1


async def test_another_process_may_be_faster() -> None:
    """A new final that another process joins already is left to it, not removed."""
    offsets = Between()
    house = House(offsets=offsets)
    part = await house.part(b"abc")
    holding = asyncio.Event()
    leave = asyncio.Event()

    async def take(upload: Upload) -> None:
        async with house.offsets.claim(upload.id, timeout_s=0):
            holding.set()
            await leave.wait()

    tasks: list[asyncio.Task[None]] = []

    async def another_takes_it(upload: Upload) -> None:
        tasks.append(asyncio.create_task(take(upload)))
        await holding.wait()

    offsets.then = another_takes_it
    final = await house.final(part)
    assert not final.finished
    leave.set()
    await asyncio.wait(tasks)
    await house.head(final)
    assert await house.content(await house.wait_finished(final)) == b"abc"


async def test_a_join_that_fails_in_the_background_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The error is logged, the final stays, and a later look starts it anew."""
    data = HeldData(capacity=10)
    house = House(data=data, assembly_wait_s=0)
    ballast = await house.append(await house.create(5), b"12345")
    final = await house.final(await house.part(b"abc"))
    await wait_for(data.joining)
    data.go.set()
    await house.wait_idle()
    assert [record.message for record in caplog.records] == ["AssemblyError"]
    await house.delete(ballast)
    await house.head(final)
    assert await house.content(await house.wait_finished(final)) == b"abc"


async def test_a_join_that_pre_finish_refuses_is_asked_about_again() -> None:
    """In the background a refusal keeps the final unfinished until the hook agrees."""
    house = House()
    part = await house.part(b"abc", cut=1)
    final = await house.final(part)
    calls = []
    refused = asyncio.Event()

    async def refuse_once(event: HookEvent) -> None:
        if isinstance(event.upload.kind, Final):
            calls.append(event)
            if len(calls) == 1:
                refused.set()
                raise UploadRejected

    house.hooks.says[HookType.PRE_FINISH] = refuse_once
    await house.append(part, b"bc")
    await wait_for(refused)
    await house.wait_idle()
    assert not (await house.record(final)).finished
    await house.head(final)
    assert await house.content(await house.wait_finished(final)) == b"abc"


async def test_parts_that_turn_out_too_long_are_not_joined() -> None:
    """Parts of unknown length that are too long together make no upload above the limit."""
    data = HeldData()
    data.go.set()
    house = House(data=data, limits=Limits(max_size=10))
    parts = [await house.create(None, kind=Partial()) for _ in range(2)]
    final = await house.final(*parts)
    assert (await house.head(final)).length is None

    for part in parts:
        await house.append(part, b"sixsix", length=6)
    await house.wait_idle()

    assert data.joined == 0
    with pytest.raises(UploadNotFound):
        await house.head(final)
    assert await house.content(await house.head(parts[0])) == b"sixsix"
