"""An outbox in one SQLite file, shared by the processes of one machine.

WAL with synchronous=FULL loses nothing at a power cut; with NORMAL it may lose the last commits.
Only `prepare` needs the former: a lost confirmation is settled from the record, and a lost
`done` is one more delivery. So there are two connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..filesystem.sqlite_file import SqliteFile, changing
from ..interfaces import Entry, EventState, HookEvent
from ..protocol.model import UploadId
from .kept_events import format_event, parse_event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    event TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    leased_until REAL NOT NULL DEFAULT 0,
    error TEXT,
    prepared_at REAL NOT NULL,
    UNIQUE (event_id, receiver)
);
CREATE INDEX IF NOT EXISTS outbox_queue ON outbox (upload_id, receiver, seq);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (state, due_at);
"""
_UNSETTLED = """
SELECT event FROM outbox WHERE upload_id = ? AND state = 'prepared'
GROUP BY event_id ORDER BY MIN(seq)
"""
_COLUMNS = "event, receiver, state, attempts, due_at, error"
_DUE = f"""
SELECT seq, {_COLUMNS} FROM outbox AS one
WHERE state = 'pending' AND due_at <= :now AND leased_until <= :now AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier
    WHERE earlier.upload_id = one.upload_id AND earlier.receiver = one.receiver
        AND earlier.seq < one.seq AND earlier.state != 'given up')
ORDER BY seq LIMIT :limit
"""  # noqa: S608 - nothing in it comes from outside  # nosec B608
# Others confirm, too, and cannot wake us.
_LONGEST_WAIT_S = 1.0
_MOST_ABANDONED = 1000


class SqliteOutbox:
    """Implements `Outbox` in a SQLite file.

    Args:
        path: of the file, on a local disk; its folder is made if missing.
        durable: False when nothing is promised about power cuts.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._file = SqliteFile(path, "outbox")
        self._durable = durable
        self._safe: sqlite3.Connection
        self._quick: sqlite3.Connection
        self._news = asyncio.Event()

    async def open(self) -> None:
        await self._file.open(self._connect)

    async def close(self) -> None:
        await self._file.close()

    def _connect(self) -> None:
        self._safe = self._file.connect("FULL" if self._durable else "OFF")
        self._quick = self._file.connect("NORMAL" if self._durable else "OFF")
        self._safe.executescript(_SCHEMA)

    async def prepare(self, entries: Sequence[Entry], now: float) -> Sequence[HookEvent]:
        rows = [
            (e.event.id, e.receiver, e.event.upload.id, format_event(e.event), e.state, now)
            for e in entries
        ]

        def insert() -> list[tuple[str]]:
            with changing(self._safe) as connection:
                left = connection.execute(_UNSETTLED, (entries[0].event.upload.id,)).fetchall()
                connection.executemany(
                    "INSERT INTO outbox (event_id, receiver, upload_id, event, state, prepared_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )
            return left

        return [parse_event(event) for (event,) in await self._file.run(insert)]

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        await self._change(
            "UPDATE outbox SET state = 'pending' WHERE event_id = ? AND state = 'prepared'",
            [(event.id,) for event in events],
        )
        self._news.set()

    async def withdraw(self, events: Sequence[HookEvent]) -> None:
        await self._change(
            "DELETE FROM outbox WHERE event_id = ? AND state = 'prepared'",
            [(event.id,) for event in events],
        )
        self._news.set()

    async def unsettled(self, upload_id: UploadId) -> Sequence[HookEvent]:
        rows = await self._select(_UNSETTLED, (upload_id,))
        return [parse_event(str(event)) for (event,) in rows]

    async def abandoned(self, before: float) -> Sequence[UploadId]:
        rows = await self._select(
            "SELECT DISTINCT upload_id FROM outbox WHERE state = 'prepared' AND prepared_at < ?"
            " LIMIT ?",
            (before, _MOST_ABANDONED),
        )
        return [UploadId(str(upload_id)) for (upload_id,) in rows]

    async def lease(self, now: float, lease_s: float, limit: int) -> Sequence[Entry]:
        def take() -> list[Entry]:
            with changing(self._quick) as connection:
                rows = connection.execute(_DUE, {"now": now, "limit": limit}).fetchall()
                connection.executemany(
                    "UPDATE outbox SET leased_until = ? WHERE seq = ?",
                    [(now + lease_s, row[0]) for row in rows],
                )
            return [_entry(row[1:]) for row in rows]

        return await self._file.run(take)

    async def renew(self, entry: Entry, until: float) -> None:
        await self._change(
            "UPDATE outbox SET leased_until = ? WHERE event_id = ? AND receiver = ?",
            [(until, *_key(entry))],
        )

    async def done(self, entry: Entry) -> None:
        await self._change("DELETE FROM outbox WHERE event_id = ? AND receiver = ?", [_key(entry)])
        self._news.set()

    async def put_off(self, entry: Entry, *, due_at: float, error: str) -> None:
        await self._change(
            "UPDATE outbox SET attempts = attempts + 1, due_at = ?, error = ?, leased_until = 0"
            " WHERE event_id = ? AND receiver = ?",
            [(due_at, error, *_key(entry))],
        )

    async def give_up(self, entry: Entry, *, error: str) -> None:
        await self._change(
            "UPDATE outbox SET attempts = attempts + 1, state = 'given up', error = ?"
            " WHERE event_id = ? AND receiver = ?",
            [(error, *_key(entry))],
        )
        self._news.set()

    async def entries(self, limit: int) -> Sequence[Entry]:
        rows = await self._select(
            f"SELECT {_COLUMNS} FROM outbox ORDER BY seq LIMIT ?",  # noqa: S608 - as above  # nosec B608
            (limit,),
        )
        return [_entry(row) for row in rows]

    async def counts(self) -> Mapping[EventState, int]:
        rows = await self._select("SELECT state, COUNT(*) FROM outbox GROUP BY state", ())
        return {EventState(str(state)): int(str(count)) for state, count in rows}

    async def retry(self, event_id: str | None, now: float) -> int:
        def make_due() -> int:
            with changing(self._quick) as connection:
                return connection.execute(
                    "UPDATE outbox SET state = 'pending', due_at = :now, leased_until = 0"
                    " WHERE attempts > 0 AND (:id IS NULL OR event_id = :id)",
                    {"now": now, "id": event_id},
                ).rowcount

        count = await self._file.run(make_due)
        self._news.set()
        return count

    async def wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(timeout_s, _LONGEST_WAIT_S)):
                await self._news.wait()
        self._news.clear()

    # --- steps

    async def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def change() -> None:
            with changing(self._quick) as connection:
                connection.executemany(statement, rows)

        await self._file.run(change)

    async def _select(self, statement: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        return await self._file.run(lambda: self._quick.execute(statement, values).fetchall())


def _key(entry: Entry) -> tuple[str, str]:
    return entry.event.id, entry.receiver


def _entry(row: tuple[object, ...]) -> Entry:
    event, receiver, state, attempts, due_at, error = row
    return Entry(
        event=parse_event(str(event)),
        receiver=str(receiver),
        state=EventState(str(state)),
        attempts=int(str(attempts)),
        due_at=float(str(due_at)),
        error=None if error is None else str(error),
    )
