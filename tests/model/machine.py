"""What clients, the clock and crashes may do to a service, in any order; `Model` says what follows.

No draw depends on what came of the ones before: uploads are named by any number, taken modulo
how many there are. So the same draws are the same test, even where threads make runs differ.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
import traceback
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import BodyEnd, Durability
from tusd_py.protocol.model import UploadId

from .driver import STRANGER, Driver, Place
from .history import check
from .model import OK, Entry, Model, Sent

OWNER: Final = "owner"
# Large enough to leave the short lane, and to be held back until a hop is full.
UNITS: Final = (1, 1, 1, 40_000)

anything = st.integers(0, 1 << 16)
units = st.integers(0, 4)
lengths = st.none() | st.integers(0, 8)
framed = st.booleans()
checksums = st.sampled_from([None, None, True, False])
cuts = st.sampled_from([False, False, True])
# An operation of the concurrent rule: what, how much, after how many turns of the loop it begins,
# and after how many more it is cancelled.
racing = st.tuples(
    st.sampled_from(["append", "append", "silent", "head", "delete", "get", "stop"]),
    units,
    st.integers(0, 6),
    st.none() | st.integers(0, 12),
)


class StoreMachine(RuleBasedStateMachine):
    """One example: a service that is new, and what happens to it."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._model = Model()
        self._driver: Driver | None = None
        self._names: list[str] = []
        self._tags = itertools.count(1)

    @initialize(seed=anything)
    def begin(self, seed: int) -> None:
        """Start the service."""
        self._driver = Driver(self._place, seed)
        self._driver.now = self._model.now

    def teardown(self) -> None:
        """Compare everything once more."""
        if self._driver is None:
            return
        if not self._place.seeded and sys.exc_info()[0] is not None:
            traceback.print_exc()  # Hypothesis may not see it a second time
        try:
            for name in self._names:
                self._compare(name)
            assert check(self.driver.history) == []
        finally:
            self._driver.close()

    @property
    def driver(self) -> Driver:
        """The service."""
        assert self._driver is not None
        return self._driver

    # --- one client at a time

    @rule(
        length=lengths,
        unit=st.sampled_from(UNITS),
        partial=st.booleans(),
        body=st.none() | units,
        framed=framed,
        checksum=checksums,
        cut=cuts,
    )
    def create(self, **drawn: Any) -> None:
        """POST, with bytes or without."""
        unit, length, body = drawn["unit"], drawn["length"], drawn["body"]
        kind = "partial" if drawn["partial"] else "whole"
        entry = Entry(owner=OWNER, length=None if length is None else length * unit, kind=kind)
        sent = None
        if body is not None:
            sent = self._sent(body * unit, drawn["framed"], drawn["checksum"], drawn["cut"])
        got = self._run(self.driver.create(OWNER, entry.length, kind, sent, ()))
        self._agree(got, self._model.create(self.driver.last_id, entry, sent))
        self._created()

    @rule(which=st.lists(anything, min_size=1, max_size=3), whose=st.sampled_from([OWNER] * 4))
    def concatenate(self, which: list[int], whose: str) -> None:
        """POST of a final upload, of partial uploads mostly."""
        parts = [name for name in self._names if self._is_partial(name)] or self._names
        chosen = tuple(parts[number % len(parts)] for number in which) if parts else ("no-such",)
        got = self._run(self.driver.create(whose, None, "final", None, chosen))
        self._run(self.driver.idle())
        self._agree(got, self._model.create_final(self.driver.last_id, whose, chosen))
        self._created()

    @rule(
        which=anything,
        body=units,
        unit=st.sampled_from(UNITS),
        shift=st.sampled_from([0, 0, 0, 0, -1, 1]),
        framed=framed,
        checksum=checksums,
        cut=cuts,
        declare=st.sampled_from([None, None, None, 0, 1, -1]),
    )
    def append(self, which: int, **drawn: Any) -> None:
        """PATCH, often at the right offset; `declare` is relative to what it would be then."""
        name, entry = self._pick(which)
        size = drawn["body"] * drawn["unit"]
        sent = self._sent(size, drawn["framed"], drawn["checksum"], drawn["cut"])
        offset = max(0, entry.offset + drawn["shift"])
        declare = drawn["declare"]
        declared = None if declare is None else max(0, entry.offset + size + declare)
        got = self._run(self.driver.append(name, OWNER, offset, sent, declared=declared))
        self._agree(got, self._model.append(name, OWNER, offset, sent, declared))
        self._run(self.driver.idle())
        self._compare(name)

    @rule(which=anything)
    def finish(self, which: int) -> None:
        """PATCH of all that is missing, so that enough uploads become complete."""
        name, entry = self._pick(which)
        missing = 0 if entry.length is None else entry.room
        sent = self._sent(missing, framed=True, checksum=None, cut=False)
        got = self._run(self.driver.append(name, OWNER, entry.offset, sent, declared=entry.length))
        expected = self._model.append(name, OWNER, entry.offset, sent, entry.length)
        self._agree(got, expected)
        self._run(self.driver.idle())
        self._compare(name)

    @rule(which=anything)
    def fetch(self, which: int) -> None:
        """GET."""
        name, _ = self._pick(which)
        self._agree(self._run(self.driver.fetch(name, OWNER)), self._model.fetch(name, OWNER))

    @rule(which=anything)
    def terminate(self, which: int) -> None:
        """DELETE."""
        name, _ = self._pick(which)
        got = self._run(self.driver.terminate(name, OWNER))
        self._agree(got, self._model.terminate(name, OWNER))
        self._compare(name)

    @rule(which=anything)
    def pry(self, which: int) -> None:
        """To somebody else it looks as if nothing were there, whatever he tries."""
        name, entry = self._pick(which)
        sent = self._sent(1, framed=True, checksum=None, cut=False)
        driver, offset = self.driver, entry.offset
        for operation in (
            driver.inspect(name, STRANGER),
            driver.fetch(name, STRANGER),
            driver.append(name, STRANGER, offset, sent),
            driver.terminate(name, STRANGER),
            driver.create(STRANGER, None, "final", None, (name,)),
        ):
            self._agree(self._run(operation), "UploadNotFound")
        self._compare(name)

    # --- time and crashes

    @rule(seconds=st.sampled_from([1, 30, 70, 130]), sweep=st.booleans())
    def wait(self, seconds: int, *, sweep: bool) -> None:
        """Time passes; perhaps the janitor comes."""
        self._model.now += seconds
        self.driver.now = self._model.now
        if sweep:
            self._run(self.driver.sweep())
            self._model.sweep()
            self._model.join()
        for name in self._names:
            self._compare(name)

    @rule(reboot=st.booleans())
    def restart(self, *, reboot: bool) -> None:
        """The service ends and comes back; all that was told still holds.

        After a reboot only what was promised to be on disk has to be there.
        """
        self.driver.restart(reboot=reboot)
        self._model.sweep()
        self._model.join()
        for name, entry in list(self._model.uploads.items()):
            sure = self._place.durability is Durability.ACK or entry.finished
            if reboot and not sure:
                self.driver.note_cut(name, 0)
                self._adopt(name)
            elif reboot and self._place.redis is not None:
                # What is rebuilt from files goes by their times, which are not ours.
                self._run(self.driver.inspect(name, OWNER))
                record = self._run(self.driver.offsets.get(UploadId(name)))
                entry.expires_at = record.expires_at
        for name in self._names:
            self._compare(name)

    # --- several clients at once

    @rule(which=anything, operations=st.lists(racing, min_size=2, max_size=4))
    def race(self, which: int, operations: list[tuple[str, int, int, int | None]]) -> None:
        """Several requests for one upload at the same time; some of them are cancelled."""
        name, entry = self._pick(which)
        self._run(self._race(name, entry, operations))
        swept = self._model.expired() if any(what == "stop" for what, *_ in operations) else []
        for one in dict.fromkeys([name, *swept]):
            self._adopt(one)
        self._model.join()
        self._compare(name)

    async def _race(
        self, name: str, entry: Entry, operations: list[tuple[str, int, int, int | None]]
    ) -> None:
        silent: list[ScriptedBody] = []
        async with asyncio.TaskGroup() as group:
            for what, size, pause, patience in operations:
                await _turns(pause)
                work = self._racer(what, name, entry.offset, size, silent)
                group.create_task(cancelled_after(patience, work))
            await _turns(20)
            for body in silent:
                body.stop(BodyEnd.DISCONNECTED)
        await self.driver.idle()

    def _racer(
        self, what: str, name: str, offset: int, size: int, silent: list[ScriptedBody]
    ) -> Any:
        driver = self.driver
        sent = self._sent(max(1, size), framed=False, checksum=None, cut=False)
        match what:
            case "append":
                return driver.append(name, OWNER, offset, sent)
            case "silent":  # its client sends something, and then nothing for a long time
                body = ScriptedBody(sent.data, end=None)
                silent.append(body)
                return driver.append(name, OWNER, offset, sent, body=body)
            case "delete":
                return driver.terminate(name, OWNER)
            case "get":
                return driver.fetch(name, OWNER)
            case "stop":
                return driver.sweep()
            case _:
                return driver.inspect(name, OWNER)

    # --- what all rules need

    def _run(self, work: Any) -> Any:
        return self.driver.run(work)

    def _sent(self, size: int, framed: bool, checksum: bool | None, cut: bool) -> Sent:  # noqa: FBT001
        # No two bodies have a byte sequence in common, so that a mixture shows.
        data = hashlib.shake_128(str(next(self._tags)).encode()).digest(size)
        announced = size + cut if framed else None
        return Sent(data=data, announced=announced, checksum=checksum, cut=cut)

    def _pick(self, which: int) -> tuple[str, Entry]:
        if not self._names:
            return "no-such-upload", Entry(owner=OWNER, length=None)
        name = self._names[which % len(self._names)]
        return name, self._model.uploads.get(name, Entry(owner=OWNER, length=None))

    def _is_partial(self, name: str) -> bool:
        entry = self._model.uploads.get(name)
        return entry is not None and entry.kind == "partial"

    def _agree(self, got: str, expected: str) -> None:
        assert got == expected, f"the service says {got}, the model {expected}"

    def _created(self) -> None:
        name = self.driver.last_id
        self._names.append(name)
        self._compare(name)

    def _compare(self, name: str) -> None:
        """The upload is as the model has it: record and bytes."""
        expected = self._model.inspect(name, OWNER)
        self._agree(self._run(self.driver.inspect(name, OWNER)), expected)
        self._run(self.driver.idle())
        if expected != OK:
            return
        entry = self._model.uploads[name]
        record = self._run(self.driver.stored(name))
        stored = bytes(self.driver.history[-1].result["data"])  # type: ignore[index]
        assert stored == entry.content
        assert (record.offset, record.finished) == (entry.offset, entry.finished)
        assert record.expires_at == entry.expires_at
        if entry.kind != "final":
            assert record.length == entry.length

    def _adopt(self, name: str) -> None:
        """Nobody can know what came of it: ask, see that it can be, and go on from there."""
        got = self._run(self.driver.inspect(name, OWNER))
        entry = self._model.uploads.get(name)
        if got != OK or entry is None:
            assert got in {"UploadNotFound", "UploadExpired"}
            if got == "UploadNotFound":
                self._model.uploads.pop(name, None)
        else:
            record = self._run(self.driver.stored(name))
            entry.content = bytes(self.driver.history[-1].result["data"])  # type: ignore[index]
            entry.finished = record.finished
            entry.expires_at = record.expires_at
            entry.length = record.length
        one = [event for event in self.driver.history if event.id == name]
        assert check(one) == []


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(turns: int | None, work: Any) -> None:
    """Do the work; cancel it after so many turns of the loop."""
    task = asyncio.ensure_future(work)
    if turns is not None:
        await _turns(turns)
        task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
