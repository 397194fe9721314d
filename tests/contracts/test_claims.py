"""The contract of `OffsetStore.claim`, sentence by sentence, for every adapter."""

from __future__ import annotations

import asyncio

import pytest

from tusd_py.offsets.turns import MOST_WAITING
from tusd_py.protocol.errors import ClaimLost, UploadLocked, UploadNotFound
from tusd_py.protocol.model import Upload, UploadId

from .conftest import ID, SOON_S, OffsetsHarness, add


class Holder:
    """A task that claims an upload, tells when it is wanted, and keeps it until told to leave."""

    def __init__(self, offsets: OffsetsHarness, timeout_s: float = SOON_S) -> None:
        self._offsets = offsets
        self._timeout_s = timeout_s
        self.claimed = asyncio.Event()
        self.wanted = asyncio.Event()
        self.leave = asyncio.Event()
        self.calls = 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._offsets.store.claim(ID, timeout_s=self._timeout_s) as claim:
            claim.on_wanted(self._on_wanted)
            self.claimed.set()
            await self.leave.wait()

    def _on_wanted(self) -> None:
        self.calls += 1
        self.wanted.set()

    async def go(self) -> None:
        """Leave, and be gone."""
        self.leave.set()
        async with asyncio.timeout(SOON_S):
            await self.task


async def wait_for(event: asyncio.Event) -> None:
    """Wait for something that has to happen soon."""
    async with asyncio.timeout(SOON_S):
        await event.wait()


async def hold(offsets: OffsetsHarness) -> Holder:
    """Claim the upload in a task."""
    holder = Holder(offsets)
    await wait_for(holder.claimed)
    return holder


async def test_get_does_not_disturb_the_holder(offsets: OffsetsHarness) -> None:
    """`get` answers while somebody holds the upload, who is not asked to leave."""
    upload = await add(offsets)
    holder = await hold(offsets)
    assert await offsets.store.get(ID) == upload
    assert holder.calls == 0
    await holder.go()


async def test_waiters_for_a_removed_upload_are_told(offsets: OffsetsHarness) -> None:
    """Whoever waits for an upload that is removed gets UploadNotFound, all of them."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        wanted = asyncio.Event()
        claim.on_wanted(wanted.set)
        waiters = [Holder(offsets) for _ in range(3)]
        await wait_for(wanted)
        await claim.remove()
    async with asyncio.timeout(SOON_S):
        results = await asyncio.gather(*(w.task for w in waiters), return_exceptions=True)
    assert [type(result) for result in results] == [UploadNotFound] * 3


async def test_the_holder_is_asked_to_leave(offsets: OffsetsHarness) -> None:
    """A second claim has `on_wanted` called, and is granted when the holder has left."""
    await add(offsets)
    holder = await hold(offsets)
    second = Holder(offsets)
    await wait_for(holder.wanted)
    assert not second.claimed.is_set()
    await holder.go()
    await wait_for(second.claimed)
    await second.go()


async def test_the_holder_is_asked_once(offsets: OffsetsHarness) -> None:
    """However many wait, the callback is called once."""
    await add(offsets)
    holder = await hold(offsets)
    waiters = [Holder(offsets) for _ in range(4)]
    await wait_for(holder.wanted)
    for waiter in waiters:
        waiter.leave.set()
    await holder.go()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*(waiter.task for waiter in waiters))
    assert holder.calls == 1


async def test_whoever_is_wanted_already_is_told_at_once(offsets: OffsetsHarness) -> None:
    """A callback that is registered after somebody has asked is called right away."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        wanted = asyncio.Event()
        claim.on_wanted(wanted.set)
        second = Holder(offsets)
        await wait_for(wanted)
        calls: list[str] = []
        claim.on_wanted(lambda: calls.append("leave"))
        assert calls == ["leave"]
    await wait_for(second.claimed)
    await second.go()


async def test_the_next_holder_knows_who_waits_behind_it(offsets: OffsetsHarness) -> None:
    """A claim that is granted while others wait is wanted from the start."""
    await add(offsets)
    holder = await hold(offsets)
    second, third = Holder(offsets), Holder(offsets)
    await wait_for(holder.wanted)
    await holder.go()
    await wait_for(second.wanted)
    await second.go()
    await wait_for(third.claimed)
    assert third.calls == 0
    await third.go()


async def test_claims_are_granted_in_the_order_of_asking(offsets: OffsetsHarness) -> None:
    """First come, first served."""
    await add(offsets)
    order: list[int] = []

    async def take(number: int) -> None:
        async with offsets.store.claim(ID, timeout_s=SOON_S):
            order.append(number)

    holder = await hold(offsets)
    tasks = [asyncio.create_task(take(number)) for number in range(8)]
    await wait_for(holder.wanted)
    await holder.go()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*tasks)
    assert order == list(range(8))


async def test_nobody_waits_longer_than_asked(offsets: OffsetsHarness) -> None:
    """A holder that stays makes the other time out with UploadLocked, and keeps its claim."""
    await add(offsets)
    holder = await hold(offsets)
    with pytest.raises(UploadLocked):
        async with offsets.store.claim(ID, timeout_s=0.05):
            pass
    assert holder.calls == 1
    await holder.go()
    async with offsets.store.claim(ID, timeout_s=0):
        pass


async def test_without_patience_nobody_is_disturbed(offsets: OffsetsHarness) -> None:
    """With a timeout of 0 a held upload is locked at once, and its holder hears nothing."""
    await add(offsets)
    holder = await hold(offsets)
    with pytest.raises(UploadLocked):
        async with offsets.store.claim(ID, timeout_s=0):
            pass
    assert holder.calls == 0
    await holder.go()


async def test_too_many_waiters_are_turned_away(offsets: OffsetsHarness) -> None:
    """The queue is bounded: one more is locked at once; those who wait still get their turn."""
    await add(offsets)
    holder = await hold(offsets)
    waiters = [Holder(offsets) for _ in range(MOST_WAITING)]
    await wait_for(holder.wanted)
    with pytest.raises(UploadLocked):
        async with asyncio.timeout(1), offsets.store.claim(ID, timeout_s=SOON_S):
            pass
    for waiter in waiters:
        waiter.leave.set()
    await holder.go()
    async with asyncio.timeout(SOON_S):
        await asyncio.gather(*(waiter.task for waiter in waiters))


async def test_a_cancelled_wait_leaves_nothing_behind(offsets: OffsetsHarness) -> None:
    """A waiter that is cancelled is skipped, and the upload is free after the last holder."""
    await add(offsets)
    holder = await hold(offsets)
    cancelled, patient = Holder(offsets), Holder(offsets)
    await wait_for(holder.wanted)
    cancelled.task.cancel()
    await asyncio.wait([cancelled.task])
    await holder.go()
    await wait_for(patient.claimed)
    await patient.go()
    async with offsets.store.claim(ID, timeout_s=0):
        pass


async def test_a_wait_cancelled_when_it_is_granted_passes_it_on(offsets: OffsetsHarness) -> None:
    """Cancelled in the very moment of its turn, a waiter does not keep the upload."""
    await add(offsets)
    holder = await hold(offsets)
    cancelled, patient = Holder(offsets), Holder(offsets)
    await wait_for(holder.wanted)
    holder.leave.set()
    await asyncio.wait([holder.task])
    cancelled.task.cancel()
    await asyncio.wait([cancelled.task])
    await wait_for(patient.claimed)
    await patient.go()


@pytest.mark.parametrize("error", [ValueError, ClaimLost, asyncio.CancelledError, KeyError])
async def test_a_claim_is_given_back_whatever_happens(
    offsets: OffsetsHarness, error: type[BaseException]
) -> None:
    """An error inside the context frees the upload and is not swallowed."""
    await add(offsets)
    with pytest.raises(error):
        async with offsets.store.claim(ID, timeout_s=SOON_S):
            raise error
    async with offsets.store.claim(ID, timeout_s=0):
        pass


async def test_other_uploads_are_not_in_the_way(offsets: OffsetsHarness) -> None:
    """The claim of one upload says nothing about another."""
    await add(offsets)
    other = UploadId("f" * 32)
    await add(offsets, Upload(id=other, length=1))
    holder = await hold(offsets)
    async with offsets.store.claim(other, timeout_s=0):
        pass
    await holder.go()
