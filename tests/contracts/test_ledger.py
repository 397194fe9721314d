"""What every ledger keeps to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tusd_py.interfaces.quotas import Account, Counts, Ledger
from tusd_py.protocol.errors import (
    InsufficientStorage,
    QuotaExceeded,
    TooManyCreations,
    TooManyUploads,
    TusError,
    UploadExists,
)
from tusd_py.protocol.model import LARGEST_SIZE, UploadId
from tusd_py.protocol.quota import NO_QUOTA, Quota
from tusd_py.quotas.memory import MemoryLedger
from tusd_py.quotas.redis import RedisLedger
from tusd_py.quotas.sqlite import SqliteLedger
from tusd_py.redis_client.address import RedisAddress, RedisOptions

NOW = 1_700_000_000.0
Make = Callable[[], Ledger]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server of one's own."""
    with running_redis() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes ledgers on the same accounts; in memory it is one ledger."""
    match request.param:
        case "memory":
            one = MemoryLedger()
            return lambda: one
        case "sqlite":
            return lambda: SqliteLedger(tmp_path / "x" / "quotas.sqlite")
        case _:
            server: RedisServer = request.getfixturevalue("redis_server")
            server.ask("FLUSHALL")
            return lambda: RedisLedger(RedisOptions(address=RedisAddress(server.url)))


@pytest.fixture
async def ledger(make: Make) -> AsyncIterator[Ledger]:
    """An open, empty ledger."""
    made = make()
    await made.open()
    yield made
    await made.close()


def account(
    name: str = "a", *, owner: str | None = "tom", size: int = 10, is_open: bool = True
) -> Account:
    """What an upload counts for."""
    return Account(upload_id=UploadId(name), owner=owner, size=size, open=is_open)


async def test_sums_follow_the_accounts(ledger: Ledger) -> None:
    """Entered, changed and left; each owner, nobody, and all together."""
    await ledger.enter(account("a"), NOW)
    await ledger.enter(account("b", size=5), NOW)
    await ledger.enter(account("c", owner=None, size=7), NOW)
    await ledger.enter(account("d", owner="", size=1), NOW)
    await ledger.enter(account("e", owner="nobody", size=2), NOW)
    assert await ledger.counts("tom") == Counts(open_uploads=2, total_bytes=15)
    assert await ledger.counts(None) == Counts(open_uploads=1, total_bytes=7)
    assert await ledger.counts("") == Counts(open_uploads=1, total_bytes=1)
    assert await ledger.counts("nobody") == Counts(open_uploads=1, total_bytes=2)
    assert await ledger.server_counts() == Counts(open_uploads=5, total_bytes=25)
    await ledger.enter(account("a", size=12, is_open=False), NOW)
    assert await ledger.counts("tom") == Counts(open_uploads=1, total_bytes=17)
    await ledger.leave(UploadId("a"))
    await ledger.leave(UploadId("a"))
    await ledger.leave(UploadId("unknown"))
    assert await ledger.counts("tom") == Counts(open_uploads=1, total_bytes=5)
    assert await ledger.server_counts() == Counts(open_uploads=4, total_bytes=15)
    for name in "bcde":
        await ledger.leave(UploadId(name))
    assert await ledger.counts("tom") == await ledger.server_counts() == Counts()


async def test_accounts_come_out_as_they_went_in(ledger: Ledger) -> None:
    """With the time when each was new, which a change leaves."""
    owner = "to m\n1 0 nobody 'ö"
    await ledger.enter(account("f/a", owner=owner), NOW)
    await ledger.enter(account("b", owner=None, size=0), NOW + 1)
    await ledger.enter(account("f/a", owner=owner, size=3, is_open=False), NOW + 2)
    found = {one.upload_id: (one, at) async for one, at in ledger.accounts()}
    assert found == {
        "f/a": (account("f/a", owner=owner, size=3, is_open=False), NOW),
        "b": (account("b", owner=None, size=0), NOW + 1),
    }


async def test_many_accounts_are_all_seen(ledger: Ledger) -> None:
    """Also more than fit into one look."""
    names = {f"upload-{number}" for number in range(1500)}
    for name in names:
        await ledger.enter(account(name), NOW)
    assert {one.upload_id async for one, _ in ledger.accounts()} == names


OWNER = Quota(open_uploads=2, total_bytes=100)


@pytest.mark.parametrize(
    ("new", "quotas", "error"),
    [
        (account("c"), {"owner": Quota(open_uploads=2)}, TooManyUploads),
        (account("c", owner="eve"), {"owner": Quota(open_uploads=0)}, TooManyUploads),
        (account("c", owner="eve"), {"server": Quota(open_uploads=2)}, TooManyUploads),
        (account("c", size=81), {"owner": Quota(total_bytes=100)}, QuotaExceeded),
        (account("a", size=91), {"owner": Quota(total_bytes=100)}, QuotaExceeded),
        (account("c", owner="eve"), {"server": Quota(total_bytes=29)}, InsufficientStorage),
        (account("c"), {"owner": Quota(uploads_per_minute=0)}, TooManyCreations),
        (account("c"), {"server": Quota(uploads_per_minute=0)}, TooManyCreations),
        (account("a", owner="eve"), {}, UploadExists),
    ],
)
async def test_what_does_not_fit_in_changes_nothing(
    ledger: Ledger, new: Account, quotas: dict[str, Quota], error: type[TusError]
) -> None:
    """Neither sum, whichever of the two quotas it is."""
    await ledger.enter(account("a"), NOW)
    await ledger.enter(account("b"), NOW)
    before = {one async for one, _ in ledger.accounts()}
    with pytest.raises(error):
        await ledger.enter(new, NOW, **quotas)
    assert {one async for one, _ in ledger.accounts()} == before
    assert await ledger.counts("tom") == Counts(open_uploads=2, total_bytes=20)
    assert await ledger.counts("eve") == Counts()
    assert await ledger.server_counts() == Counts(open_uploads=2, total_bytes=20)


async def test_refusals_say_how_much_is_left(ledger: Ledger) -> None:
    """And never less than nothing."""
    await ledger.enter(account("a", size=90), NOW)
    for limit, left in ((100, 10), (50, 0)):
        with pytest.raises(QuotaExceeded) as refused:
            await ledger.enter(account("b", size=11), NOW, owner=Quota(total_bytes=limit))
        assert refused.value.left == left


async def test_what_does_not_grow_always_fits_in(ledger: Ledger) -> None:
    """A quota that was lowered keeps nobody from finishing, or from taking less."""
    await ledger.enter(account("a"), NOW)
    none = Quota(open_uploads=0, total_bytes=0, uploads_per_minute=0)
    await ledger.enter(account("a", size=9), NOW, owner=none, server=none)
    await ledger.enter(account("a", size=9, is_open=False), NOW, owner=none, server=none)
    assert await ledger.counts("tom") == Counts(total_bytes=9)
    await ledger.leave(UploadId("a"))
    assert await ledger.counts("tom") == Counts()


@pytest.mark.parametrize("whose", ["owner", "server"])
async def test_a_minute_has_so_many_new_uploads(ledger: Ledger, whose: str) -> None:
    """They may come at once; then one more each time that one of them may take on average."""
    quota = {whose: Quota(uploads_per_minute=6)}
    for number in range(6):
        await ledger.enter(account(f"{number}"), NOW, **quota)
    with pytest.raises(TooManyCreations) as refused:
        await ledger.enter(account("x"), NOW + 1, **quota)
    assert refused.value.wait_s == 9
    await ledger.leave(UploadId("0"))  # to remove one is no way around
    with pytest.raises(TooManyCreations):
        await ledger.enter(account("x"), NOW + 9, **quota)
    await ledger.enter(account("x"), NOW + 10, **quota)
    await ledger.enter(account("x", size=11), NOW + 10, **quota)  # it is not new
    with pytest.raises(TooManyCreations):
        await ledger.enter(account("y"), NOW + 10, **quota)
    for number in range(6):
        await ledger.enter(account(f"later-{number}"), NOW + 200, **quota)


async def test_others_have_their_own_minute(ledger: Ledger) -> None:
    """What one owner has used up leaves another what is theirs."""
    quota = Quota(uploads_per_minute=1)
    await ledger.enter(account("a"), NOW, owner=quota)
    with pytest.raises(TooManyCreations):
        await ledger.enter(account("b"), NOW, owner=quota)
    await ledger.enter(account("c", owner="eve"), NOW, owner=quota)
    await ledger.enter(account("d", owner=None), NOW, owner=quota)


async def test_sums_of_the_largest_are_exact(ledger: Ledger) -> None:
    """Beyond what a double can hold (faults A88)."""
    count = 20
    for number in range(count):
        await ledger.enter(account(f"{number}", size=LARGEST_SIZE), NOW)
    total = count * LARGEST_SIZE
    assert await ledger.counts("tom") == Counts(open_uploads=count, total_bytes=total)
    await ledger.leave(UploadId("0"))
    assert (await ledger.counts("tom")).total_bytes == total - LARGEST_SIZE


async def test_a_storm_never_exceeds_a_limit(make: Make) -> None:
    """Two processes, or nodes, at once: as many get in as may, and not one more."""
    ledgers = [make(), make()]
    for ledger in ledgers:
        await ledger.open()
    quota = Quota(open_uploads=7, total_bytes=1000)
    outcomes = await asyncio.gather(
        *(
            ledgers[number % 2].enter(account(f"{number}"), NOW, owner=quota, server=NO_QUOTA)
            for number in range(60)
        ),
        return_exceptions=True,
    )
    assert sum(outcome is None for outcome in outcomes) == 7
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, TooManyUploads) for outcome in refused)
    for ledger in ledgers:
        assert await ledger.counts("tom") == Counts(open_uploads=7, total_bytes=70)
    for ledger in dict.fromkeys(ledgers):
        await ledger.close()


async def test_what_flows_is_shared_in_turns(make: Make) -> None:
    """All who take from a pot get its rate together; who comes to a full one waits for nothing."""
    one, other = make(), make()
    await one.open()
    await other.open()
    assert await one.spend("all", 50, 100, NOW) == 0
    assert await other.spend("all", 100, 100, NOW) == pytest.approx(0.5, abs=1e-5)
    assert await one.spend("all", 100, 100, NOW) == pytest.approx(1.5, abs=1e-5)
    assert await one.spend("another", 1, 100, NOW) == 0
    assert await other.spend("all", 100, 100, NOW + 1) == pytest.approx(1.5, abs=1e-5)
    assert await one.spend("all", 100, 100, NOW + 60) == 0
    for ledger in dict.fromkeys((one, other)):
        await ledger.close()


async def test_a_ledger_outlives_its_process(make: Make) -> None:
    """What was entered is there after it was opened anew."""
    first = make()
    await first.open()
    await first.enter(account("a"), NOW)
    await first.close()
    second = make()
    await second.open()
    assert await second.counts("tom") == Counts(open_uploads=1, total_bytes=10)
    await second.close()
