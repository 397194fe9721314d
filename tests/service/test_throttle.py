"""Bodies come as fast as they may: by a clock that stands still unless somebody waits."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.bodies import ScriptedBody
from tests.support.unread import Lying, taken
from tusd_py.interfaces import BodyEnd
from tusd_py.protocol.errors import StoreUnavailable
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.protocol.quota import Quota
from tusd_py.quotas.memory import MemoryLedger
from tusd_py.service.policy import Bounds
from tusd_py.service.throttle import SLICE_S, Throttle, pause

CHUNK = b"x" * 100
SOON_S = 5.0


class Time:
    """A clock that moves when somebody waits, and by as much."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.began = self.now

    async def wait(self, stopped: asyncio.Event, delay_s: float) -> None:
        self.now += delay_s

    @property
    def passed(self) -> float:
        """How long all have waited."""
        return self.now - self.began


@pytest.fixture
def time() -> Time:
    """It stands still."""
    return Time()


def upload(name: str = "a", **fields: object) -> Upload:
    """An upload to be slowed."""
    return Upload(id=UploadId(name), length=None, **fields)  # type: ignore[arg-type]


def throttle(time: Time, bounds: Bounds, ledger: MemoryLedger | None = None) -> Throttle:
    """A throttle by that clock."""
    return Throttle(bounds, (ledger or MemoryLedger()).spend, lambda: time.now, time.wait)


async def read_all(throttled: Throttle, of: Upload, chunks: int) -> int:
    """Read a body of so many chunks to its end, and return how many bytes came."""
    body = throttled.slowed(of, ScriptedBody(*[CHUNK] * chunks))
    count = 0
    while chunk := await body.read():
        count += len(taken(chunk))
    assert body.end is BodyEnd.COMPLETE
    return count


def test_without_a_rate_a_body_stays_as_it_is(time: Time) -> None:
    """Nothing is wrapped, so nothing is paid."""
    body = ScriptedBody()
    assert throttle(time, Bounds(owner=Quota(open_uploads=1))).slowed(upload(), body) is body


RATES = {
    "of the server": (Bounds(server=Quota(bytes_per_second=100)), upload()),
    "of owners": (Bounds(owner=Quota(bytes_per_second=100)), upload(owner="anna")),
    "of nobody": (Bounds(owner=Quota(bytes_per_second=100)), upload()),
    "of uploads": (Bounds(upload_bytes_per_second=100), upload()),
    "granted to an owner": (Bounds(), upload(quota=Quota(bytes_per_second=100))),
    "granted to an upload": (Bounds(upload_bytes_per_second=1), upload(bytes_per_second=100)),
    "the lowest": (
        Bounds(server=Quota(bytes_per_second=900), owner=Quota(bytes_per_second=100)),
        upload(),
    ),
}


@pytest.mark.parametrize(("bounds", "of"), RATES.values(), ids=RATES)
async def test_a_body_takes_its_time(time: Time, bounds: Bounds, of: Upload) -> None:
    """As many seconds as its bytes need at the rate, but for the first and the last slice."""
    assert await read_all(throttle(time, bounds), of, 60) == 6000
    assert 58 <= time.passed <= 60


async def test_many_small_bodies_are_as_slow_as_one(time: Time) -> None:
    """What one of them owes, the next one waits for."""
    throttled = throttle(time, Bounds(upload_bytes_per_second=100))
    for _ in range(60):
        await read_all(throttled, upload(), 1)
    assert 58 <= time.passed <= 60


async def test_a_body_that_ends_early_leaves_its_debt(time: Time) -> None:
    """Whoever comes again and again and reads one chunk gets nothing for it."""
    throttled = throttle(time, Bounds(upload_bytes_per_second=100))
    for _ in range(60):
        await throttled.slowed(upload(), ScriptedBody(CHUNK, end=None)).read()
    assert 58 <= time.passed <= 60


async def test_what_is_unread_counts_once_it_has_been_taken(time: Time) -> None:
    """As much as it was, however much it might have been."""
    chunks = [Lying(CHUNK, most=50 * len(CHUNK)) for _ in range(11)]
    throttled = throttle(time, Bounds(upload_bytes_per_second=len(CHUNK)))
    body = throttled.slowed(upload(), ScriptedBody(*chunks))
    for _ in range(11):
        assert taken(await body.read()) == CHUNK
    assert 9 <= time.passed <= 11


async def test_owners_share_a_rate_and_others_have_their_own(time: Time) -> None:
    """Two uploads of one owner take twice as long; that of another takes no more."""
    throttled = throttle(time, Bounds(owner=Quota(bytes_per_second=100)))
    bodies = [
        throttled.slowed(upload(name, owner=owner), ScriptedBody(*[CHUNK] * 10))
        for name, owner in (("a", "anna"), ("b", "anna"), ("c", "berta"))
    ]
    for _ in range(10):
        for body in bodies:
            assert await body.read()
    assert 17 <= time.passed <= 20  # one chunk of each body is there at once


async def test_two_processes_share_a_rate(time: Time) -> None:
    """By what both of them take their slices from."""
    ledger, bounds = MemoryLedger(), Bounds(server=Quota(bytes_per_second=1000))
    throttles = [throttle(time, bounds, ledger) for _ in range(2)]
    bodies = [throttled.slowed(upload(), ScriptedBody(*[CHUNK] * 100)) for throttled in throttles]
    for _ in range(100):
        for body in bodies:
            assert await body.read()
    assert 18 <= time.passed <= 20


async def test_the_shared_rate_is_asked_for_in_slices(time: Time) -> None:
    """Not for every chunk."""
    asked: list[int] = []

    async def spend(pot: str, count: int, rate: int, now: float) -> float:
        asked.append(count)
        return 0.0

    bounds = Bounds(server=Quota(bytes_per_second=100_000))
    throttled = Throttle(bounds, spend, lambda: time.now, time.wait)
    assert await read_all(throttled, upload(), 1000) == 100_000
    assert asked == [0, *[int(100_000 * SLICE_S)] * 4]


async def test_without_the_others_everybody_has_the_rate(time: Time) -> None:
    """What is shared cannot be reached: the body goes on, no faster."""

    async def spend(pot: str, count: int, rate: int, now: float) -> float:
        raise StoreUnavailable

    bounds = Bounds(server=Quota(bytes_per_second=100))
    throttled = Throttle(bounds, spend, lambda: time.now, time.wait)
    assert await read_all(throttled, upload(), 60) == 6000
    assert 58 <= time.passed <= 61


async def test_who_waits_is_woken_by_a_stop() -> None:
    """A body that is to leave does so at once, and loses nothing that has come."""
    throttled = Throttle(
        Bounds(upload_bytes_per_second=1), MemoryLedger().spend, lambda: 1000.0, pause
    )
    inner = ScriptedBody(CHUNK, b"rest", end=None)
    body = throttled.slowed(upload(), inner)
    assert await body.read() == CHUNK
    reading = asyncio.create_task(body.read())
    await asyncio.sleep(0)
    body.stop(BodyEnd.TAKEN_OVER)
    async with asyncio.timeout(SOON_S):
        assert await reading == b"rest"
        assert await body.read() == b""
    assert body.end is BodyEnd.TAKEN_OVER
