"""Tells of running bodies now and then, beside them and never in their way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace

from ..interfaces import Body, BodyEnd, Chunk, HookType, RequestInfo, size_of
from ..protocol.model import Upload, UploadId
from .asking import Asker

_log = logging.getLogger(__name__)

# Whoever is that slow to listen is not told of the ends of more bodies.
MOST_TASKS = 1000

Stop = Callable[[UploadId, RequestInfo], Awaitable[None]]
"""Removes an upload whose body has ended already, unless it is finished."""


class Progress:
    """Calls post-receive for each running body: at intervals, and once more at its end.

    Args:
        asker: the hooks.
        interval_s: between two calls for one body.
        stop: for when a hook wants an upload stopped after the body has ended.
    """

    def __init__(self, asker: Asker, interval_s: float, stop: Stop) -> None:
        self._asker = asker
        self._interval_s = interval_s
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def watch(self, upload: Upload, body: Body, request: RequestInfo) -> Iterator[Body]:
        """Tell of the body for the length of the context; yields the body to read instead.

        Args:
            upload: as it is before the body.
        """
        if not self._asker.listens_to(HookType.POST_RECEIVE) or len(self._tasks) >= MOST_TASKS:
            yield body
            return
        counted = _CountedBody(body, upload.offset)
        task = asyncio.create_task(self._tell(upload, counted, request), name="progress")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            yield counted
        finally:
            counted.over.set()

    async def close(self) -> None:
        """End all calls that are still being made."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _tell(self, upload: Upload, body: _CountedBody, request: RequestInfo) -> None:
        told = upload.offset
        is_over = False
        while not is_over:
            is_over = await body.is_over(self._interval_s)
            if body.reached == told:
                continue
            told = body.reached
            try:
                if await self._asker.about_progress(replace(upload, offset=told), request):
                    return await self._end(upload.id, body, request)
            except Exception as error:  # noqa: BLE001 - whatever it is, the body goes on
                reason = f"{type(error).__name__}: {error}"
                _log.warning(
                    "HookInvocationError",
                    extra={"hook": "post-receive", "id": upload.id, "reason": reason},
                )
        return None

    async def _end(self, upload_id: UploadId, body: _CountedBody, request: RequestInfo) -> None:
        body.stop(BodyEnd.STOPPED)
        await body.over.wait()
        if body.end is not BodyEnd.STOPPED:  # it was over before; nobody else sees to it
            await self._stop(upload_id, request)


class _CountedBody:
    """Implements `Body`: counts what its reader has done with."""

    def __init__(self, body: Body, offset: int) -> None:
        self._body = body
        self._last: Chunk = b""
        self.reached = offset
        self.over = asyncio.Event()

    async def is_over(self, within_s: float) -> bool:
        """Wait for the end of the body, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.over.wait()
        return self.over.is_set()

    @property
    def end(self) -> BodyEnd | None:
        return self._body.end

    async def read(self) -> Chunk:
        self.reached += size_of(self._last)
        self._last = b""  # should the reading fail
        self._last = await self._body.read()
        return self._last

    def stop(self, why: BodyEnd) -> None:
        self._body.stop(why)

    def in_pieces(self) -> None:
        self._body.in_pieces()

    def trailers(self) -> Mapping[str, str] | None:
        return self._body.trailers()
