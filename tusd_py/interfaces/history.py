"""The recorded history: how much of what happened when, in bounded size.

It is made of counts, not of events and not of samples: each event adds to the counts of its
minute, so that sums over any period are exact, and what is kept does not grow with the load.
"""

from __future__ import annotations

import bisect
import enum
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

Counts = Mapping[str, int]
"""By name: how often, or how much. The names come from this server, never from a client."""

Minutes = Mapping[int, Counts]
"""Counts by the beginning of their minute, in seconds since the epoch."""

MINUTE_S: Final = 60

# The names; those that end with a colon are followed by what is told apart.
REQUESTS: Final = "requests"  # answered, whatever they were
REFUSED: Final = "refused:"  # by code: requests answered with an error
CREATED: Final = "created"
BODIES: Final = "bodies"  # pieces of uploads, each in a request of its own
INTERRUPTED: Final = "interrupted:"  # by code: bodies that ended before their end
RESUMED: Final = "resumed"  # bodies that go on with an upload, except its next piece
BYTES: Final = "bytes"  # received
FINISHED: Final = "finished"
CANCELLED: Final = "cancelled"  # removed by a client, or the application, before the finish
EXPIRED: Final = "expired"  # removed because their time was over, before the finish
DELETED: Final = "deleted"  # removed by a client, or the application, after the finish
RETIRED: Final = "retired"  # removed because their time was over, after the finish
SIZE: Final = "size:"  # by bin of `SIZES`: finished uploads
SIZE_SUM: Final = "size-sum"  # bytes
DURATION: Final = "duration:"  # by bin of `DURATIONS_S`: finished uploads, from their creation
DURATION_SUM_MS: Final = "duration-sum-ms"
HOOK_ERRORS: Final = "hook-errors:"  # by type of hook
LOST: Final = "lost"  # minutes of counts that could not be written down for too long

SIZES: Final = tuple(1024 * 1024 * n for n in (1, 10, 100, 1024, 10 * 1024, 100 * 1024))
"""The largest sizes of all bins but the last, in bytes."""

DURATIONS_S: Final = (1, 10, 60, 600, 3600, 24 * 3600)
"""The longest durations of all bins but the last, in seconds."""


def bin_of(value: float, bounds: Sequence[float]) -> str:
    """Return the number of the bin that a value is in, as it stands in a name."""
    return str(bisect.bisect_left(bounds, value))


class Period(enum.Enum):
    """What can be looked back at, and in which steps; what is older is forgotten."""

    HOUR = "hour", 60, 60
    DAY = "day", 600, 144
    WEEK = "week", 3600, 168

    def __init__(self, label: str, step_s: int, steps: int) -> None:
        self.label = label
        self.step_s = step_s
        self.steps = steps

    def start_of(self, at: float) -> int:
        """Return when the step that this moment is in began; seconds since the epoch."""
        return int(at) // self.step_s * self.step_s

    def first_of(self, now: float) -> int:
        """Return when the first of the steps began that end with the present one."""
        return self.start_of(now) - (self.steps - 1) * self.step_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is added to a history at once; its id tells a repetition from news."""

    minutes: Minutes
    id: str = field(default_factory=lambda: secrets.token_hex(8))


class History(Protocol):
    """Keeps counts for a week, shared by all processes, or all nodes, of a server.

    Beside the counts there is a board, on which each process keeps one notice for the others.
    """

    async def open(self) -> None:
        """Make ready for use.

        Raises:
            StoreUnavailable, InsufficientStorage: it can be tried again.
        """

    async def close(self) -> None:
        """Give back what `open` took."""

    async def add(self, batch: Batch, now: float) -> None:
        """Add the counts of a batch, all or none; a batch that is known already adds nothing.

        It is known for some minutes: whoever has got no answer sends it again.

        Raises:
            StoreUnavailable, InsufficientStorage: it may have been added or not.
        """

    async def read(self, period: Period, now: float) -> Mapping[int, Counts]:
        """Return counts by the beginnings of the steps of a period; empty ones are not there.

        Raises:
            StoreUnavailable
        """

    async def post(self, process: str, notice: str, *, until: float) -> None:
        """Put the notice of a process on the board, in the place of its last one.

        Args:
            until: when it is of no use any more; seconds since the epoch.

        Raises:
            StoreUnavailable, InsufficientStorage
        """

    async def board(self, now: float) -> Sequence[str]:
        """Return the notices that are still of use.

        Raises:
            StoreUnavailable
        """


def steps_of(minutes: Minutes, period: Period) -> Mapping[int, Counts]:
    """Return counts by minute as counts by the steps of a period."""
    steps: dict[int, dict[str, int]] = {}
    for minute, counts in minutes.items():
        add_to(steps.setdefault(period.start_of(minute), {}), counts)
    return steps


def add_to(sums: dict[str, int], counts: Counts) -> None:
    """Add counts to sums."""
    for name, count in counts.items():
        sums[name] = sums.get(name, 0) + count
