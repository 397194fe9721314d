"""A history in one SQLite file, shared by the processes of one machine.

Nothing of it is worth waiting for a disk: after a power cut the last commits may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..interfaces.history import Batch, Counts, Period, steps_of
from ..protocol.errors import InsufficientStorage, StoreUnavailable

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (
    step_s INTEGER NOT NULL,
    start INTEGER NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (step_s, start, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, added_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS board (
    process TEXT PRIMARY KEY, notice TEXT NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
"""
_BUSY_TIMEOUT_S = 5.0
_BATCHES_KNOWN_S = 600.0
# What these say of a file does not change by waiting.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_T = TypeVar("_T")


class SqliteHistory:
    """Implements `History` in a SQLite file.

    A damaged file is put aside, and a new one begun: uploads are worth more than statistics.

    Args:
        path: of the file, on a local disk; its folder is made if missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        # One thread, so that SQLite's calls neither block the loop nor get in each other's way.
        self._thread = self._thread or ThreadPoolExecutor(1, "history")
        await self._run(lambda _: None)

    async def close(self) -> None:
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
            self._thread.shutdown()
            self._thread = None

    async def add(self, batch: Batch, now: float) -> None:
        rows = [
            (period.step_s, start, name, count)
            for period in Period
            for start, counts in steps_of(batch.minutes, period).items()
            for name, count in counts.items()
        ]

        def insert(connection: sqlite3.Connection) -> None:
            with _changing(connection):
                if not _is_new(connection, batch.id, now):
                    return
                connection.executemany(
                    "INSERT INTO counts VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET count = count + excluded.count",
                    rows,
                )
                _forget_old(connection, now)

        await self._run(insert)

    async def read(self, period: Period, now: float) -> Mapping[int, Counts]:
        def select(connection: sqlite3.Connection) -> list[tuple[int, str, int]]:
            return connection.execute(
                "SELECT start, name, count FROM counts WHERE step_s = ? AND start >= ?",
                (period.step_s, period.first_of(now)),
            ).fetchall()

        steps: dict[int, dict[str, int]] = {}
        for start, name, count in await self._run(select):
            steps.setdefault(start, {})[name] = count
        return steps

    async def post(self, process: str, notice: str, *, until: float) -> None:
        def replace(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO board VALUES (?, ?, ?)", (process, notice, until)
            )

        await self._run(replace)

    async def board(self, now: float) -> Sequence[str]:
        def select(connection: sqlite3.Connection) -> list[tuple[str]]:
            return connection.execute(
                "SELECT notice FROM board WHERE until > ? ORDER BY process", (now,)
            ).fetchall()

        return [notice for (notice,) in await self._run(select)]

    # --- in the thread

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do the work in the thread, to its end even if the caller is cancelled."""
        if self._thread is None:
            raise StoreUnavailable
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)
        except (sqlite3.Error, OSError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise InsufficientStorage from error
            raise StoreUnavailable from error

    def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) not in _DAMAGED:
                raise
            _log.warning("HistoryDamaged", extra={"path": str(self._path)})
            self._put_aside()
            self._connection = self._connect()
            return work(self._connection)

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
            # Opened and used in the one thread there is; closed there, too.
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _put_aside(self) -> None:
        self._disconnect()
        for end in ("-wal", "-shm"):
            Path(f"{self._path}{end}").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._path, f"{self._path}.damaged")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def _changing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_new(connection: sqlite3.Connection, batch_id: str, now: float) -> bool:
    inserted = connection.execute("INSERT OR IGNORE INTO batches VALUES (?, ?)", (batch_id, now))
    return inserted.rowcount == 1


def _forget_old(connection: sqlite3.Connection, now: float) -> None:
    for period in Period:
        connection.execute(
            "DELETE FROM counts WHERE step_s = ? AND start < ?",
            (period.step_s, period.first_of(now)),
        )
    connection.execute("DELETE FROM batches WHERE added_at < ?", (now - _BATCHES_KNOWN_S,))
    connection.execute("DELETE FROM board WHERE until <= ?", (now,))
