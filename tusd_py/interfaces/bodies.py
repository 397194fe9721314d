"""The bytes of requests, whichever way they come."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol


class BodyEnd(enum.Enum):
    """Why no more bytes of a body come."""

    COMPLETE = "complete"  # all of it has been read
    DISCONNECTED = "disconnected"  # the client went away
    TIMED_OUT = "timed out"  # the client fell silent
    MALFORMED = "malformed"  # the framing of the body is broken
    TAKEN_OVER = "taken over"  # another request wants the upload
    SHUTDOWN = "shutdown"  # the server is going down
    STOPPED = "stopped"  # the application wants no more of it


class Body(Protocol):
    """The bytes of one request."""

    @property
    def end(self) -> BodyEnd | None:
        """Why the body ended; None while it has not."""

    async def read(self) -> bytes | memoryview:
        """Return the next bytes, or ``b""`` when there will be none; then `end` says why.

        A `memoryview` is only lent: its bytes stay as they are until the second call after
        this one, or until the request has been answered.

        Never raises for what a client does. Bytes that had arrived before the body ended are
        returned first, whatever ended it. The first call sends ``100 Continue`` if that was
        asked for.
        """

    def stop(self, why: BodyEnd) -> None:
        """End the body now, from outside; a waiting `read` returns. Later calls do nothing."""

    def in_pieces(self) -> None:
        """Have `read` return little at a time: its caller will take long over each piece."""

    def trailers(self) -> Mapping[str, str] | None:
        """Trailer fields behind a complete body by lower-case name; None if not to be had."""
