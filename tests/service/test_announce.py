"""Nothing is told that did not happen, and everything that did is, whenever a process dies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import BodyEnd, EventState, HookReply, HookType
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.errors import (
    ClaimLost,
    InsufficientStorage,
    StoreUnavailable,
    TusError,
    UnexpectedEOF,
    UploadNotFound,
)
from tusd_py.protocol.model import Upload, UploadId

from .conftest import EXPIRE_AFTER_S, Death, House

CREATED = ["post-create"]


class Failing(MemoryOffsets):
    """Records that cannot be saved while there is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.error: TusError | None = None

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[MemoryClaim]:
        async with super().claim(upload_id, timeout_s=timeout_s, damaged=damaged) as claim:
            if self.error is not None:
                claim.save = self._fail  # type: ignore[method-assign]
            yield claim

    async def _fail(self, upload: Upload, **_: bool) -> None:
        assert self.error is not None
        raise self.error


class Refusing(MemoryData):
    """Bytes that cannot be stored the first time."""

    def __init__(self) -> None:
        super().__init__()
        self._refused = False

    async def create(self, upload: Upload, content: bytes = b"", *, durable: bool = False) -> None:
        if not self._refused:
            self._refused = True
            raise StoreUnavailable
        await super().create(upload, content, durable=durable)


class Stubborn(MemoryData):
    """Bytes that can neither be finished nor removed."""

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        raise StoreUnavailable

    async def delete(self, upload: Upload) -> None:
        raise StoreUnavailable


async def kept(house: House, state: EventState) -> list[str]:
    """What is in the outbox, in order."""
    entries = await house.outbox.entries(100)
    return [entry.event.type.value for entry in entries if entry.state is state]


async def told(house: House) -> list[str]:
    """What can be delivered."""
    return await kept(house, EventState.PENDING)


async def prepared(house: House) -> list[str]:
    """What nobody knows yet whether it has happened."""
    return await kept(house, EventState.PREPARED)


async def settle(house: House) -> None:
    """What some process does some seconds later."""
    house.now += EXPIRE_AFTER_S / 2
    announcer = house.uploads._announcer
    await announcer.settle_abandoned(lambda upload_id: house.offsets.claim(upload_id, timeout_s=0))


async def test_a_death_after_the_finish_loses_no_event(house: House) -> None:
    """The record says that it is finished, so it is told when somebody looks."""
    upload = await house.create(3)
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.append(upload, b"abc")
    house.outbox.dies = False
    assert await prepared(house) == ["post-finish"]
    await settle(house)
    assert await told(house) == [*CREATED, "post-finish"]


async def test_a_death_within_a_creation_tells_of_what_there_is(house: House) -> None:
    """The record is there."""
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.create(3)
    house.outbox.dies = False
    await settle(house)
    assert await told(house) == CREATED


async def test_a_death_before_the_save_tells_nothing() -> None:
    """An upload that is not finished is not told as such, until it is."""
    offsets = Failing()
    house = House(offsets=offsets)
    upload = await house.create(3)
    offsets.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await house.append(upload, b"abc")
    offsets.error = None
    assert await prepared(house) == ["post-finish"]
    await settle(house)
    assert (await told(house), await prepared(house)) == (CREATED, [])


async def test_a_second_attempt_is_told_once() -> None:
    """That the upload is finished then says nothing of the attempt before."""
    offsets = Failing()
    house = House(offsets=offsets)
    upload = await house.create(3)
    offsets.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await house.append(upload, b"abc")
    offsets.error = None
    assert (await house.append(upload, b"abc")).finished
    await settle(house)
    assert (await told(house), await prepared(house)) == ([*CREATED, "post-finish"], [])


async def test_what_is_settled_is_so_before_something_is_prepared() -> None:
    """That is what waits for the disk: a power cut must not bring back what was withdrawn."""
    offsets = Failing()
    house = House(offsets=offsets)
    upload = await house.create(3)
    offsets.error = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await house.append(upload, b"abc")
    offsets.error = None
    house.outbox.steps.clear()
    await house.append(upload, b"abc")
    assert house.outbox.steps == ["prepare", "withdraw", "withdraw", "prepare", "confirm"]


async def test_a_second_attempt_tells_what_came_before_the_first(house: House) -> None:
    """A creation whose process died is confirmed by the finish, and told before it."""
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.create(3)
    house.outbox.dies = False
    (entry,) = await house.outbox.entries(10)
    await house.append(entry.event.upload, b"abc")
    assert (await told(house), await prepared(house)) == ([*CREATED, "post-finish"], [])


async def test_an_id_that_is_used_again_is_told_once() -> None:
    """An upload whose bytes could not be stored never was, even if another one has its id."""
    house = House(data=Refusing())
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="cats/tom-1")
    with pytest.raises(StoreUnavailable):
        await house.create(3)
    await house.create(4)
    await settle(house)
    assert [entry.event.upload.length for entry in await house.outbox.entries(10)] == [4]
    assert (await told(house), await prepared(house)) == (CREATED, [])


async def test_a_creation_that_cannot_be_told_leaves_nothing(house: House) -> None:
    """Where its events cannot be kept, there is neither a record nor a file of it."""
    for content in (None, b"abc"):
        house.outbox.full = True
        with pytest.raises(InsufficientStorage):
            await house.create(3, content)
        house.outbox.full = False
        assert [listed async for listed in house.offsets.uploads()] == []
        assert isinstance(house.data, MemoryData)
        assert house.data._files == {}
        assert await house.outbox.entries(10) == []


async def test_a_creation_that_can_neither_be_finished_nor_removed_keeps_its_record() -> None:
    """Bytes without a record would stay for ever."""
    house = House(data=Stubborn())
    with pytest.raises(StoreUnavailable):
        await house.create(3, b"abc")
    (listed,) = [listed async for listed in house.offsets.uploads()]
    assert listed.upload is not None
    assert await house.content(listed.upload) == b"abc"


async def test_a_lost_claim_withdraws_at_once() -> None:
    """Whoever has the upload now tells what becomes of it."""
    offsets = Failing()
    house = House(offsets=offsets)
    upload = await house.create(3)
    offsets.error = ClaimLost()
    with pytest.raises(ClaimLost):
        await house.append(upload, b"abc")
    assert (await told(house), await prepared(house)) == (CREATED, [])


async def test_what_is_in_use_is_settled_later(house: House) -> None:
    """Whoever holds the claim is still at it, so nothing is decided."""
    upload = await house.create(3)
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.append(upload, b"abc")
    house.outbox.dies = False
    async with house.offsets.claim(upload.id, timeout_s=0):
        await settle(house)
        assert await prepared(house) == ["post-finish"]


async def test_termination_settles_what_came_before(house: House) -> None:
    """Once the record is gone, nobody could tell any more that the upload was finished."""
    upload = await house.create(3)
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.append(upload, b"abc")
    house.outbox.dies = False
    await house.delete(upload)
    assert await told(house) == [*CREATED, "post-finish", "post-terminate"]


async def test_a_death_after_the_termination_is_told(house: House) -> None:
    """The record is gone, so it happened."""
    upload = await house.create(3)
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.delete(upload)
    house.outbox.dies = False
    with pytest.raises(UploadNotFound):
        await house.record(upload)
    await settle(house)
    assert await told(house) == [*CREATED, "post-terminate"]


async def test_an_interruption_is_told_with_its_cause(house: House) -> None:
    """And with the offset that was kept."""
    upload = await house.create(9)
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"abc", end=BodyEnd.DISCONNECTED))
    event = house.hooks.events[-1]
    assert (event.type, event.cause) == (HookType.POST_INTERRUPT, "ERR_UNEXPECTED_EOF")
    assert (event.upload.offset, event.at) == (3, house.now)


async def test_an_expiry_is_told(house: House) -> None:
    """By nobody's request."""
    upload = await house.create(9)
    house.now += EXPIRE_AFTER_S
    assert await house.uploads.expire(upload.id)
    event = house.hooks.events[-1]
    assert (event.type, event.upload.id, event.request) == (HookType.POST_EXPIRE, upload.id, None)


async def test_an_upload_that_was_refused_is_told_as_terminated(house: House) -> None:
    """It was told as created, and it is gone."""
    house.hooks.says[HookType.PRE_FINISH] = UploadNotFound()
    with pytest.raises(UploadNotFound):
        await house.create(3, b"abc")
    assert await told(house) == [*CREATED, "post-terminate"]


async def test_nobody_who_listens_costs_nothing(house: House) -> None:
    """Then the outbox is not asked at all."""
    house.hooks.deaf_to = set(HookType)
    upload = await house.create(3, b"abc")
    await house.delete(upload)
    assert await house.outbox.entries(10) == []
