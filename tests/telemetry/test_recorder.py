"""What happens becomes history, exactly, whatever the history does."""

from __future__ import annotations

from dataclasses import replace

from tusd_py.interfaces import HookType
from tusd_py.interfaces.history import Batch, Counts, Period
from tusd_py.interfaces.occurrences import (
    Answered,
    BodyBegun,
    BodyEnded,
    Created,
    Expired,
    Finished,
    HookCalled,
    Terminated,
)
from tusd_py.protocol.errors import StoreUnavailable
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.service.statistics import Statistics
from tusd_py.telemetry.history_memory import MemoryHistory
from tusd_py.telemetry.recorder import Recorder
from tusd_py.telemetry.several import observe_all

NOW = 1_700_002_830.0
MINUTE = 1_700_002_800
FRESH = Upload(id=UploadId("a" * 32), length=10)
HALF = replace(FRESH, offset=4)
WHOLE = replace(FRESH, offset=10)
DONE = replace(WHOLE, finished=True)


class House:
    """A recorder, its history and their clock."""

    def __init__(self, history: MemoryHistory | None = None) -> None:
        self.now = NOW
        self.history = history or MemoryHistory()
        self.recorder = Recorder(self.history, clock=lambda: self.now, most_minutes=3)

    def body(self, before: Upload, after: Upload, cause: str | None = None) -> None:
        """All of a body."""
        count = after.offset - before.offset
        observe_all(self.recorder.notes)(BodyBegun(upload=before, received=lambda: count))
        observe_all(self.recorder.notes)(
            BodyEnded(upload=after, received=count, duration_s=1.0, cause=cause)
        )

    async def sums(self) -> Counts:
        """What the history has of the last hour."""
        assert await self.recorder.flush()
        found = await self.history.read(Period.HOUR, self.now)
        return Statistics.of(Period.HOUR, found, self.now).sums


class SulkingHistory(MemoryHistory):
    """Fails as often as it is told to, after it has added what it was given or before."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self.sulks = 0
        self._after = after

    async def add(self, batch: Batch, now: float) -> None:
        if self._after or not self.sulks:
            await super().add(batch, now)
        if self.sulks:
            self.sulks -= 1
            raise StoreUnavailable


async def test_the_life_of_an_upload_is_counted() -> None:
    """Its size and duration, too, when it is finished."""
    house = House()
    observe_all(house.recorder.notes)(Created(upload=FRESH))
    house.body(FRESH, WHOLE)
    observe_all(house.recorder.notes)(Finished(upload=DONE, duration_s=2.5))
    assert await house.sums() == {
        "created": 1,
        "bodies": 1,
        "bytes": 10,
        "finished": 1,
        "size:0": 1,
        "size-sum": 10,
        "duration:1": 1,
        "duration-sum-ms": 2500,
    }


async def test_ways_to_disappear_are_told_apart() -> None:
    """Cancelled and expired are failures; deleted and retired are not."""
    house = House()
    for upload in (HALF, DONE):
        observe_all(house.recorder.notes)(Terminated(upload=upload))
        observe_all(house.recorder.notes)(Expired(upload=upload))
    assert await house.sums() == {"cancelled": 1, "deleted": 1, "expired": 1, "retired": 1}


async def test_the_next_piece_is_no_resumption() -> None:
    """What goes on after an interruption is, and so is what went on elsewhere before."""
    house = House()
    house.body(FRESH, replace(FRESH, offset=2))
    house.body(replace(FRESH, offset=2), HALF, "ERR_UNEXPECTED_EOF")
    sums = await house.sums()
    assert "resumed" not in sums
    assert sums["interrupted:ERR_UNEXPECTED_EOF"] == 1
    house.body(HALF, WHOLE)
    assert (await house.sums())["resumed"] == 1
    house.body(replace(HALF, id=UploadId("b")), replace(WHOLE, id=UploadId("b")))
    assert (await house.sums())["resumed"] == 2


async def test_refusals_and_failing_hooks_are_counted_by_cause() -> None:
    """Whatever is answered is a request; a hook that refuses has not failed."""
    house = House()
    fine = Answered(
        method="POST",
        path="/",
        status=201,
        code=None,
        duration_s=0.1,
        request_id=None,
        upload_id=None,
        offset=None,
        stored=None,
        received=0,
        first_byte_s=None,
    )
    observe_all(house.recorder.notes)(fine)
    observe_all(house.recorder.notes)(replace(fine, status=413, code="ERR_MAX_SIZE_EXCEEDED"))
    called = HookCalled(type=HookType.POST_FINISH, receiver="r", duration_s=1, error=None)
    observe_all(house.recorder.notes)(called)
    observe_all(house.recorder.notes)(replace(called, error="no"))
    assert await house.sums() == {
        "requests": 2,
        "refused:ERR_MAX_SIZE_EXCEEDED": 1,
        "hook-errors:post-finish": 1,
    }


async def test_bytes_count_in_the_minute_in_which_they_come() -> None:
    """Not all at once at the end of a body that takes hours; and each of them once."""
    house, received = House(), [3]
    observe_all(house.recorder.notes)(BodyBegun(upload=FRESH, received=lambda: received[0]))
    await house.recorder.flush()
    house.now += 60
    received[0] = 7
    await house.recorder.flush()
    await house.recorder.flush()
    observe_all(house.recorder.notes)(
        BodyEnded(upload=WHOLE, received=10, duration_s=70, cause=None)
    )
    assert (await house.sums())["bytes"] == 10
    kept = await house.history.read(Period.HOUR, house.now)
    assert {start: counts["bytes"] for start, counts in kept.items()} == {
        MINUTE: 3,
        MINUTE + 60: 7,
    }


async def test_a_history_that_fails_loses_and_doubles_nothing() -> None:
    """Whether it had added what it was given or not."""
    for after in (True, False):
        history = SulkingHistory(after=after)
        house = House(history)
        history.sulks = 2
        for _ in range(3):
            observe_all(house.recorder.notes)(Created(upload=FRESH))
            await house.recorder.flush()
        assert await house.sums() == {"created": 3}


async def test_no_more_than_so_many_minutes_wait() -> None:
    """The oldest are lost, and that is counted."""
    history = SulkingHistory(after=False)
    house = House(history)
    history.sulks = 1
    observe_all(house.recorder.notes)(Created(upload=FRESH))
    assert not await house.recorder.flush()
    for _ in range(5):
        house.now += 60
        observe_all(house.recorder.notes)(Created(upload=FRESH))
    assert await house.sums() == {"created": 4, "lost": 2}


async def test_the_rest_is_written_down_at_the_end() -> None:
    """Who closes it loses nothing."""
    house = House()
    observe_all(house.recorder.notes)(Created(upload=FRESH))
    await house.recorder.close()
    assert await house.history.read(Period.HOUR, NOW) == {MINUTE: {"created": 1}}
