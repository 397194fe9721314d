"""Events are delivered at least once, in order for each upload, and not for ever in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tusd_py.hooks.outbox_memory import MemoryOutbox
from tusd_py.interfaces import Entry, EventState, HookEvent, HookType
from tusd_py.interfaces.occurrences import HookCalled, Occurrence
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.service.delivery import Delivery, Patience

from .conftest import SOON_S, SaidHooks

START = 1_700_000_000.0
PATIENCE = Patience(at_once=2, longest_s=0.05, give_up_after_s=100)


class Receiver(SaidHooks):
    """Notes what it is told, and fails while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0
        self.hangs = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def tell(self, event: HookEvent, receiver: str) -> None:
        assert receiver == "test"
        await self.gate.wait()
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            self.fails -= 1
            raise ConnectionError("nobody there")
        self.events.append(event)
        self._called.set()

    async def wait_called(self) -> None:
        """Wait until it has been told something."""
        async with asyncio.timeout(SOON_S):
            await self._called.wait()


class Post:
    """A delivery, its outbox and its receiver, with a clock of their own."""

    def __init__(self) -> None:
        self.now = START
        self.outbox = MemoryOutbox()
        self.hooks = Receiver()
        self.noted: list[Occurrence] = []
        self.delivery = Delivery(
            self.outbox,
            self.hooks,
            clock=lambda: self.now,
            patience=PATIENCE,
            observe=self.noted.append,
        )

    async def put(self, upload_id: str, *types: HookType) -> list[HookEvent]:
        """Let things happen to an upload."""
        upload = Upload(id=UploadId(upload_id), length=3)
        events = [HookEvent(type=kind, upload=upload, request=None, at=self.now) for kind in types]
        await self.outbox.prepare([Entry(event=e, receiver="test") for e in events], self.now)
        await self.outbox.confirm(events)
        return events

    async def work(self) -> None:
        """Deliver until nothing is due."""
        async with asyncio.timeout(SOON_S):
            while await self.delivery.start_due() or self.delivery._running:
                if self.delivery._running:
                    await asyncio.wait(self.delivery._running)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    """A delivery that is closed in the end."""
    made = Post()
    yield made
    await made.delivery.close(0)


async def test_events_are_delivered_in_order(post: Post) -> None:
    """Those of one upload, one after the other; the outbox is empty then."""
    first, second = await post.put("a", HookType.POST_CREATE, HookType.POST_FINISH)
    await post.work()
    assert post.hooks.events == [first, second]
    assert await post.outbox.entries(10) == []


async def test_each_attempt_is_noted(post: Post) -> None:
    """With the receiver, and what went wrong."""
    post.hooks.fails = 1
    await post.put("a", HookType.POST_FINISH)
    await post.work()
    post.now += PATIENCE.longest_pause_s
    await post.work()
    called = [one for one in post.noted if isinstance(one, HookCalled)]
    assert [(one.type, one.receiver, one.error) for one in called] == [
        (HookType.POST_FINISH, "test", "ConnectionError"),
        (HookType.POST_FINISH, "test", None),
    ]


async def test_a_failure_is_tried_again_later(post: Post) -> None:
    """With longer and longer pauses, and the second event waits for the first."""
    post.hooks.fails = 2
    events = await post.put("a", HookType.POST_CREATE, HookType.POST_FINISH)
    pauses = []
    while not post.hooks.events:
        await post.work()
        entries = await post.outbox.entries(10)
        if entries:
            assert entries[0].error == "ConnectionError: nobody there"
            pauses.append(entries[0].due_at - post.now)
            post.now = entries[0].due_at
    assert 0.5 <= pauses[0] <= 1
    assert 1 <= pauses[1] <= 2
    await post.work()
    assert post.hooks.events == events


async def test_others_do_not_wait_for_one_that_fails(post: Post) -> None:
    """Each upload has its own queue."""
    post.hooks.fails = 1
    await post.put("a", HookType.POST_CREATE)
    (other,) = await post.put("b", HookType.POST_CREATE)
    await post.work()
    assert post.hooks.events == [other]


async def test_one_that_hangs_is_left(post: Post) -> None:
    """After its time; it counts as a failure."""
    post.hooks.hangs = True
    await post.put("a", HookType.POST_CREATE)
    await post.work()
    (entry,) = await post.outbox.entries(10)
    assert (entry.state, entry.attempts) == (EventState.PENDING, 1)
    assert entry.error is not None
    assert entry.error.startswith("TimeoutError")


async def test_it_gives_up_in_the_end(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    """The event is kept, and said to be."""
    post.hooks.fails = 1
    (event,) = await post.put("a", HookType.POST_FINISH)
    post.now += PATIENCE.give_up_after_s
    await post.work()
    (entry,) = await post.outbox.entries(10)
    assert entry.state is EventState.GIVEN_UP
    (record,) = [r for r in caplog.records if r.message == "HookGivenUp"]
    assert record.__dict__["event_id"] == event.id
    await post.outbox.retry(event.id, post.now)
    await post.work()
    assert post.hooks.events == [event]


async def test_no_more_than_so_many_at_once(post: Post) -> None:
    """What is beyond waits for room."""
    post.hooks.gate.clear()
    for name in "abc":
        await post.put(name, HookType.POST_CREATE)
    await post.delivery.start_due()
    assert len(post.delivery._running) == PATIENCE.at_once
    post.hooks.gate.set()
    await post.work()
    assert len(post.hooks.events) == 3


async def test_a_shutdown_leaves_the_rest_for_the_next_start(post: Post) -> None:
    """What runs has some time to end; what does not is due at once for whoever comes next."""
    post.hooks.gate.clear()
    (event,) = await post.put("a", HookType.POST_CREATE)
    await post.delivery.start_due()
    await asyncio.sleep(0)
    await post.delivery.close(0)
    (entry,) = await post.outbox.lease(post.now, 60, 10)
    assert entry.event == event


async def test_what_is_due_at_the_end_is_delivered(post: Post) -> None:
    """A server that ends right after an answer tells of it, rather than at its next start."""
    running = asyncio.create_task(post.delivery.run())
    await asyncio.sleep(0)
    [event] = await post.put("a", HookType.POST_FINISH)
    running.cancel()
    await asyncio.wait([running])
    await post.delivery.close(SOON_S)
    assert post.hooks.events == [event]


async def test_a_confirmation_wakes_the_delivery(post: Post) -> None:
    """Nobody has to wait for a poll."""
    running = asyncio.create_task(post.delivery.run())
    await asyncio.sleep(0)
    await post.put("a", HookType.POST_CREATE)
    await post.hooks.wait_called()
    running.cancel()
    await asyncio.wait([running])
    assert [event.type for event in post.hooks.events] == [HookType.POST_CREATE]
