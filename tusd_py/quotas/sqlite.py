"""A ledger in one SQLite file, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from ..filesystem.sqlite_file import SqliteFile, changing
from ..interfaces.quotas import Account, Counts
from ..protocol.errors import UploadExists
from ..protocol.model import UploadId
from ..protocol.quota import NO_QUOTA, Change, Holding, Quota, change_holding

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    upload_id TEXT PRIMARY KEY,
    owner TEXT,
    size INTEGER NOT NULL,
    open INTEGER NOT NULL,
    entered_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS holdings (
    holder TEXT PRIMARY KEY,
    open_uploads INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    next_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS pots (pot TEXT PRIMARY KEY, free_at REAL NOT NULL);
"""
_SERVER = "server"
_NOBODY = "nobody"
# In one look.
_BATCH = 1000


class SqliteLedger:
    """Implements `Ledger` in a SQLite file.

    A power cut may take the last changes; the recount at the next start finds out.

    Args:
        path: of the file, on a local disk; its folder is made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, "ledger")
        self._connection: sqlite3.Connection

    async def open(self) -> None:
        await self._file.open(self._connect)

    async def close(self) -> None:
        await self._file.close()

    def _connect(self) -> None:
        self._connection = self._file.connect("NORMAL")
        self._connection.executescript(_SCHEMA)

    async def enter(
        self, account: Account, now: float, *, owner: Quota = NO_QUOTA, server: Quota = NO_QUOTA
    ) -> None:
        def enter() -> None:
            with changing(self._connection) as connection:
                old = _find(connection, account.upload_id)
                if old is not None and old.owner != account.owner:
                    raise UploadExists
                change = Change(
                    open_uploads=account.open - (old.open if old else 0),
                    total_bytes=account.size - (old.size if old else 0),
                    is_new=old is None,
                )
                for holder, quota in ((_holder(account.owner), owner), (_SERVER, server)):
                    _apply(connection, holder, change, quota, now)
                connection.execute(
                    "INSERT INTO accounts VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (upload_id) DO UPDATE SET size = excluded.size,"
                    " open = excluded.open",
                    (account.upload_id, account.owner, account.size, account.open, now),
                )

        await self._file.run(enter)

    async def leave(self, upload_id: UploadId) -> None:
        def leave() -> None:
            with changing(self._connection) as connection:
                if (old := _find(connection, upload_id)) is None:
                    return
                change = Change(open_uploads=-int(old.open), total_bytes=-old.size, is_new=False)
                for holder in (_holder(old.owner), _SERVER):
                    _apply(connection, holder, change, NO_QUOTA, 0.0)
                connection.execute("DELETE FROM accounts WHERE upload_id = ?", (upload_id,))

        await self._file.run(leave)

    async def counts(self, owner: str | None) -> Counts:
        return await self._counts(_holder(owner))

    async def server_counts(self) -> Counts:
        return await self._counts(_SERVER)

    async def accounts(self) -> AsyncIterator[tuple[Account, float]]:
        last = ""
        while rows := await self._file.run(partial(self._some_behind, last)):
            for upload_id, owner, size, is_open, entered_at in rows:
                account = Account(
                    upload_id=UploadId(upload_id), owner=owner, size=size, open=bool(is_open)
                )
                yield account, entered_at
            last = rows[-1][0]

    async def spend(self, pot: str, count: int, rate: int, now: float) -> float:
        def spend() -> float:
            with changing(self._connection) as connection:
                # What is at rest says nothing.
                connection.execute("DELETE FROM pots WHERE free_at <= ?", (now,))
                row = connection.execute(
                    "SELECT free_at FROM pots WHERE pot = ?", (pot,)
                ).fetchone()
                turn: float = now if row is None else row[0]
                connection.execute(
                    "INSERT OR REPLACE INTO pots VALUES (?, ?)", (pot, turn + count / rate)
                )
            return turn - now

        return await self._file.run(spend)

    async def _counts(self, holder: str) -> Counts:
        held = await self._file.run(lambda: _held(self._connection, holder))
        return Counts(open_uploads=held.open_uploads, total_bytes=held.total_bytes)

    def _some_behind(self, last: str) -> list[tuple[str, str | None, int, int, float]]:
        return self._connection.execute(
            "SELECT upload_id, owner, size, open, entered_at FROM accounts WHERE upload_id > ?"
            " ORDER BY upload_id LIMIT ?",
            (last, _BATCH),
        ).fetchall()


def _holder(owner: str | None) -> str:
    return _NOBODY if owner is None else f"owner:{owner}"


def _find(connection: sqlite3.Connection, upload_id: UploadId) -> Account | None:
    row = connection.execute(
        "SELECT owner, size, open FROM accounts WHERE upload_id = ?", (upload_id,)
    ).fetchone()
    if row is None:
        return None
    return Account(upload_id=upload_id, owner=row[0], size=row[1], open=bool(row[2]))


def _held(connection: sqlite3.Connection, holder: str) -> Holding:
    row = connection.execute(
        "SELECT open_uploads, total_bytes, next_at FROM holdings WHERE holder = ?", (holder,)
    ).fetchone()
    if row is None:
        return Holding()
    return Holding(open_uploads=row[0], total_bytes=row[1], next_at=row[2])


def _apply(
    connection: sqlite3.Connection, holder: str, change: Change, quota: Quota, now: float
) -> None:
    held = _held(connection, holder)
    after = change_holding(held, change, quota, now, server=holder == _SERVER)
    if after.open_uploads or after.total_bytes or after.next_at > now:
        connection.execute(
            "INSERT OR REPLACE INTO holdings VALUES (?, ?, ?, ?)",
            (holder, after.open_uploads, after.total_bytes, after.next_at),
        )
    else:
        connection.execute("DELETE FROM holdings WHERE holder = ?", (holder,))
