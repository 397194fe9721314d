"""What every history keeps to."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tusd_py.interfaces.history import MINUTE_S, Batch, History, Minutes, Period
from tusd_py.protocol.errors import StoreUnavailable
from tusd_py.redis_client.address import RedisAddress, RedisOptions
from tusd_py.telemetry.history_memory import MemoryHistory
from tusd_py.telemetry.history_redis import RedisHistory
from tusd_py.telemetry.history_sqlite import SqliteHistory

# In the middle of a minute, and of the steps of the other periods.
HOUR = 1_700_002_800
MINUTE = HOUR + 27 * MINUTE_S
NOW = MINUTE + 30.5


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server of one's own."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """An open, empty history."""
    made: History = MemoryHistory()
    if request.param == "sqlite":
        made = SqliteHistory(tmp_path / "x" / "history.sqlite")
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.ask("FLUSHALL")
        made = RedisHistory(RedisOptions(address=RedisAddress(server.url)))
    await made.open()
    yield made
    await made.close()


async def add(history: History, minutes: Minutes, now: float = NOW) -> None:
    """Add what is news."""
    await history.add(Batch(minutes=minutes), now)


async def test_an_empty_history_has_nothing(history: History) -> None:
    """For no period."""
    assert [await history.read(period, NOW) for period in Period] == [{}, {}, {}]
    assert await history.board(NOW) == []


async def test_counts_add_up_in_the_steps_of_each_period(history: History) -> None:
    """Those of one minute, of ten, and of an hour."""
    await add(history, {MINUTE: {"created": 1, "bytes": 10**15}})
    await add(history, {MINUTE: {"created": 2, "finished": 1}, MINUTE - 60: {"created": 4}})
    assert await history.read(Period.HOUR, NOW) == {
        MINUTE: {"created": 3, "bytes": 10**15, "finished": 1},
        MINUTE - 60: {"created": 4},
    }
    together = {"created": 7, "bytes": 10**15, "finished": 1}
    assert await history.read(Period.DAY, NOW) == {HOUR + 1200: together}
    assert await history.read(Period.WEEK, NOW) == {HOUR: together}


async def test_a_batch_counts_once_however_often_it_is_added(history: History) -> None:
    """Whoever got no answer may send it again."""
    batch = Batch(minutes={MINUTE: {"created": 1}})
    for _ in range(3):
        await history.add(batch, NOW)
    await add(history, batch.minutes)
    assert await history.read(Period.HOUR, NOW) == {MINUTE: {"created": 2}}


async def test_what_many_add_at_once_is_all_there(history: History) -> None:
    """None of it is lost between reading and writing a sum."""
    await asyncio.gather(*[add(history, {MINUTE: {"created": 1, f"n{i}": 1}}) for i in range(50)])
    kept = await history.read(Period.HOUR, NOW)
    assert kept[MINUTE]["created"] == 50
    assert len(kept[MINUTE]) == 51


@pytest.mark.parametrize("period", list(Period))
async def test_a_period_is_so_many_steps_up_to_now(history: History, period: Period) -> None:
    """The present one is the last, and what was before the first is not there."""
    first = period.first_of(NOW)
    assert period.start_of(NOW) == first + (period.steps - 1) * period.step_s
    assert NOW - first <= period.steps * period.step_s
    await add(history, {first: {"in": 1}, first - MINUTE_S: {"out": 1}})
    kept = await history.read(period, NOW)
    assert kept == {first: {"in": 1}}


async def test_a_board_has_the_last_notice_of_each_process(history: History) -> None:
    """As long as it is of use."""
    await history.post("a", "one", until=NOW + 1)
    await history.post("b", "two words\nand lines", until=NOW + 3)
    assert sorted(await history.board(NOW)) == ["one", "two words\nand lines"]
    await history.post("a", "three", until=NOW + 2)
    assert sorted(await history.board(NOW + 1)) == ["three", "two words\nand lines"]
    assert await history.board(NOW + 2) == ["two words\nand lines"]
    assert await history.board(NOW + 3) == []


async def test_sqlite_is_shared_and_survives_a_restart(tmp_path: Path) -> None:
    """Two workers add to the same counts; only their owner can read the file."""
    path = tmp_path / "history.sqlite"
    one, two = SqliteHistory(path), SqliteHistory(path)
    for history in (one, two):
        await history.open()
        await add(history, {MINUTE: {"created": 1}})
    for history in (one, two):
        assert await history.read(Period.WEEK, NOW) == {HOUR: {"created": 2}}
        await history.close()
    assert path.stat().st_mode & 0o077 == 0
    again = SqliteHistory(path)
    await again.open()
    assert await again.read(Period.HOUR, NOW) == {MINUTE: {"created": 2}}
    await again.close()


async def test_sqlite_forgets_what_nobody_can_ask_for(tmp_path: Path) -> None:
    """Minutes after an hour, hours after a week; so the file stays small."""
    path = tmp_path / "history.sqlite"
    history = SqliteHistory(path)
    await history.open()
    await add(history, {MINUTE: {"created": 1}})
    await history.post("a", "x", until=NOW)
    week = Period.WEEK.step_s * Period.WEEK.steps
    await add(history, {MINUTE + week: {"created": 1}}, NOW + week)
    await history.close()
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT step_s, start FROM counts ORDER BY step_s").fetchall()
    (notices,) = connection.execute("SELECT COUNT(*) FROM board").fetchone()
    (batches,) = connection.execute("SELECT COUNT(*) FROM batches").fetchone()
    connection.close()
    starts = [(p.step_s, p.start_of(MINUTE + week)) for p in Period]
    assert rows == starts
    assert (notices, batches) == (0, 1)


async def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """There are no statistics of before, but there are of what comes; nothing is deleted."""
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"no database at all" * 1000)
    history = SqliteHistory(path)
    await history.open()
    await add(history, {MINUTE: {"created": 1}})
    assert await history.read(Period.HOUR, NOW) == {MINUTE: {"created": 1}}
    await history.close()
    assert path.with_name("history.sqlite.damaged").read_bytes().startswith(b"no database")


async def test_a_place_where_no_file_can_be_is_an_error(tmp_path: Path) -> None:
    """Told as such, and once it can be, the history works."""
    (tmp_path / "x").write_bytes(b"")
    history = SqliteHistory(tmp_path / "x" / "history.sqlite")
    with pytest.raises(StoreUnavailable):
        await history.open()
    with pytest.raises(StoreUnavailable):
        await add(history, {MINUTE: {"created": 1}})
    (tmp_path / "x").unlink()
    await add(history, {MINUTE: {"created": 1}})
    assert await history.read(Period.HOUR, NOW) == {MINUTE: {"created": 1}}
    await history.close()


async def test_redis_forgets_by_itself(redis_server: RedisServer) -> None:
    """Every key has its end, and none is kept longer than its period."""
    redis_server.ask("FLUSHALL")
    history = RedisHistory(RedisOptions(address=RedisAddress(redis_server.url)))
    await history.open()
    await add(history, {MINUTE: {"created": 1}, MINUTE - 10**6: {"created": 1}})
    await history.post("a", "x", until=NOW)
    await history.close()
    keys = redis_server.ask("KEYS", "*")
    assert len([key for key in keys if ":counts:" in str(key)]) >= 3
    for key in keys:
        assert 0 < int(redis_server.ask("TTL", key)) <= 168 * 3600
