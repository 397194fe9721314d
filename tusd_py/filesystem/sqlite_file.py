"""A SQLite file, used from one thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..protocol.errors import InsufficientStorage, StoreUnavailable

_BUSY_TIMEOUT_S = 5.0

_T = TypeVar("_T")


class SqliteFile:
    """Runs work on a file in its thread, so that calls neither block the loop nor each other.

    Args:
        path: of the file, on a local disk; its folder is made if missing.
        name: of the thread.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._connections: list[sqlite3.Connection] = []

    async def open(self, connect: Callable[[], None]) -> None:
        """Start the thread, and have it call `connect`, which makes the connections.

        Raises:
            StoreUnavailable, InsufficientStorage
        """
        self._thread = ThreadPoolExecutor(1, self._name)
        await self.run(self._make_file)
        await self.run(connect)

    async def close(self) -> None:
        """Close all connections, and end the thread."""
        if self._thread is not None:
            await self.run(self._disconnect)
            self._thread.shutdown()
            self._thread = None

    def connect(self, synchronous: str) -> sqlite3.Connection:
        """Return a new connection; to be called in the thread."""
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        self._connections.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do the work in the thread, to its end even if the caller is cancelled.

        Raises:
            StoreUnavailable, InsufficientStorage
        """
        assert self._thread is not None, "not open"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise InsufficientStorage from error
            raise StoreUnavailable from error

    def _make_file(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # it holds what clients sent

    def _disconnect(self) -> None:
        while self._connections:
            self._connections.pop().close()


@contextlib.contextmanager
def changing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Make all changes of the context one step."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
