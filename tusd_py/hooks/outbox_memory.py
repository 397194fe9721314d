"""An outbox in memory: for tests, and where nothing is promised about restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..interfaces import Entry, EventState, HookEvent
from ..protocol.model import UploadId


@dataclass
class _Kept:
    entry: Entry
    prepared_at: float
    leased_until: float = 0.0


class MemoryOutbox:
    """Implements `Outbox` in the memory of this process."""

    def __init__(self) -> None:
        self._kept: list[_Kept] = []  # oldest first
        self._news = asyncio.Event()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def prepare(self, entries: Sequence[Entry], now: float) -> Sequence[HookEvent]:
        left = await self.unsettled(entries[0].event.upload.id)
        self._kept += [_Kept(entry, now) for entry in entries]
        return left

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        for kept in self._prepared(events):
            kept.entry = replace(kept.entry, state=EventState.PENDING)
        self._news.set()

    async def withdraw(self, events: Sequence[HookEvent]) -> None:
        for kept in list(self._prepared(events)):
            self._kept.remove(kept)
        self._news.set()

    async def unsettled(self, upload_id: UploadId) -> Sequence[HookEvent]:
        events = {
            kept.entry.event.id: kept.entry.event
            for kept in self._kept
            if kept.entry.event.upload.id == upload_id and kept.entry.state is EventState.PREPARED
        }
        return list(events.values())

    async def abandoned(self, before: float) -> Sequence[UploadId]:
        ids = {
            kept.entry.event.upload.id: None
            for kept in self._kept
            if kept.entry.state is EventState.PREPARED and kept.prepared_at < before
        }
        return list(ids)

    async def lease(self, now: float, lease_s: float, limit: int) -> Sequence[Entry]:
        leased: list[Entry] = []
        for kept in self._heads():
            entry = kept.entry
            due = entry.state is EventState.PENDING and max(entry.due_at, kept.leased_until) <= now
            if due and len(leased) < limit:
                kept.leased_until = now + lease_s
                leased.append(entry)
        return leased

    async def renew(self, entry: Entry, until: float) -> None:
        self._find(entry).leased_until = until

    async def done(self, entry: Entry) -> None:
        self._kept = [kept for kept in self._kept if not _is_for(kept.entry, entry)]
        self._news.set()

    async def put_off(self, entry: Entry, *, due_at: float, error: str) -> None:
        kept = self._find(entry)
        kept.leased_until = 0.0
        kept.entry = replace(
            kept.entry, attempts=kept.entry.attempts + 1, due_at=due_at, error=error
        )

    async def give_up(self, entry: Entry, *, error: str) -> None:
        kept = self._find(entry)
        kept.entry = replace(
            kept.entry, attempts=kept.entry.attempts + 1, state=EventState.GIVEN_UP, error=error
        )
        self._news.set()

    async def entries(self, limit: int) -> Sequence[Entry]:
        return [kept.entry for kept in self._kept[:limit]]

    async def counts(self) -> Mapping[EventState, int]:
        return Counter(kept.entry.state for kept in self._kept)

    async def retry(self, event_id: str | None, now: float) -> int:
        chosen = [
            kept
            for kept in self._kept
            if kept.entry.attempts and event_id in (None, kept.entry.event.id)
        ]
        for kept in chosen:
            kept.leased_until = 0.0
            kept.entry = replace(kept.entry, state=EventState.PENDING, due_at=now)
        self._news.set()
        return len(chosen)

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _prepared(self, events: Sequence[HookEvent]) -> Iterator[_Kept]:
        ids = {event.id for event in events}
        for kept in self._kept:
            if kept.entry.event.id in ids and kept.entry.state is EventState.PREPARED:
                yield kept

    def _heads(self) -> Iterator[_Kept]:
        seen = set()
        for kept in self._kept:
            queue = (kept.entry.event.upload.id, kept.entry.receiver)
            if queue not in seen and kept.entry.state is not EventState.GIVEN_UP:
                seen.add(queue)
                yield kept

    def _find(self, entry: Entry) -> _Kept:
        return next(kept for kept in self._kept if _is_for(kept.entry, entry))


def _is_for(one: Entry, other: Entry) -> bool:
    return (one.event.id, one.receiver) == (other.event.id, other.receiver)
