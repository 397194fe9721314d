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


class Unread(Protocol):
    """Bytes of a body that nobody has read: they lie in the socket, or are just coming.

    They need no memory here, and may become part of a file without ever having been in any.
    The methods are for whoever stores the bytes, in a thread; they never wait.
    """

    most: int
    """How many may be taken."""

    taken: int
    """How many have been."""

    def read_into(self, buffer: memoryview) -> int:
        """Read some, and return how many; 0: no more for now.

        Raises:
            OSError: the system cannot give them.
        """

    def splice_into(self, pipe: int) -> int:
        """Move some into an empty pipe, and return how many; 0: no more for now.

        Raises:
            OSError: the system cannot do that.
        """


Chunk = bytes | Unread
"""Bytes of a body, in memory or not yet."""


def size_of(chunk: Chunk) -> int:
    """How many bytes there are; of what is unread, those that have been taken."""
    return len(chunk) if isinstance(chunk, bytes) else chunk.taken


# The first so many bytes of a body come as `bytes`, for whoever wants to look at them.
SHOWN_BYTES = 8192


class Body(Protocol):
    """The bytes of one request."""

    @property
    def end(self) -> BodyEnd | None:
        """Why the body ended; None while it has not."""

    async def read(self) -> Chunk:
        """Return the next bytes, or ``b""`` when there will be none; then `end` says why.

        What is not taken of an `Unread` before this is called again will be returned again. Not
        before `SHOWN_BYTES` have come as `bytes` is anything `Unread`.

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
