"""Threads for file work.

One hop to a thread costs as much as a small write, so a lane takes everything that is queued
in one go and brings the results back in one go. There are several lanes, so that one slow
fsync does not hold up everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# A lane whose current work takes longer than this is left alone by new work.
_SLOW_S = 0.002
# Results are brought back at the latest this long after they are there.
_HOLD_BACK_S = 0.0005

_Job = tuple["asyncio.Future[Any]", Callable[[], Any]]
_Result = tuple["asyncio.Future[Any]", Any, BaseException | None]


class Lanes:
    """A few threads that run file work for one event loop; implements `FileWork`."""

    def __init__(self, count: int = 4) -> None:
        self._lanes = [_Lane(f"tusd-py-files-{n}") for n in range(count)]

    def start(self) -> None:
        """Start the threads now: later there may be no room for more."""
        loop = asyncio.get_running_loop()
        for lane in self._lanes:
            lane.start(loop)

    def stop(self) -> None:
        """End the threads after what is queued."""
        for lane in self._lanes:
            lane.stop()

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread; see `FileWork`."""
        return await self.join(self.submit(work, *args, **kwargs))

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Start `work` and return at once; whoever starts it must `join` it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pick().submit((future, lambda: work(*args, **kwargs)))
        return future

    async def join(self, future: asyncio.Future[T]) -> T:
        """Wait for the end of submitted work, even when the caller is cancelled meanwhile."""
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread cannot be stopped. If the caller went on now, it would release the
            # claim while the write still runs, and two writers would interleave.
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError:
                    continue
            if not future.cancelled():
                future.exception()  # seen; the cancellation is what the caller gets
            raise

    def _pick(self) -> _Lane:
        now = time.monotonic()
        for lane in self._lanes:
            if not lane.is_slow(now):
                return lane
        return min(self._lanes, key=lambda lane: lane.pending)


class _Lane:
    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._busy_since: float | None = None
        self.pending = 0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def is_slow(self, now: float) -> bool:
        busy_since = self._busy_since
        return busy_since is not None and now - busy_since > _SLOW_S

    def submit(self, job: _Job) -> None:
        self.pending += 1
        self._jobs.put(job)

    def _run(self) -> None:
        # Each batch has a frame of its own: while the lane waits for the next one, nothing of
        # the last may stay referred to, least of all an open file that nobody took.
        while self._run_batch(self._jobs.get()):
            pass

    def _run_batch(self, job: _Job | None) -> bool:
        """Run the job and what queues behind it; return False at the end of all work."""
        results: list[_Result] = []
        first = self._busy_since = time.monotonic()
        while job is not None:
            results.append(_perform(job))
            now = self._busy_since = time.monotonic()
            if now - first > _HOLD_BACK_S:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        self._busy_since = None
        self._bring_back(results)
        return job is not None

    def _bring_back(self, results: list[_Result]) -> None:
        assert self._loop is not None
        # Once the loop has been closed, nobody is left to hear of it.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver, results)

    def _deliver(self, results: list[_Result]) -> None:
        self.pending -= len(results)
        for future, value, error in results:
            if future.cancelled():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


def _perform(job: _Job) -> _Result:
    future, work = job
    try:
        return future, work(), None
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
        return future, None, error
