"""Numbers that nobody tells: somebody has to look from time to time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from .metrics import Metrics

_log = logging.getLogger(__name__)

# A loop that is held up for longer than this is seen with certainty.
_LOOK_EVERY_S = 0.25
# What takes a look at a disk or a database.
_LONG_LOOK_EVERY_S = 10.0

Look = Callable[[], None]
LongLook = Callable[[], Awaitable[None]]


def growth(metrics: Metrics, name: str, read: Callable[[], int], *labels: str) -> Look:
    """Return what adds to a counter as much as a number of this process has grown."""
    seen = read()

    def look() -> None:
        nonlocal seen
        now = read()
        metrics.add(name, now - seen, *labels)
        seen = now

    return look


class Sampler:
    """Looks, as long as `run` runs, and whenever somebody wants to see the numbers.

    Args:
        metrics: to set.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._lag = metrics.buckets("tusd_py_loop_lag_seconds")
        self._looks: list[Look] = []
        self._long_looks: list[LongLook] = []

    def add(self, *looks: Look) -> None:
        """Look there, too."""
        self._looks += looks

    def add_long(self, *looks: LongLook) -> None:
        """Look there, but less often."""
        self._long_looks += looks

    def look(self) -> None:
        """Look at everything that is at hand."""
        for look in self._looks:
            look()

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._run_short())
            both.create_task(self._run_long(self._long_looks))

    async def _run_short(self) -> None:
        while True:
            due = time.monotonic() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            self._lag.note(max(0.0, time.monotonic() - due))
            self.look()

    async def _run_long(self, looks: Sequence[LongLook]) -> None:
        while True:
            for look in looks:
                try:
                    await look()
                except Exception:  # noqa: BLE001 - readiness tells what is wrong; look on
                    _log.debug("SampleError", exc_info=True)
            await asyncio.sleep(_LONG_LOOK_EVERY_S)
