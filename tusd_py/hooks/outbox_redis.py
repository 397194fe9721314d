"""An outbox in Redis, shared by all nodes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from ..interfaces import Entry, EventState, HookEvent
from ..protocol.model import UploadId
from ..redis_client.address import RedisOptions
from ..redis_client.scripts import ScriptRunner, pairs
from .kept_events import format_event, parse_event
from .outbox_scripts import (
    ABANDONED,
    COUNTS,
    DONE,
    ENTRIES,
    FAILED,
    LEASE,
    PREPARE,
    RENEW,
    RETRY,
    SETTLE,
    UNSETTLED,
)

# Other nodes confirm, too, and do not wake us.
_LONGEST_WAIT_S = 1.0
_MOST_ABANDONED = 1000


class RedisOutbox:
    """Implements `Outbox` in Redis; see `outbox_scripts` for what is where."""

    def __init__(self, options: RedisOptions) -> None:
        self._redis = ScriptRunner(options, "outbox")
        self._news = asyncio.Event()

    async def open(self) -> None:
        await self._redis.open()

    async def close(self) -> None:
        await self._redis.close()

    async def prepare(self, entries: Sequence[Entry], now: float) -> Sequence[HookEvent]:
        words = [
            word
            for e in entries
            for word in (_id(e), e.event.id, e.receiver, format_event(e.event))
        ]
        left = await self._redis.run(PREPARE, now, entries[0].event.upload.id, *words)
        return [parse_event(event) for event in left]

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        await self._settle("confirm", events)

    async def withdraw(self, events: Sequence[HookEvent]) -> None:
        await self._settle("withdraw", events)

    async def _settle(self, how: str, events: Sequence[HookEvent]) -> None:
        ids = [event.id for event in events]
        await self._redis.run(SETTLE, how, events[0].upload.id, *ids)
        self._news.set()

    async def unsettled(self, upload_id: UploadId) -> Sequence[HookEvent]:
        return [parse_event(event) for event in await self._redis.run(UNSETTLED, upload_id)]

    async def abandoned(self, before: float) -> Sequence[UploadId]:
        found = await self._redis.run(ABANDONED, before, _MOST_ABANDONED)
        return [UploadId(upload_id) for upload_id in found]

    async def lease(self, now: float, lease_s: float, limit: int) -> Sequence[Entry]:
        found = await self._redis.run(LEASE, now, now + lease_s, limit)
        return [_entry(pairs(fields)) for fields in found]

    async def renew(self, entry: Entry, until: float) -> None:
        await self._redis.run(RENEW, _id(entry), until)

    async def done(self, entry: Entry) -> None:
        await self._redis.run(DONE, _id(entry))
        self._news.set()

    async def put_off(self, entry: Entry, *, due_at: float, error: str) -> None:
        await self._redis.run(FAILED, _id(entry), EventState.PENDING, due_at, error)

    async def give_up(self, entry: Entry, *, error: str) -> None:
        await self._redis.run(FAILED, _id(entry), EventState.GIVEN_UP, entry.due_at, error)
        self._news.set()

    async def entries(self, limit: int) -> Sequence[Entry]:
        return [_entry(pairs(fields)) for fields in await self._redis.run(ENTRIES, limit)]

    async def counts(self) -> Mapping[EventState, int]:
        states = (EventState.PREPARED, EventState.PENDING, EventState.GIVEN_UP)
        found = zip(states, await self._redis.run(COUNTS), strict=True)
        return {state: count for state, count in found if count}

    async def retry(self, event_id: str | None, now: float) -> int:
        count = int(await self._redis.run(RETRY, event_id or "", now))
        self._news.set()
        return count

    async def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_s, _LONGEST_WAIT_S)):
                await self._news.wait()
        self._news.clear()


def _id(entry: Entry) -> str:
    return f"{entry.event.id}:{entry.receiver}"


def _entry(fields: Mapping[str, str]) -> Entry:
    return Entry(
        event=parse_event(fields["event"]),
        receiver=fields["receiver"],
        state=EventState(fields["state"]),
        attempts=int(fields["attempts"]),
        due_at=float(fields["due_at"]),
        error=fields["error"] or None,
    )
