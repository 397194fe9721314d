"""Events on their way to the application, kept until they have been delivered."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..protocol.model import UploadId
from .application import HookEvent


class EventState(enum.StrEnum):
    """How far an event has come."""

    PREPARED = "prepared"  # about to happen; a crash may leave it so
    PENDING = "pending"  # happened, and to be delivered
    GIVEN_UP = "given up"  # could not be delivered for too long


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event in the outbox."""

    event: HookEvent
    state: EventState
    attempts: int = 0  # that failed
    due_at: float = 0.0  # seconds since the epoch: not to be delivered before
    error: str | None = None  # of the last attempt


class Outbox(Protocol):
    """Keeps events until they are delivered: at least once, and in order for each upload.

    An event is prepared before what it tells of is saved, and confirmed after: so none is lost
    and none is told that did not happen, whenever the process dies. Both are done under the
    claim of the upload.
    """

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first request."""

    async def close(self) -> None:
        """Give back what `open` took."""

    async def prepare(self, events: Sequence[HookEvent]) -> None:
        """Keep events that are about to happen to one upload, in their order.

        When it returns they survive whatever the durability of the server promises.

        Raises:
            StoreUnavailable, InsufficientStorage: none of them is kept.
        """

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        """Let prepared events be delivered: they have happened. Idempotent.

        Raises:
            StoreUnavailable: they stay prepared, and are settled later.
        """

    async def withdraw(self, events: Sequence[HookEvent]) -> None:
        """Forget prepared events: they did not happen. Idempotent.

        Raises:
            StoreUnavailable: as for `confirm`.
        """

    async def unsettled(self, upload_id: UploadId) -> Sequence[HookEvent]:
        """Return what is prepared for an upload, in order; the caller holds its claim."""

    def abandoned(self, before: float) -> AsyncIterator[UploadId]:
        """Iterate over uploads with events that were prepared before that time, in any order."""

    async def lease(self, now: float, lease_s: float, limit: int) -> Sequence[Entry]:
        """Return pending events that are due, and keep them from others for `lease_s` seconds.

        Of each upload only the first pending one is returned, so its events stay in order; an
        event that was given up, or is not yet due, holds up those after it only while it is
        pending. Whoever dies loses its leases after `lease_s`.
        """

    async def done(self, entry: Entry) -> None:
        """Forget a delivered event."""

    async def put_off(self, entry: Entry, *, due_at: float, error: str) -> None:
        """Keep an event that could not be delivered for another attempt at `due_at`."""

    async def give_up(self, entry: Entry, *, error: str) -> None:
        """Keep an event, but do not try any more until somebody calls `retry`."""

    def entries(self) -> AsyncIterator[Entry]:
        """Iterate over everything that is kept, oldest first."""

    async def retry(self, event_id: str | None, now: float) -> int:
        """Make an event, or all of them for None, due now; return how many that were."""

    async def wait(self, timeout_s: float) -> None:
        """Return when an event may have become due, or after `timeout_s` seconds."""
