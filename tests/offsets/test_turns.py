"""The queue for an upload within one process. What claims promise is in tests/contracts."""

from __future__ import annotations

import asyncio

import pytest

from tusd_py.offsets.turns import MOST_WAITING, Turns
from tusd_py.protocol.errors import UploadLocked
from tusd_py.protocol.model import UploadId

ID = UploadId("a")


async def test_nothing_is_kept_of_free_uploads() -> None:
    """When the last one leaves, the queue is gone; ids do not pile up."""
    turns = Turns()
    async with turns.take(ID, timeout_s=1):
        assert list(turns._queues) == [ID]
    assert turns._queues == {}


async def test_who_asks_for_a_free_upload_is_told_so() -> None:
    """`ask_to_leave` tells whether there was anybody to ask."""
    turns = Turns()
    assert not turns.ask_to_leave(ID)
    async with turns.take(ID, timeout_s=1) as turn:
        calls: list[str] = []
        turn.on_wanted(lambda: calls.append("leave"))
        assert turns.ask_to_leave(ID)
        assert turns.ask_to_leave(ID)
        assert calls == ["leave"]


async def test_asked_before_it_listens() -> None:
    """A turn that was asked before it knew how to leave is told as soon as it does."""
    turn = Turns().take(ID, timeout_s=0)
    turn.ask_to_leave()
    calls: list[str] = []
    turn.on_wanted(lambda: calls.append("leave"))
    assert calls == ["leave"]


async def test_the_queue_is_bounded() -> None:
    """One holds, sixteen wait, and the next is turned away without disturbing the order."""
    turns = Turns()
    order: list[int] = []

    async def wait(number: int) -> None:
        async with turns.take(ID, timeout_s=5):
            order.append(number)

    async with turns.take(ID, timeout_s=0):
        tasks = [asyncio.create_task(wait(number)) for number in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(UploadLocked):
            await wait(99)
    await asyncio.gather(*tasks)
    assert order == list(range(MOST_WAITING))


async def test_timed_out_in_the_middle_of_the_queue() -> None:
    """Whoever gives up is taken out; those before and behind it get their turns."""
    turns = Turns()
    order: list[str] = []

    async def wait(name: str, timeout_s: float) -> None:
        async with turns.take(ID, timeout_s=timeout_s):
            order.append(name)

    async with turns.take(ID, timeout_s=0):
        first = asyncio.create_task(wait("first", 5))
        hasty = asyncio.create_task(wait("hasty", 0.01))
        last = asyncio.create_task(wait("last", 5))
        with pytest.raises(UploadLocked):
            await hasty
    await asyncio.gather(first, last)
    assert order == ["first", "last"]
    assert turns._queues == {}
