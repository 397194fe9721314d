"""Threads for file work.

A hop to a thread costs more than a small file operation, for the two threads then pass Python's
interpreter lock to and fro at each system call. So all short work that is asked for within two
turns of the event loop goes to a thread together, and comes back together. Work that takes a
while (a large buffer, a disk that has to sync) goes to other threads at once, one at a time
each, so that it holds up nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# A lane whose current work takes longer than this is left alone by new short work.
_SLOW_S = 0.002

_Job = tuple["asyncio.Future[Any]", Callable[[], Any]]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None, float]

Note = Callable[[float], None]
"""Takes note of how many seconds a piece of work took; called from the event loop."""


class _Outcome(asyncio.Future[T]):
    """What work will return; whoever waits for it cannot leave before.

    The thread cannot be stopped. If a caller that is cancelled went on, it would release its
    claim while the write still runs, and two writers would interleave. A task that waits for a
    future which refuses to be cancelled gets its cancellation when that future is done.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuse."""
        return False


class Lanes:
    """A few threads that run file work for one event loop; implements `FileWork`.

    Args:
        count: how many threads for work that takes a while; one more is for short work, and one
            for what only reads while that one hangs.
    """

    def __init__(self, count: int = 4) -> None:
        self._short = _Lane("tusd-py-files", self._short_is_free)
        self._long = [_Lane(f"tusd-py-files-{n}") for n in range(count)]
        self._spare = _Lane("tusd-py-files-spare")  # never given anything that may write
        self._waiting: list[_Job] = []
        self._waiting_to_read: list[_Job] = []
        self._flush_at: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, short: Note, long: Note) -> None:
        """Have it noted how long work takes."""
        self._short.note = self._spare.note = short
        for lane in self._long:
            lane.note = long

    @property
    def queued_short(self) -> int:
        """How much short work waits or runs."""
        waiting = len(self._waiting) + len(self._waiting_to_read)
        return waiting + self._short.pending + self._spare.pending

    @property
    def queued_long(self) -> int:
        """How much other work waits or runs."""
        return sum(lane.pending for lane in self._long)

    def start(self) -> None:
        """Start the threads now: later there may be no room for more."""
        self._loop = asyncio.get_running_loop()
        for lane in (self._short, self._spare, *self._long):
            lane.start(self._loop)

    def stop(self) -> None:
        """End the threads after what is queued; whoever comes later is served by the loop itself.

        A request that is cancelled so late has still to set its files right, and could not even
        be cancelled while it waits for a thread that is gone.
        """
        self._flush()
        for lane in (self._short, self._spare, *self._long):
            lane.stop()

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short `work` in a thread; see `FileWork`."""
        return await self._soon(self._waiting, lambda: work(*args, **kwargs))

    async def reading(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short `work` that only reads in a thread; see `FileWork`."""
        return await self._soon(self._waiting_to_read, lambda: work(*args, **kwargs))

    async def _soon(self, waiting: list[_Job], work: Callable[[], T]) -> T:
        assert self._loop is not None
        future: _Outcome[T] = _Outcome(loop=self._loop)
        if not self._waiting and not self._waiting_to_read:
            self._flush_soon(self._loop)
        waiting.append((future, work))
        return await future

    async def long(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that takes a while in a thread; see `FileWork`."""
        return await self.join(self.submit(work, *args, **kwargs))

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Start `work` that takes a while; whoever starts it must `join` it."""
        assert self._loop is not None
        future: _Outcome[T] = _Outcome(loop=self._loop)
        self._least_busy().submit([(future, lambda: work(*args, **kwargs))])
        return future

    async def join(self, future: asyncio.Future[T]) -> T:
        """Wait for the end of submitted work, even when the caller is cancelled meanwhile."""
        return await future

    def _flush_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let what is asked for now, and what others ask for until then, go to a thread."""
        if self._short.pending:  # then its results bring this about, unless it takes too long
            self._flush_at = loop.call_later(_SLOW_S, self._flush)
        else:
            self._flush_at = loop.call_soon(self._flush_next_turn)

    def _flush_next_turn(self) -> None:
        """Let those go along whose requests are just being read: each batch has its price."""
        assert self._loop is not None
        if self._flush_at is not None:
            self._flush_at.cancel()
        self._flush_at = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._flush_at is not None:
            self._flush_at.cancel()
        jobs, reads = self._waiting.copy(), self._waiting_to_read.copy()
        self._waiting.clear()
        self._waiting_to_read.clear()
        if not self._short.is_slow():
            if reads or jobs:
                self._short.submit(reads + jobs)
            return
        if reads:
            self._spare.submit(reads)
        if jobs:
            self._least_busy().submit(jobs)

    def _short_is_free(self) -> None:
        # What the results that came back set off is asked for within this turn of the loop.
        assert self._loop is not None
        self._loop.call_soon(self._flush_next_turn)

    def _least_busy(self) -> _Lane:
        return min(self._long, key=lambda lane: lane.pending)


class _Lane:
    def __init__(self, name: str, freed: Callable[[], None] = lambda: None) -> None:
        self._freed = freed
        self._batches: queue.SimpleQueue[Sequence[_Job] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._busy_since: float | None = None
        self._stopped = False
        self.pending = 0
        self.note: Note | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        if self._thread.is_alive():
            self._batches.put(None)
            self._thread.join()

    def is_slow(self) -> bool:
        busy_since = self._busy_since
        return busy_since is not None and time.monotonic() - busy_since > _SLOW_S

    def submit(self, jobs: Sequence[_Job]) -> None:
        self.pending += len(jobs)
        if self._stopped:
            self._run_batch(jobs)
        else:
            self._batches.put(jobs)

    def _run(self) -> None:
        # Each batch has a frame of its own: while the lane waits for the next one, nothing of
        # the last may stay referred to, least of all an open file that nobody took.
        while self._run_batch(self._batches.get()):
            pass

    def _run_batch(self, jobs: Sequence[_Job] | None) -> bool:
        """Run the jobs and bring the results back; return False at the end of all work."""
        if jobs is None:
            return False
        results: list[_Result] = []
        now = begun = self._busy_since = time.monotonic()
        for future, work in jobs:
            value, error = _perform(work)
            then, now = now, time.monotonic()
            results.append((future, value, error, now - then))
            # Nobody shall wait for the slow work of somebody else that happens to come next.
            self._busy_since = now
            if now - begun > _SLOW_S:
                self._bring_back(results)
                results, begun = [], now
        self._busy_since = None
        self._bring_back(results)
        return True

    def _bring_back(self, results: list[_Result]) -> None:
        assert self._loop is not None
        # Once the loop has been closed, nobody is left to hear of it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver, results)

    def _deliver(self, results: list[_Result]) -> None:
        self.pending -= len(results)
        for future, value, error, took_s in results:
            if self.note is not None:
                self.note(took_s)
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        if not self.pending:
            self._freed()


def _perform(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    # The future is not known here: an error keeps this frame, and the future keeps the error.
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
        if error.__suppress_context__:  # nobody is shown it, and its frames lead to our caller's
            error.__context__ = None
        return None, error
