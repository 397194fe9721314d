"""The seam between the stores and the threads that do their file work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class FileWork(Protocol):
    """Runs blocking file work off the event loop.

    A caller that is cancelled still waits for the end of the work before it sees the
    cancellation: nothing may go on behind the back of whoever releases a claim.
    """

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short `work`, together with what others ask for now, and return what it returns."""

    async def reading(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run short `work` that only reads: where writes hang, it does not wait for them."""

    async def long(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` that takes a while, on its own, and return what it returns."""

    def submit(
        self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """Start `work` that takes a while and return at once; the caller must `join` it."""

    async def join(self, future: asyncio.Future[T]) -> T:
        """Wait for the end of submitted work."""
