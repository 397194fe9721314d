"""File work on real threads that a test can hold up."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from tusd_py.filesystem.lanes import Lanes

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE_S = 10.0


@contextlib.asynccontextmanager
async def running_lanes(count: int = 2) -> AsyncIterator[Lanes]:
    """Run lanes for the length of the context."""
    lanes = Lanes(count)
    lanes.start()
    try:
        yield lanes
    finally:
        lanes.stop()


class HeldWork:
    """Implements `FileWork`: work waits in its thread while it is held, like on a slow disk."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._open = threading.Event()
        self._open.set()
        self._begun = asyncio.Event()

    def hold(self) -> None:
        """Let all work from now on wait in its thread."""
        self._begun.clear()
        self._open.clear()

    def release(self) -> None:
        """Let it go on."""
        self._open.set()

    async def wait_begun(self) -> None:
        """Wait until a thread has been held up."""
        async with asyncio.timeout(5):
            await self._begun.wait()

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def reading(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def long(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()

        def held() -> T:
            if not self._open.is_set():
                loop.call_soon_threadsafe(self._begun.set)
                assert self._open.wait(_PATIENCE_S), "held work was never released"
            return work(*args, **kwargs)

        return self._lanes.submit(held)

    async def join(self, future: asyncio.Future[T]) -> T:
        return await self._lanes.join(future)


class SlowWork:
    """Implements `FileWork`: all work takes a moment more, now shorter and now longer."""

    def __init__(self, lanes: Lanes, seed: int, longest_s: float) -> None:
        self._lanes = lanes
        self._random = random.Random(seed)  # noqa: S311 - the same at every run
        self._longest_s = longest_s

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def reading(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def long(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        moment_s = self._random.uniform(0, self._longest_s)

        def slow() -> T:
            time.sleep(moment_s)
            return work(*args, **kwargs)

        return self._lanes.submit(slow)

    async def join(self, future: asyncio.Future[T]) -> T:
        return await self._lanes.join(future)
