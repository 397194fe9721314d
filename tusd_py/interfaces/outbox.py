"""Events on their way to the application, kept until they have been delivered."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
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
    """One event in the outbox, for one receiver."""

    event: HookEvent
    receiver: str
    state: EventState = EventState.PREPARED
    attempts: int = 0  # that failed
    due_at: float = 0.0  # seconds since the epoch: not to be delivered before
    error: str | None = None  # of the last attempt


class Outbox(Protocol):
    """Keeps events until they are delivered: at least once, and in order for each upload.

    An event is prepared before what it tells of is saved, and confirmed after: so none is lost
    and none is told that did not happen, whenever the process dies. Both are done under the
    claim of the upload. Each receiver has its own queue for each upload.
    """

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first request."""

    async def close(self) -> None:
        """Give back what `open` took."""

    async def prepare(self, entries: Sequence[Entry], now: float) -> Sequence[HookEvent]:
        """Keep events that are about to happen to one upload, in their order.

        When it returns they survive whatever the durability of the server promises. It returns
        what `unsettled` would have returned before; these stay as they are.

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
        """Return what is prepared for an upload, in order; the caller holds its claim.

        Raises:
            StoreUnavailable
        """

    async def abandoned(self, before: float) -> Sequence[UploadId]:
        """Return uploads with events that were prepared before that time, not all at once.

        Raises:
            StoreUnavailable
        """

    async def lease(self, now: float, lease_s: float, limit: int) -> Sequence[Entry]:
        """Return pending events that are due, and keep them from others for `lease_s` seconds.

        Of each upload and receiver only the first event is looked at, so that they stay in
        order; those that were given up hold up nobody. Who dies loses its leases after
        `lease_s`.

        Raises:
            StoreUnavailable
        """

    async def renew(self, entry: Entry, until: float) -> None:
        """Keep a leased event from others until that time."""

    async def done(self, entry: Entry) -> None:
        """Forget a delivered event."""

    async def put_off(self, entry: Entry, *, due_at: float, error: str) -> None:
        """Keep an event that could not be delivered for another attempt at `due_at`."""

    async def give_up(self, entry: Entry, *, error: str) -> None:
        """Keep an event, but do not try any more until somebody calls `retry`."""

    async def entries(self, limit: int) -> Sequence[Entry]:
        """Return what is kept, oldest first, but no more than `limit`."""

    async def counts(self) -> Mapping[EventState, int]:
        """Return how many entries are in each state."""

    async def retry(self, event_id: str | None, now: float) -> int:
        """Make an event that was not delivered due now, or all for None; return how many."""

    async def wait(self, timeout_s: float) -> None:
        """Return when an event may have become due, or after `timeout_s` seconds."""
