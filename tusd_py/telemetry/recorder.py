"""What happens becomes history: counted at once, and written down once a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..interfaces import history as names
from ..interfaces.history import MINUTE_S, Batch, History
from ..interfaces.occurrences import (
    Answered,
    BodyBegun,
    BodyEnded,
    Created,
    Expired,
    Finished,
    HookCalled,
    Terminated,
)
from ..protocol.errors import TusError
from ..protocol.model import Upload, UploadId
from .several import Notes

_log = logging.getLogger(__name__)

# While the history cannot be written, no more than this is kept for it.
_MOST_MINUTES = 120
# Uploads whose client sends them in pieces; of those forgotten, a piece counts as a resumption.
_MOST_BETWEEN_PIECES = 10_000
_LAST_WORDS_S = 3.0


@dataclass(slots=True)
class _Body:
    received: Callable[[], int]
    counted: int = 0


class Recorder:
    """Counts what happens, and adds it to a history.

    Nobody waits for the history: counts stay here until it has taken them, those of the last
    minutes if it takes none for long.

    Args:
        clock: seconds since the epoch.
        most_minutes: of counts that wait here.

    Attributes:
        notes: what takes note of what.
    """

    def __init__(
        self,
        history: History,
        *,
        clock: Callable[[], float] = time.time,
        most_minutes: int = _MOST_MINUTES,
    ) -> None:
        self._history = history
        self._clock = clock
        self._most_minutes = most_minutes
        self._waiting: dict[int, dict[str, int]] = {}
        self._sending: Batch | None = None
        self._bodies: dict[UploadId, _Body] = {}
        self._between_pieces: dict[UploadId, None] = {}
        self._turn = asyncio.Lock()
        self._open = False
        self._failing = False
        self.notes: Notes = {
            Answered: self._answered,
            Created: self._created,
            BodyBegun: self._begin,
            BodyEnded: self._end,
            Finished: self._finish,
            Terminated: self._terminated,
            Expired: self._expired,
            HookCalled: self._called,
        }

    # --- counting

    def _answered(self, answered: Answered) -> None:
        self._count(names.REQUESTS)
        if answered.code is not None:
            self._count(names.REFUSED + answered.code)

    def _created(self, _: Created) -> None:
        self._count(names.CREATED)

    def _terminated(self, terminated: Terminated) -> None:
        upload = terminated.upload
        self._count(names.DELETED if upload.finished else names.CANCELLED)
        self._between_pieces.pop(upload.id, None)

    def _expired(self, expired: Expired) -> None:
        upload = expired.upload
        self._count(names.RETIRED if upload.finished else names.EXPIRED)
        self._between_pieces.pop(upload.id, None)

    def _called(self, called: HookCalled) -> None:
        if called.error is not None:
            self._count(names.HOOK_ERRORS + called.type)

    def _begin(self, begun: BodyBegun) -> None:
        upload = begun.upload
        self._bodies[upload.id] = _Body(begun.received)
        next_piece = upload.id in self._between_pieces
        self._between_pieces.pop(upload.id, None)
        if upload.offset and not next_piece:
            self._count(names.RESUMED)

    def _end(self, ended: BodyEnded) -> None:
        upload = ended.upload
        body = self._bodies.pop(upload.id, None)
        self._count(names.BYTES, ended.received - (0 if body is None else body.counted))
        self._count(names.BODIES)
        if ended.cause is not None:
            self._count(names.INTERRUPTED + ended.cause)
        elif not upload.complete:
            self._note_piece(upload)

    def _note_piece(self, upload: Upload) -> None:
        self._between_pieces[upload.id] = None
        if len(self._between_pieces) > _MOST_BETWEEN_PIECES:
            del self._between_pieces[next(iter(self._between_pieces))]

    def _finish(self, finished: Finished) -> None:
        self._count(names.FINISHED)
        size = finished.upload.length or 0
        self._count(names.SIZE + names.bin_of(size, names.SIZES))
        self._count(names.SIZE_SUM, size)
        if finished.duration_s is not None:
            self._count(names.DURATION + names.bin_of(finished.duration_s, names.DURATIONS_S))
            self._count(names.DURATION_SUM_MS, round(finished.duration_s * 1000))

    def _count(self, name: str, count: int = 1) -> None:
        minute = int(self._clock()) // MINUTE_S * MINUTE_S
        counts = self._waiting.get(minute)
        if counts is None:
            counts = self._begin_minute(minute)
        counts[name] = counts.get(name, 0) + count

    def _begin_minute(self, minute: int) -> dict[str, int]:
        counts: dict[str, int] = {}
        if len(self._waiting) >= self._most_minutes:
            lost = self._waiting.pop(min(self._waiting))
            counts[names.LOST] = 1 + lost.get(names.LOST, 0)
        self._waiting[minute] = counts
        return counts

    def _count_bytes_on_their_way(self) -> None:
        for body in self._bodies.values():
            received = body.received()
            if received > body.counted:
                self._count(names.BYTES, received - body.counted)
                body.counted = received

    # --- writing down

    async def flush(self) -> bool:
        """Write down what has been counted; False: it could not be, and waits here."""
        async with self._turn:
            self._count_bytes_on_their_way()
            try:
                if not self._open:
                    await self._history.open()
                    self._open = True
                await self._send()
            except TusError as error:
                if not self._failing:
                    _log.warning("HistoryUnavailable", extra={"reason": str(error)})
                self._failing = True
            else:
                self._failing = False
            return not self._failing

    async def _send(self) -> None:
        # What may have been added is sent again as it was, with its id.
        for _ in range(2):
            if self._sending is None and self._waiting:
                self._sending, self._waiting = Batch(minutes=self._waiting), {}
            if self._sending is None:
                return
            await self._history.add(self._sending, self._clock())
            self._sending = None

    async def close(self) -> None:
        """Write down the rest, if that can be done soon, and close the history."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self.flush()
        await self._history.close()
        self._open = False
