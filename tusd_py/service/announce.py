"""Tells the application what happened: nothing that did not, and everything that did."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from ..interfaces import Claim, Entry, HookEvent, Hooks, HookType, Outbox, RequestInfo
from ..protocol.errors import ClaimLost, TusError, UploadNotFound
from ..protocol.model import Upload, UploadId

_log = logging.getLogger(__name__)

# Whoever is still at it holds the claim; this only spares us to ask for it in vain.
_ABANDONED_AFTER_S = 5.0
_SETTLE_EVERY_S = 5.0


class Announcer:
    """Puts post-events into the outbox, around the changes that they tell of."""

    def __init__(self, hooks: Hooks, outbox: Outbox, clock: Callable[[], float]) -> None:
        self._hooks = hooks
        self._outbox = outbox
        self._clock = clock

    def around(
        self,
        request: RequestInfo | None,
        *happenings: tuple[HookType, Upload],
        before: Upload | None,
        cause: str | None = None,
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Announce what happens if the body of the context succeeds; the caller holds the claim.

        Args:
            request: what made it happen, if anything did.
            happenings: in their order, to one upload, each with the upload as it is then.
            before: the record until then, or None when there is none yet.
            cause: code of the error that makes it happen, if one does.

        Raises:
            StoreUnavailable, InsufficientStorage: they cannot be kept; the body did not run.
        """
        events = self._events(request, happenings, cause)
        return self._prepared(events, before) if events else contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def _prepared(
        self, events: Sequence[HookEvent], before: Upload | None
    ) -> AsyncIterator[None]:
        # Afterwards the record would say of an earlier attempt, too, that it had come about. What
        # is settled survives a power cut once something has been prepared after it.
        while left := await self._outbox.prepare(self._entries(events), self._clock()):
            await self._outbox.withdraw(events)
            await self._settle(left, before)
        try:
            yield
        except ClaimLost:  # then nothing was changed; of all other errors only the record knows
            await _try(self._outbox.withdraw(events))
            raise
        await _try(self._outbox.confirm(events))

    async def now(
        self, request: RequestInfo | None, event: HookType, upload: Upload, *, cause: str
    ) -> None:
        """Announce what has happened already, and changed nothing.

        Args:
            cause: code of the error that made it happen.
        """
        events = self._events(request, [(event, upload)], cause)
        if not events:
            return
        await _try(self._outbox.prepare(self._entries(events), self._clock()))
        await _try(self._outbox.confirm(events))

    async def settle(self, upload_id: UploadId, record: Upload | None) -> None:
        """Decide about what a crash left prepared; the caller holds the claim, or it is gone.

        Args:
            record: as it stands, or None when there is none any more.

        Raises:
            StoreUnavailable
        """
        if self._is_used:
            await self._settle(await self._outbox.unsettled(upload_id), record)

    async def _settle(self, events: Sequence[HookEvent], record: Upload | None) -> None:
        for event in events:
            happened = _has_happened(event, record)
            await (self._outbox.confirm if happened else self._outbox.withdraw)([event])

    async def run(
        self, claim: Callable[[UploadId], contextlib.AbstractAsyncContextManager[Claim]]
    ) -> None:
        """Settle for ever what processes that died have left; see `settle_abandoned`."""
        while True:
            await _try(self.settle_abandoned(claim))
            await asyncio.sleep(_SETTLE_EVERY_S)

    async def settle_abandoned(
        self, claim: Callable[[UploadId], contextlib.AbstractAsyncContextManager[Claim]]
    ) -> None:
        """Settle what processes that died have left.

        Args:
            claim: claims an upload without disturbing anybody.

        Raises:
            StoreUnavailable
        """
        for upload_id in await self._outbox.abandoned(self._clock() - _ABANDONED_AFTER_S):
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
        self,
        request: RequestInfo | None,
        happenings: Sequence[tuple[HookType, Upload]],
        cause: str | None = None,
    ) -> list[HookEvent]:
        return [
            HookEvent(type=event, upload=upload, request=request, at=self._clock(), cause=cause)
            for event, upload in happenings
            if self._hooks.receivers(event)
        ]

    def _entries(self, events: Sequence[HookEvent]) -> list[Entry]:
        return [
            Entry(event=event, receiver=receiver)
            for event in events
            for receiver in self._hooks.receivers(event.type)
        ]


async def _try(settling: Awaitable[object]) -> None:
    """What is not settled now is settled later, see `Announcer.settle`."""
    try:
        await settling
    except TusError:
        _log.warning("OutboxError", exc_info=True)


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
