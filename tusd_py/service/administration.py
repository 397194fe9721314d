"""What operators may do: see all uploads, remove them, see to events that are not delivered."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from ..interfaces import (
    DataStore,
    Entry,
    EventState,
    HookType,
    Listed,
    OffsetStore,
    Outbox,
)
from ..protocol.errors import TusError
from ..protocol.model import Upload, UploadId
from .status import KindName, State, Status, damaged, kind_of
from .uploads import Uploads

# Records that are looked at for one page, however few of them are what was asked for.
MOST_LOOKED_AT = 20_000
_BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which uploads to list.

    Attributes:
        states: empty: all.
        kinds: empty: all.
        owner: None: whoever's.
        older_than_s: created so long ago, at least; those of unknown age are left out.
        younger_than_s: created so long ago, at most; likewise.
    """

    states: frozenset[State] = frozenset()
    kinds: frozenset[KindName] = frozenset()
    owner: str | None = None
    older_than_s: float | None = None
    younger_than_s: float | None = None

    def passes(self, status: Status, now: float) -> bool:
        """Whether to list an upload."""
        upload = status.upload
        if self.states and status.state not in self.states:
            return False
        if self.kinds and (upload is None or kind_of(upload) not in self.kinds):
            return False
        if self.owner is not None and (upload is None or upload.owner != self.owner):
            return False
        return self._fits_age(None if upload is None else upload.created_at, now)

    def _fits_age(self, created_at: float | None, now: float) -> bool:
        if self.older_than_s is None and self.younger_than_s is None:
            return True
        if created_at is None:
            return False
        age_s = now - created_at
        if self.older_than_s is not None and age_s < self.older_than_s:
            return False
        return self.younger_than_s is None or age_s <= self.younger_than_s


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the uploads.

    Attributes:
        cursor: where the next page begins; None: this is the last one.
    """

    statuses: Sequence[Status]
    cursor: UploadId | None


class Administration:
    """What operators may do.

    Args:
        uploads: the service.
        offsets, data: the stores.
        outbox: None when nobody is told of anything.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        uploads: Uploads,
        *,
        offsets: OffsetStore,
        data: DataStore,
        outbox: Outbox | None,
        clock: Callable[[], float],
    ) -> None:
        self._uploads = uploads
        self._offsets = offsets
        self._data = data
        self._outbox = outbox
        self._clock = clock

    # --- uploads

    async def show(self, upload_id: UploadId) -> Status:
        """Tell how an upload stands.

        Raises:
            UploadNotFound, StoreUnavailable
        """
        return await self._uploads.watching.look(upload_id)

    async def page(self, which: Filter, *, after: str = "", limit: int) -> Page:
        """List some uploads in the order of their ids, beginning behind `after`.

        A page may have fewer than `limit`, and even none, and not be the last one.

        Raises:
            StoreUnavailable
        """
        found: list[Status] = []
        looked_at = 0
        async with contextlib.aclosing(self._all(after)) as statuses:
            async for status in statuses:
                looked_at += 1
                if which.passes(status, self._clock()):
                    found.append(status)
                if len(found) == limit or looked_at == MOST_LOOKED_AT:
                    return Page(found, status.id)
        return Page(found, None)

    async def every(self, which: Filter) -> AsyncIterator[Status]:
        """Iterate over uploads in the order of their ids.

        Raises:
            StoreUnavailable
        """
        async with contextlib.aclosing(self._all("")) as statuses:
            async for status in statuses:
                if which.passes(status, self._clock()):
                    yield status

    async def terminate(self, upload_id: UploadId) -> None:
        """Remove an upload, whatever is being done to it.

        Raises:
            UploadNotFound, UploadLocked, UploadDamaged
        """
        await self._uploads.remove(upload_id, HookType.POST_TERMINATE)

    async def expire(self, upload_id: UploadId) -> None:
        """Remove an upload as if its time were over.

        Raises:
            UploadNotFound, UploadLocked, UploadDamaged
        """
        await self._uploads.remove(upload_id, HookType.POST_EXPIRE)

    async def expire_due(self) -> AsyncIterator[tuple[UploadId, TusError | None]]:
        """Remove all uploads whose time is over and that nobody uses; iterate over them.

        With each comes why it could not be removed, if so.
        """
        async for upload_id in self._offsets.expired(self._clock()):
            try:
                if await self._uploads.expire(upload_id):
                    yield upload_id, None
            except TusError as error:
                yield upload_id, error

    # --- events

    async def events(self, limit: int) -> Sequence[Entry]:
        """Return the events that were not delivered yet, oldest first."""
        return () if self._outbox is None else await self._outbox.entries(limit)

    async def event_counts(self) -> Mapping[EventState, int]:
        """Return how many there are in each state."""
        return {} if self._outbox is None else await self._outbox.counts()

    async def retry(self, event_id: str | None) -> int:
        """Have an event that failed delivered now, or all of them for None; return how many."""
        return 0 if self._outbox is None else await self._outbox.retry(event_id, self._clock())

    # --- steps

    async def _all(self, after: str) -> AsyncGenerator[Status, None]:
        batch: list[Listed] = []
        async with contextlib.aclosing(self._offsets.uploads(after)) as listed:
            async for one in listed:
                batch.append(one)
                if len(batch) == _BATCH:
                    for status in await self._described(batch):
                        yield status
                    batch.clear()
        for status in await self._described(batch):
            yield status

    async def _described(self, batch: Sequence[Listed]) -> list[Status]:
        known: list[Upload] = [one.upload for one in batch if one.upload is not None]
        times = iter(await self._data.touched(known)) if known else iter(())
        watching = self._uploads.watching
        return [
            damaged(one.id) if one.upload is None else watching.described(one.upload, next(times))
            for one in batch
        ]
