"""Keeps count of uploads, so that nobody has more of them than they may."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from ..interfaces.quotas import Account, Ledger
from ..interfaces.stores import OffsetStore
from ..protocol.errors import InternalError, TusError, UploadNotFound
from ..protocol.model import Upload, UploadId
from ..protocol.quota import NO_QUOTA
from .policy import Bounds

_log = logging.getLogger(__name__)

# An upload is admitted before the first byte of its creation is read; its record is there soon
# after, or it never will be.
ADMITTED_S = 60.0
_RECOUNT_EVERY_S = 300.0


class Accounts:
    """Enters uploads into the ledger; does nothing where nobody wants them counted.

    Args:
        ledger: where they are counted.
        offsets: the records, of which the ledger is an extract.
        bounds: what owners and the server may have, and whether to count at all.
        clock: seconds since the epoch.

    Attributes:
        counting: whether anything is counted.
    """

    def __init__(
        self, ledger: Ledger, offsets: OffsetStore, bounds: Bounds, clock: Callable[[], float]
    ) -> None:
        self._ledger = ledger
        self._offsets = offsets
        self._bounds = bounds
        self._clock = clock
        self.counting = bounds.counting

    def admitted(self, new: Upload) -> AbstractAsyncContextManager[None]:
        """Count a new upload, whose record is made inside; if that fails it is not counted.

        Raises:
            TooManyUploads, TooManyCreations, QuotaExceeded, InsufficientStorage
            StoreUnavailable
        """
        if self.counting:
            return self._admitted(new)
        _check_countless(new)
        return contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def _admitted(self, new: Upload) -> AsyncIterator[None]:
        try:
            await self._enter_limited(new, new.length or 0)
        except asyncio.CancelledError:
            await self._correct(new.id)
            raise
        try:
            yield
        except BaseException:  # it may be there nevertheless, and so may another of that id
            await self._correct(new.id)
            raise

    async def grow(self, upload: Upload, size: int) -> None:
        """Count an upload whose length is not known for `size` bytes.

        Raises:
            QuotaExceeded, InsufficientStorage, StoreUnavailable: it stays as it was.
        """
        if self.counting:
            await self._enter_limited(upload, size)

    def finishing(self, before: Upload, finished: Upload) -> AbstractAsyncContextManager[None]:
        """Count an upload as finished, as it is saved inside; the caller holds the claim.

        Before the save, for that may give the claim back.
        """
        return self._finishing(before, finished) if self.counting else contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def _finishing(self, before: Upload, finished: Upload) -> AsyncIterator[None]:
        await self.settle(finished)
        try:
            yield
        except BaseException:
            await self.settle(before)
            raise

    async def settle(self, upload: Upload) -> None:
        """Count an upload for what it is, whatever was allowed."""
        if self.counting:
            await self._try(upload)

    async def left(self, upload_id: UploadId) -> None:
        """Count an upload no more, for its record is gone."""
        if self.counting:
            await self._try(upload_id)

    # --- against the records

    async def run(self) -> None:
        """Recount for ever: what a crash has left admitted shows a while after the start."""
        for pause_s in itertools.chain([ADMITTED_S + 1], itertools.repeat(_RECOUNT_EVERY_S)):
            try:
                await self.recount()
            except Exception:  # noqa: BLE001 - whatever it is, the next one must come
                _log.warning("RecountError", exc_info=True)
            await asyncio.sleep(pause_s)

    async def recount(self) -> int:
        """Compare the ledger with the records and correct it; return how much was wrong.

        Raises:
            StoreUnavailable
        """
        young = self._clock() - ADMITTED_S
        counted = {one.upload_id: (one, at) async for one, at in self._ledger.accounts()}
        wrong = 0
        async for listed in self._offsets.uploads():
            account, _ = counted.pop(listed.id, (None, 0.0))
            if listed.upload is not None and account != _account_of(listed.upload):
                wrong += await self._recount_one(listed.id, account)
        for upload_id, (_, entered_at) in counted.items():
            if entered_at < young:
                wrong += 1
                await self._correct(upload_id)
        if wrong:
            _log.info("LedgerCorrected", extra={"uploads": wrong})
        return wrong

    async def _recount_one(self, upload_id: UploadId, counted: Account | None) -> bool:
        """Correct the account of an upload that nobody uses; return whether it was wrong."""
        # Who holds the claim may just be changing both; there will be another recount.
        with contextlib.suppress(TusError):
            async with self._offsets.claim(upload_id, timeout_s=0) as claim:
                account = _account_of(claim.upload)
                if account != counted:
                    await self._ledger.enter(account, self._clock())
                    return True
        return False

    async def _correct(self, upload_id: UploadId) -> None:
        """Count an upload for what its record says."""
        try:
            upload = await self._offsets.get(upload_id, damaged=True)
        except UploadNotFound:
            await self._try(upload_id)
        except TusError:
            _log.warning("LedgerError", extra={"id": upload_id}, exc_info=True)
        else:
            await self._try(upload)

    async def _enter_limited(self, upload: Upload, size: int) -> None:
        account = Account(upload_id=upload.id, owner=upload.owner, size=size, open=True)
        quota = (upload.quota or NO_QUOTA).over(self._bounds.owner)
        await self._ledger.enter(account, self._clock(), owner=quota, server=self._bounds.server)

    async def _try(self, changed: Upload | UploadId) -> None:
        """Enter what is true, or what is gone; if that fails a recount sees to it."""
        try:
            if isinstance(changed, Upload):
                await self._ledger.enter(_account_of(changed), self._clock())
            else:
                await self._ledger.leave(changed)
        except TusError:
            _log.warning("LedgerError", exc_info=True)


def _account_of(upload: Upload) -> Account:
    size = upload.offset if upload.length is None else upload.length
    over = upload.finished or upload.failed is not None
    return Account(upload_id=upload.id, owner=upload.owner, size=size, open=not over)


def _check_countless(new: Upload) -> None:
    """Rather refuse than overlook a limit.

    Raises:
        InternalError
    """
    if new.quota is not None and new.quota.counts:
        _log.error("LimitNotCounted", extra={"reason": "a limit came that needs --count-uploads"})
        raise InternalError
