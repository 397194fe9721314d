"""Threads for file work: order, batches, slow work, cancellation."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from tests.support.work import running_lanes
from tusd_py.filesystem.lanes import _SLOW_S, Lanes

PATIENCE_S = 5.0


class Gate:
    """Work that begins, and ends when it is let go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._open = threading.Event()
        self.ended = False

    def work(self) -> str:
        """Run in a thread."""
        self._loop.call_soon_threadsafe(self._begun.set)
        assert self._open.wait(PATIENCE_S)
        self.ended = True
        return "done"

    async def wait_begun(self) -> None:
        """Wait until the thread has begun."""
        async with asyncio.timeout(PATIENCE_S):
            await self._begun.wait()

    def let_go(self) -> None:
        """Let the work end."""
        self._open.set()


@pytest.fixture
async def lanes() -> AsyncIterator[Lanes]:
    """Two running lanes."""
    async with running_lanes(2) as running:
        yield running


@pytest.fixture
async def lane() -> AsyncIterator[Lanes]:
    """A single running lane."""
    async with running_lanes(1) as running:
        yield running


async def test_work_runs_in_a_thread_and_returns(lanes: Lanes) -> None:
    """The result, with arguments of both kinds; the event loop's thread stays free."""
    assert await lanes(divmod, 17, 5) == (3, 2)
    assert await lanes(int, "ff", base=16) == 255
    assert await lanes(threading.get_ident) != threading.get_ident()


async def test_what_is_raised_is_delivered(lanes: Lanes) -> None:
    """An error goes to whoever waits for that work, and to nobody else."""
    good, bad = lanes.submit(str, 1), lanes.submit(int, "no number")
    also_good = lanes.submit(str, 2)
    with pytest.raises(ValueError, match="no number"):
        await lanes.join(bad)
    assert [await lanes.join(good), await lanes.join(also_good)] == ["1", "2"]


async def test_even_an_exit_is_delivered(lanes: Lanes) -> None:
    """A lane survives whatever is raised in it."""

    def leave() -> None:
        raise SystemExit(3)

    future = lanes.submit(leave)
    await asyncio.wait([future])
    assert isinstance(future.exception(), SystemExit)
    assert await lanes(str, 1) == "1"


class Deliveries:
    """Counts how often results come back from threads."""

    def __init__(self) -> None:
        self.count = 0
        loop = asyncio.get_running_loop()
        self._call_soon_threadsafe = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = self._counted  # type: ignore[method-assign,assignment]

    def _counted(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.count += 1
        return self._call_soon_threadsafe(*args, **kwargs)


async def test_one_hop_carries_all_that_is_asked_for_at_once(lane: Lanes) -> None:
    """What is asked for within one turn of the loop comes back in one go, in order."""
    order: list[int] = []
    deliveries = Deliveries()
    await asyncio.gather(*(lane(order.append, number) for number in range(50)))
    assert order == list(range(50))
    assert deliveries.count <= 10  # it takes more than one only when the machine has hiccups


async def test_what_is_asked_for_a_turn_later_goes_along(lane: Lanes) -> None:
    """So does what follows on the results, whether the lane was idle before or not."""
    order: list[int] = []

    async def later(number: int) -> None:
        await asyncio.sleep(0)
        await lane(order.append, number)

    deliveries = Deliveries()
    for number in range(0, 100, 2):
        await asyncio.gather(lane(order.append, number), later(number + 1))
    assert order == list(range(100))
    assert deliveries.count <= 60  # one for both, but for hiccups


async def test_slow_work_does_not_hold_up_the_rest(lanes: Lanes) -> None:
    """While short work hangs, what is asked for behind it goes to other threads."""
    gate = Gate()
    slow = asyncio.create_task(lanes(gate.work))
    await gate.wait_begun()
    async with asyncio.timeout(PATIENCE_S):
        assert [await lanes(str, number) for number in range(20)] == [str(n) for n in range(20)]
    assert not gate.ended
    gate.let_go()
    assert await slow == "done"


async def test_when_all_lanes_are_slow_work_queues_where_least_waits(lanes: Lanes) -> None:
    """Nothing is refused and nothing is lost."""
    gates = [Gate(), Gate()]
    slow = []
    for gate in gates:
        slow.append(lanes.submit(gate.work))
        await gate.wait_begun()
        await asyncio.sleep(2 * _SLOW_S)
    rest = [lanes.submit(str, number) for number in range(10)]
    for gate in gates:
        gate.let_go()
    async with asyncio.timeout(PATIENCE_S):
        assert await asyncio.gather(*rest) == [str(number) for number in range(10)]
        assert await asyncio.gather(*slow) == ["done", "done"]


async def test_a_cancelled_caller_waits_for_its_work(lanes: Lanes) -> None:
    """Nothing goes on behind the back of whoever releases a claim; then the caller is cancelled."""
    gate = Gate()
    task = asyncio.create_task(lanes(gate.work))
    await gate.wait_begun()
    for _ in range(3):  # however often it is told
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    gate.let_go()
    await asyncio.wait([task], timeout=PATIENCE_S)
    assert gate.ended
    assert task.cancelled()


async def test_a_timeout_ends_after_the_work(lanes: Lanes) -> None:
    """A deadline does not abandon work either; it shows when the work is done."""
    gate = Gate()
    threading.Timer(0.1, gate.let_go).start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await lanes(gate.work)
    assert gate.ended


async def test_an_error_that_nobody_waits_for_is_not_reported(lanes: Lanes) -> None:
    """A cancelled caller gets its cancellation, and the error of its work no warning."""
    gate = Gate()

    def fail() -> None:
        gate.work()
        raise OSError(5, "a disk that failed")

    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    task = asyncio.create_task(lanes(fail))
    await gate.wait_begun()
    task.cancel()
    gate.let_go()
    await asyncio.wait([task], timeout=PATIENCE_S)
    assert task.cancelled()
    del task
    gc.collect()
    assert seen == []


def all_gone(watched: Iterable[weakref.ref[Any]]) -> bool:
    """Whether nothing is referred to any more: the thread lets go soon after it delivered."""
    deadline = time.monotonic() + PATIENCE_S
    while any(ref() is not None for ref in watched) and time.monotonic() < deadline:
        time.sleep(0.001)
    return all(ref() is None for ref in watched)


async def test_an_idle_lane_refers_to_nothing(lane: Lanes) -> None:
    """Results and arguments of past work are let go: they may carry a lock or a megabyte."""

    class Thing:
        """Something that can be watched."""

    def make() -> Thing:
        return Thing()

    thing = await lane(make)
    argument = Thing()
    assert await lane(id, argument) == id(argument)
    watched = weakref.ref(thing), weakref.ref(argument)
    del thing, argument
    assert await asyncio.to_thread(all_gone, watched)


async def test_stopping_ends_what_is_queued() -> None:
    """`stop` returns when the last work has been done and the threads are gone."""
    lanes = Lanes(2)
    lanes.start()
    done: list[int] = []
    for number in range(20):
        lanes.submit(done.append, number)
    lanes.stop()
    assert sorted(done) == list(range(20))
    assert not any(lane._thread.is_alive() for lane in (lanes._short, *lanes._long))
    lanes.stop()  # once more does nothing


async def test_what_comes_after_the_end_is_done_all_the_same() -> None:
    """A request that is cancelled when the threads are gone still sets its files right."""
    lanes = Lanes(2)
    lanes.start()
    done: list[str] = []

    async def request() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            done.extend([await lanes(str, 1), await lanes.reading(str, 2)])
            done.append(await lanes.long(str, 3))

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    lanes.stop()
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE_S)
    assert task.cancelled()
    assert done == ["1", "2", "3"]


async def test_reading_does_not_wait_for_work_that_hangs(lane: Lanes) -> None:
    """Where all other threads hang in writes, what only reads is still done."""
    gates = [Gate(), Gate()]
    hanging = [asyncio.ensure_future(lane(gates[0].work)), lane.submit(gates[1].work)]
    for gate in gates:
        await gate.wait_begun()
    async with asyncio.timeout(PATIENCE_S / 2):
        assert await lane.reading(divmod, 17, 5) == (3, 2)
    for gate in gates:
        gate.let_go()
    assert await asyncio.gather(*hanging) == ["done", "done"]
