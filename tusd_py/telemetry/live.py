"""The uploads that are being received just now, at this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..interfaces.occurrences import BodyBegun, BodyEnded
from ..protocol.model import Upload, UploadId
from .several import Notes

# The speed is that of about the last so many seconds, however often somebody looks.
_WINDOW_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUpload:
    """An upload, at the moment somebody looked.

    Attributes:
        upload: as it was when this body began.
        offset: bytes that have come by now; not all of them may be stored yet.
        speed: bytes a second, lately.
        running_s: since this body began.
        eta_s: until all bytes have come at this speed; None: not known.
    """

    upload: Upload
    offset: int
    speed: float
    running_s: float
    eta_s: float | None


class _Body:
    """One body on its way, and where it was a moment ago."""

    __slots__ = ("began", "mark", "older", "received", "upload")

    def __init__(self, begun: BodyBegun, now: float) -> None:
        self.upload = begun.upload
        self.received = begun.received
        self.began = now
        self.older = self.mark = (now, 0)

    def look(self, now: float) -> LiveUpload:
        received = self.received()
        if now - self.mark[0] >= _WINDOW_S:
            self.older, self.mark = self.mark, (now, received)
        since, then = self.older
        speed = (received - then) / (now - since) if now > since else 0.0
        offset = self.upload.offset + received
        missing = None if self.upload.length is None else self.upload.length - offset
        return LiveUpload(
            upload=self.upload,
            offset=offset,
            speed=speed,
            running_s=now - self.began,
            eta_s=None if missing is None or speed <= 0 else max(missing, 0) / speed,
        )


class LiveUploads:
    """A registry that is kept by telling it what happens.

    Uploads that come whole with their creation are over before anybody could look.

    Args:
        clock: monotonic seconds.

    Attributes:
        notes: what takes note of what.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bodies: dict[UploadId, _Body] = {}
        self._clock = clock
        self.notes: Notes = {BodyBegun: self._begin, BodyEnded: self._end}

    def _begin(self, begun: BodyBegun) -> None:
        self._bodies[begun.upload.id] = _Body(begun, self._clock())

    def _end(self, ended: BodyEnded) -> None:
        self._bodies.pop(ended.upload.id, None)

    def __len__(self) -> int:
        return len(self._bodies)

    def get(self, upload_id: UploadId) -> LiveUpload | None:
        """Look at one upload; None: nothing of it is being received here."""
        body = self._bodies.get(upload_id)
        return None if body is None else body.look(self._clock())

    def snapshot(self) -> Sequence[LiveUpload]:
        """Look at all of them, those first that began first."""
        now = self._clock()
        return [body.look(now) for body in self._bodies.values()]
