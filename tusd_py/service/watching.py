"""Looks at uploads without a claim: nobody who works on one is disturbed by who watches it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from ..interfaces import DataStore, OffsetStore, Operation, RequestInfo
from ..interfaces.occurrences import (
    BodyBegun,
    BodyEnded,
    Expired,
    Finished,
    Observe,
    Occurrence,
    Terminated,
)
from ..protocol.commands import Watch
from ..protocol.errors import StoreUnavailable, UploadDamaged, UploadNotFound
from ..protocol.model import Upload, UploadId
from .access import Gate
from .status import LAST_STATES, Moving, State, Status, damaged, describe

# What this process does is seen at once; what others do, by looking that often.
LOOK_EVERY_S = 1.0
# Whoever watches for hours may have lost the right to.
_ASK_AGAIN_S = 60.0
# Records of other nodes are saved once a second, so a speed needs more than one of them.
_SAMPLES = 4

LookUp = Callable[[UploadId], Moving | None]
"""What is known of an upload that this process is receiving; None: it is not."""


def nothing_moves(upload_id: UploadId) -> Moving | None:
    """Know of nothing that is being received."""
    return None


class Watching:
    """Tells how uploads stand.

    Args:
        gate: what everybody passes but operators.
        offsets: records.
        data: tells when bytes came.
        clock: seconds since the epoch.
    """

    def __init__(
        self, gate: Gate, offsets: OffsetStore, data: DataStore, clock: Callable[[], float]
    ) -> None:
        self._gate = gate
        self._offsets = offsets
        self._data = data
        self._clock = clock
        self.moving: LookUp = nothing_moves
        self._followers: dict[UploadId, set[asyncio.Event]] = {}
        self._stopped = False

    # --- what happens

    def told_too(self, observe: Observe) -> Observe:
        """Return a watcher that lets followers look at once, and tells `observe`."""

        def tell(occurrence: Occurrence) -> None:
            observe(occurrence)
            if self._followers:
                self._note(occurrence)

        return tell

    def _note(self, occurrence: Occurrence) -> None:
        match occurrence:
            case BodyBegun() | BodyEnded() | Finished() | Terminated() | Expired():
                for wake in self._followers.get(occurrence.upload.id, ()):
                    wake.set()

    def stop(self) -> None:
        """End all streams: the server is going down."""
        self._stopped = True
        for wakes in self._followers.values():
            for wake in wakes:
                wake.set()

    # --- one upload

    async def status(self, watch: Watch, request: RequestInfo) -> Status:
        """Tell how an upload stands.

        Raises:
            UploadNotFound: there is none, or it is somebody else's.
            UploadDamaged: not even its record can be read.
            TusError: the application refuses.
        """
        try:
            upload = await self._gate.find(Operation.WATCH, watch.id, request)
        except UploadDamaged:
            upload = await self._gate.find(Operation.WATCH, watch.id, request, damaged=True)
            return damaged(watch.id, upload)
        return await self.describe(upload)

    async def look(self, upload_id: UploadId) -> Status:
        """Tell how an upload stands, to those who may see all.

        Raises:
            UploadNotFound, StoreUnavailable
        """
        try:
            return await self.describe(await self._offsets.get(upload_id))
        except UploadDamaged:
            with contextlib.suppress(UploadDamaged):
                return damaged(upload_id, await self._offsets.get(upload_id, damaged=True))
            return damaged(upload_id)

    async def describe(self, upload: Upload) -> Status:
        """Tell how the upload of a record stands."""
        (updated_at,) = await self._data.touched([upload])
        return self.described(upload, updated_at)

    def described(self, upload: Upload, updated_at: float | None) -> Status:
        """Tell the same, if it is known when its bytes came."""
        moving = self.moving(upload.id)
        return describe(upload, now=self._clock(), updated_at=updated_at, moving=moving)

    async def follow(self, watch: Watch, request: RequestInfo) -> AsyncIterator[Status | None]:
        """Tell how an upload stands, whenever that changes, until it does no more.

        Iterates over None where nothing has changed for a while. Ends early, with the last
        status being none of the last ones, when the server goes down.

        Raises:
            TusError: as for `status`, also later on, when the permission has been withdrawn.
        """
        pace = _Pace()
        shown = status = await self.status(watch, request)
        yield pace.measure(shown)
        asked_at = time.monotonic()
        with self._woken(watch.id) as wake:
            while status.state not in LAST_STATES and not self._stopped:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await wake.wait()
                wake.clear()
                if time.monotonic() - asked_at >= _ASK_AGAIN_S:
                    asked_at = time.monotonic()
                    await self.status(watch, request)
                status = pace.measure(await self._next(status))
                yield None if status == shown else status
                shown = status

    async def _next(self, before: Status) -> Status:
        try:
            return await self.look(before.id)
        except UploadNotFound:
            return replace(before, state=State.GONE, speed=None)
        except StoreUnavailable:  # it will be back
            return before

    @contextlib.contextmanager
    def _woken(self, upload_id: UploadId) -> Iterator[asyncio.Event]:
        wake = asyncio.Event()
        wakes = self._followers.setdefault(upload_id, set())
        wakes.add(wake)
        try:
            yield wake
        finally:
            wakes.discard(wake)
            if not wakes:
                self._followers.pop(upload_id, None)


class _Pace:
    """Measures the speed of what another process receives, by how it grows between looks."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    def measure(self, status: Status) -> Status:
        """Return the status with a speed, if one can be told."""
        now = time.monotonic()
        since, then = self._samples[0] if self._samples else (now, status.offset)
        self._samples.append((now, status.offset))
        if status.state is not State.UPLOADING:
            return replace(status, speed=None)
        if status.speed is not None or now <= since:
            return status
        return replace(status, speed=max(0.0, (status.offset - then) / (now - since)))
