"""An event loop that lets tasks take turns as a seed says, and file work that does the same.

Without threads and sockets a run with the same seed is the same run, whatever the machine does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tusd_py.filesystem.lanes import _Outcome

P = ParamSpec("P")
T = TypeVar("T")

_MOST_HOPS = 3


class SeededLoop(asyncio.SelectorEventLoop):
    """Shuffles the steps of tasks that are ready at the same time, and only these."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)  # noqa: S311 - the same at every run

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        steps = [place for place, handle in enumerate(ready) if _is_step(handle)]
        shuffled = self.random.sample(steps, len(steps))
        handles = list(ready)
        for place, other in zip(steps, shuffled, strict=True):
            ready[place] = handles[other]
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(
        self, executor: object, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Do at once what libraries want done in a thread (aiofiles)."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits it
            future.set_exception(error)
        return future


def _is_step(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


class SeededWork:
    """Implements `FileWork` without threads: work is done a few turns of the loop later."""

    def __init__(self, loop: SeededLoop) -> None:
        self._loop = loop

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def reading(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    async def long(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.join(self.submit(work, *args, **kwargs))

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        future: _Outcome[T] = _Outcome(loop=self._loop)

        def later(hops: int) -> None:
            if hops:
                self._loop.call_soon(later, hops - 1)
                return
            try:
                result = work(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits it
                future.set_exception(error)
            else:
                future.set_result(result)

        self._loop.call_soon(later, self._loop.random.randint(0, _MOST_HOPS))
        return future

    async def join(self, future: asyncio.Future[T]) -> T:
        return await future
