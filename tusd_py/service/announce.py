"""Tells the application what happened: nothing that did not, and everything that did."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

from ..interfaces import Claim, Entry, HookEvent, Hooks, HookType, Outbox, RequestInfo
from ..protocol.errors import ClaimLost, TusError, UploadNotFound
from ..protocol.model import Upload, UploadId

_log = logging.getLogger(__name__)

# What is prepared for longer belongs to a process that died, or that lost its store.
ABANDONED_AFTER_S = 60.0


class Announcer:
    """Puts post-events into the outbox, around the changes that they tell of."""

    def __init__(self, hooks: Hooks, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._outbox = outbox
        self._clock = clock

    @contextlib.asynccontextmanager
    async def around(
        self, upload: Upload, request: RequestInfo | None, *types: HookType
    ) -> AsyncIterator[None]:
        """Announce events that happen if the body of the context succeeds.

        Args:
            upload: as it will be then.
            request: what made it happen, if anything did.
            types: of the events, in their order.

        Raises:
            StoreUnavailable, InsufficientStorage: they cannot be kept; the body did not run.
        """
        events = self._events(upload, request, types)
        if not events:
            yield
            return
        await self._outbox.prepare(self._entries(events), self._clock())
        try:
            yield
        except ClaimLost:  # then nothing was changed; of all other errors only the record knows
            await self._try(self._outbox.withdraw(events), upload)
            raise
        await self._try(self._outbox.confirm(events), upload)

    async def now(
        self, upload: Upload, request: RequestInfo | None, event: HookType, *, cause: str
    ) -> None:
        """Announce what has happened already, and changed nothing.

        Args:
            cause: code of the error that made it happen.
        """
        events = [replace(event, cause=cause) for event in self._events(upload, request, [event])]
        if not events:
            return
        try:
            await self._outbox.prepare(self._entries(events), self._clock())
            await self._outbox.confirm(events)
        except TusError:
            _log.warning("OutboxError", extra={"id": upload.id}, exc_info=True)

    async def settle(self, upload_id: UploadId, record: Upload | None) -> None:
        """Decide about what a crash left prepared; the caller holds the claim, or it is gone.

        Args:
            record: as it stands, or None when there is none any more.

        Raises:
            StoreUnavailable
        """
        if not self._is_used:
            return
        for event in await self._outbox.unsettled(upload_id):
            happened = _has_happened(event, record)
            await (self._outbox.confirm if happened else self._outbox.withdraw)([event])

    async def settle_abandoned(
        self, claim: Callable[[UploadId], contextlib.AbstractAsyncContextManager[Claim]]
    ) -> None:
        """Settle what processes that died have left.

        Args:
            claim: claims an upload without disturbing anybody.
        """
        if not self._is_used:
            return
        for upload_id in await self._outbox.abandoned(self._clock() - ABANDONED_AFTER_S):
            try:
                async with claim(upload_id) as held:
                    await self.settle(upload_id, held.upload)
            except UploadNotFound:
                await self.settle(upload_id, None)
            except TusError:  # in use, or damaged: there will be another sweep
                continue

    @property
    def _is_used(self) -> bool:
        return any(self._hooks.receivers(event) for event in HookType)

    def _events(
        self, upload: Upload, request: RequestInfo | None, types: Sequence[HookType]
    ) -> list[HookEvent]:
        return [
            HookEvent(type=event, upload=upload, request=request, at=self._clock())
            for event in types
            if self._hooks.receivers(event)
        ]

    def _entries(self, events: Sequence[HookEvent]) -> list[Entry]:
        return [
            Entry(event=event, receiver=receiver)
            for event in events
            for receiver in self._hooks.receivers(event.type)
        ]

    async def _try(self, settling: Awaitable[None], upload: Upload) -> None:
        """What is not settled now is settled later, see `settle`."""
        try:
            await settling
        except TusError:
            _log.warning("OutboxError", extra={"id": upload.id}, exc_info=True)


def _has_happened(event: HookEvent, record: Upload | None) -> bool:
    match event.type:
        case HookType.POST_CREATE:
            return record is not None
        case HookType.POST_FINISH:
            return record is not None and record.finished
        case HookType.POST_TERMINATE | HookType.POST_EXPIRE:
            return record is None
        case _:
            return True
