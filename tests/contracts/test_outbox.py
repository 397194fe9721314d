"""What every outbox keeps to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tusd_py.hooks.outbox_memory import MemoryOutbox
from tusd_py.hooks.outbox_redis import RedisOutbox
from tusd_py.hooks.outbox_sqlite import SqliteOutbox
from tusd_py.interfaces import (
    Entry,
    EventState,
    HookEvent,
    HookType,
    Operation,
    Outbox,
    RequestInfo,
)
from tusd_py.protocol.metadata import Metadata
from tusd_py.protocol.model import Final, Upload, UploadId
from tusd_py.redis_client.address import RedisAddress, RedisOptions

NOW = 1000.0
LEASE_S = 60.0
POST_EVENTS = (
    HookType.POST_CREATE,
    HookType.POST_INTERRUPT,
    HookType.POST_FINISH,
    HookType.POST_TERMINATE,
)


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server of one's own."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "sqlite-lax", "redis"])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    """An open, empty outbox."""
    kind: str = request.param
    made: Outbox = MemoryOutbox()
    if kind.startswith("sqlite"):
        made = SqliteOutbox(tmp_path / "x" / "outbox.sqlite", durable=kind == "sqlite")
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        made = RedisOutbox(RedisOptions(address=RedisAddress(server.url)))
    await made.open()
    yield made
    await made.close()


def event(upload_id: str = "a", kind: HookType = HookType.POST_CREATE) -> HookEvent:
    """An event with everything that one can have."""
    upload = Upload(
        id=UploadId(upload_id),
        length=9,
        offset=9,
        checkpoint=4,
        metadata=Metadata("filename eA==,empty"),
        kind=Final(parts=(UploadId("p"), UploadId("q")), header="final;/p /q"),
        created_at=1.5,
        expires_at=2.5,
        owner="tom",
        finished=True,
        storage={"Path": "/x"},
    )
    request = RequestInfo(method="POST", uri="/?a", remote="::1", headers={"X-A": ["1", "2"]})
    return HookEvent(
        type=kind,
        upload=upload,
        request=request,
        at=NOW,
        operation=Operation.APPEND,
        cause="ERR_READ_TIMEOUT",
    )


def entry(of: HookEvent, receiver: str = "r") -> Entry:
    """The entry of an event for one receiver."""
    return Entry(event=of, receiver=receiver)


async def put(outbox: Outbox, *events: HookEvent) -> None:
    """Keep events as things that have happened."""
    await outbox.prepare([entry(one) for one in events], NOW)
    await outbox.confirm(events)


async def leased(outbox: Outbox, now: float = NOW, limit: int = 10) -> list[str]:
    """Ids of the events that are due, which are leased by this."""
    return [one.event.id for one in await outbox.lease(now, LEASE_S, limit)]


async def test_an_event_comes_out_as_it_went_in(outbox: Outbox) -> None:
    """All fields of event, upload and request survive."""
    one = event()
    await put(outbox, one)
    (out,) = await outbox.lease(NOW, LEASE_S, 10)
    assert out == Entry(event=one, receiver="r", state=EventState.PENDING)


async def test_what_is_prepared_is_not_delivered(outbox: Outbox) -> None:
    """Only what is confirmed has happened; what is withdrawn has not, and is forgotten."""
    one, two = event("a"), event("b")
    await outbox.prepare([entry(one)], NOW)
    await outbox.prepare([entry(two)], NOW)
    assert await leased(outbox) == []
    await outbox.withdraw([one])
    await outbox.confirm([two])
    await outbox.withdraw([two])  # too late: it has happened
    assert await leased(outbox) == [two.id]
    assert await outbox.counts() == {EventState.PENDING: 1}


async def test_events_of_an_upload_come_in_order(outbox: Outbox) -> None:
    """The second is not due before the first is done; those of others are."""
    first, second, other = event("a"), event("a", HookType.POST_FINISH), event("b")
    await put(outbox, first, second)
    await put(outbox, other)
    entries = await outbox.lease(NOW, LEASE_S, 10)
    assert [one.event.id for one in entries] == [first.id, other.id]
    await outbox.put_off(entries[0], due_at=NOW + 5, error="no")
    assert await leased(outbox, NOW + 4) == []
    assert await leased(outbox, NOW + 5) == [first.id]
    await outbox.done(entries[0])
    assert await leased(outbox, NOW + 5) == [second.id]


async def test_a_prepared_event_holds_up_those_after_it(outbox: Outbox) -> None:
    """Until it is settled nobody knows whether it comes first."""
    first, second = event("a"), event("a", HookType.POST_FINISH)
    await outbox.prepare([entry(first)], NOW)
    await put(outbox, second)
    assert await leased(outbox) == []
    await outbox.withdraw([first])
    assert await leased(outbox) == [second.id]


async def test_each_receiver_has_its_own_queue(outbox: Outbox) -> None:
    """One that fails does not hold up the other, nor repeat what that one was told."""
    first, second = event("a"), event("a", HookType.POST_FINISH)
    for one in (first, second):
        await outbox.prepare([entry(one, "x"), entry(one, "y")], NOW)
        await outbox.confirm([one])
    x, y = await outbox.lease(NOW, LEASE_S, 10)
    assert [(x.receiver, x.event.id), (y.receiver, y.event.id)] == [
        ("x", first.id),
        ("y", first.id),
    ]
    await outbox.put_off(x, due_at=NOW + 9, error="no")
    await outbox.done(y)
    (only,) = await outbox.lease(NOW, LEASE_S, 10)
    assert (only.receiver, only.event.id) == ("y", second.id)


async def test_a_lease_keeps_others_away_until_it_ends(outbox: Outbox) -> None:
    """Who dies while it delivers loses the event to somebody else, later."""
    one = event()
    await put(outbox, one)
    assert await leased(outbox) == [one.id]
    assert await leased(outbox, NOW + LEASE_S - 1) == []
    assert await leased(outbox, NOW + LEASE_S) == [one.id]


async def test_a_lease_can_be_renewed(outbox: Outbox) -> None:
    """Whoever needs longer says so."""
    one = event()
    await put(outbox, one)
    (entry_,) = await outbox.lease(NOW, LEASE_S, 10)
    await outbox.renew(entry_, NOW + 2 * LEASE_S)
    assert await leased(outbox, NOW + 2 * LEASE_S - 1) == []
    assert await leased(outbox, NOW + 2 * LEASE_S) == [one.id]


async def test_no_more_is_leased_than_asked_for(outbox: Outbox) -> None:
    """The oldest come first."""
    events = [event(name) for name in "abc"]
    for one in events:
        await put(outbox, one)
    assert await leased(outbox, limit=2) == [one.id for one in events[:2]]
    assert await leased(outbox, limit=2) == [events[2].id]


async def test_what_was_given_up_waits_for_somebody(outbox: Outbox) -> None:
    """It holds up nobody, can be seen, and is due again when it is retried."""
    first, second = event("a"), event("a", HookType.POST_FINISH)
    await put(outbox, first, second)
    (one,) = await outbox.lease(NOW, LEASE_S, 10)
    await outbox.give_up(one, error="for ever")
    assert await leased(outbox) == [second.id]
    kept = await outbox.entries(10)
    assert [(e.event.id, e.state, e.attempts, e.error) for e in kept] == [
        (first.id, EventState.GIVEN_UP, 1, "for ever"),
        (second.id, EventState.PENDING, 0, None),
    ]
    assert await outbox.counts() == {EventState.GIVEN_UP: 1, EventState.PENDING: 1}
    assert await outbox.retry("another", NOW) == 0
    assert await outbox.retry(first.id, NOW) == 1
    assert await leased(outbox) == [first.id]


async def test_all_that_failed_can_be_retried(outbox: Outbox) -> None:
    """For those that are put off the time comes at once."""
    one, fresh = event("a"), event("b")
    await put(outbox, one)
    (first,) = await outbox.lease(NOW, LEASE_S, 10)
    await outbox.put_off(first, due_at=NOW + 999, error="no")
    await put(outbox, fresh)
    assert await outbox.retry(None, NOW) == 1
    assert set(await leased(outbox)) == {one.id, fresh.id}


async def test_unsettled_events_are_found(outbox: Outbox) -> None:
    """By upload, in order, once for all receivers; and by age."""
    first, second, other = event("a"), event("a", HookType.POST_FINISH), event("b")
    await outbox.prepare([entry(first, "x"), entry(first, "y"), entry(second, "x")], NOW)
    await put(outbox, other)
    assert await outbox.unsettled(UploadId("a")) == [first, second]
    assert await outbox.unsettled(UploadId("b")) == []
    assert await outbox.abandoned(NOW) == []
    assert await outbox.abandoned(NOW + 1) == ["a"]


async def test_preparing_tells_what_is_unsettled(outbox: Outbox) -> None:
    """What was there before of that upload, in order, once for all receivers; and leaves it so."""
    told, first, second, third = (event("a", kind) for kind in POST_EVENTS)
    await put(outbox, told)
    assert await outbox.prepare([entry(first, "x"), entry(first, "y")], NOW) == []
    assert await outbox.prepare([entry(second)], NOW) == [first]
    assert await outbox.prepare([entry(event("b"))], NOW) == []
    assert await outbox.prepare([entry(third)], NOW) == [first, second]
    assert await outbox.unsettled(UploadId("a")) == [first, second, third]


async def test_redis_takes_what_is_sent_twice_once(redis_server: RedisServer) -> None:
    """An answer that got lost: the event is there once, and is not left over of another time."""
    redis_server.ask("FLUSHALL")
    kept = RedisOutbox(RedisOptions(address=RedisAddress(redis_server.url)))
    await kept.open()
    try:
        one = event()
        for _ in range(2):
            assert await kept.prepare([entry(one, "x"), entry(one, "y")], NOW) == []
        assert await kept.counts() == {EventState.PREPARED: 2}
    finally:
        await kept.close()


async def test_waiting_ends_when_something_is_due(outbox: Outbox) -> None:
    """A confirmation wakes whoever waits; without one the wait ends by itself."""
    one = event()
    await outbox.prepare([entry(one)], NOW)
    waiting = asyncio.create_task(outbox.wait(30))
    await asyncio.sleep(0)
    await outbox.confirm([one])
    await waiting
    await outbox.wait(0.001)


def files_in(folder: Path) -> list[Path]:
    """All files there."""
    return list(folder.iterdir())


async def test_secrets_of_requests_are_not_kept(tmp_path: Path) -> None:
    """What is written down does not let its reader act for the client."""
    kept = SqliteOutbox(tmp_path / "outbox.sqlite", durable=True)
    await kept.open()
    one = event()
    assert one.request is not None
    headers = {"Authorization": ["Bearer s3cret"], "Cookie": ["s3cret"], "X-A": ["1"]}
    await put(kept, replace(one, request=replace(one.request, headers=headers)))
    (out,) = await kept.entries(10)
    await kept.close()
    assert out.event.request is not None
    assert out.event.request.headers == {"X-A": ["1"]}
    files = files_in(tmp_path)
    assert all(b"s3cret" not in file.read_bytes() for file in files)
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


async def test_sqlite_keeps_events_over_a_restart(tmp_path: Path) -> None:
    """Whatever state they are in."""
    path = tmp_path / "outbox.sqlite"
    first, second = event("a"), event("b")
    kept = SqliteOutbox(path, durable=True)
    await kept.open()
    await put(kept, first)
    await kept.prepare([entry(second)], NOW)
    await kept.close()
    again = SqliteOutbox(path, durable=True)
    await again.open()
    assert await leased(again) == [first.id]
    assert await again.unsettled(UploadId("b")) == [second]
    await again.close()
