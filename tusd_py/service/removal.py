"""Removes uploads, bytes and record, and tells of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ..interfaces import Claim, DataStore, HookType, RequestInfo, occurrences
from ..interfaces.occurrences import Observe
from ..protocol.errors import FileTypeNotAllowed
from .accounts import Accounts
from .announce import Announcer


class Removal:
    """What is left of an upload is nothing, in whatever order things fail."""

    def __init__(
        self, data: DataStore, announcer: Announcer, accounts: Accounts, observe: Observe
    ) -> None:
        self._data = data
        self._accounts = accounts
        self._announcer = announcer
        self._observe = observe

    async def remove(self, claim: Claim, event: HookType, request: RequestInfo | None) -> None:
        """Remove an upload, and tell of it as that event."""
        # Once it is gone, nobody can tell any more whether it was finished before.
        await self._announcer.settle(claim.upload.id, claim.upload)
        cause = claim.upload.failed
        happening = (event, claim.upload)
        async with self._announcer.around(request, happening, before=claim.upload, cause=cause):
            await self.forget(claim)
        gone = occurrences.Expired if event is HookType.POST_EXPIRE else occurrences.Terminated
        self._observe(gone(upload=claim.upload))

    async def forget(self, claim: Claim) -> None:
        """Remove bytes and record, and tell nobody."""
        # Bytes first: a record without bytes is answered with 404 or 410 until the janitor
        # removes it; bytes without a record would stay for ever.
        await self._data.delete(claim.upload)
        await claim.remove()
        await self._accounts.left(claim.upload.id)

    @contextlib.asynccontextmanager
    async def of_unwanted(self, claim: Claim, request: RequestInfo | None) -> AsyncIterator[None]:
        """Remove an upload that turns out inside not to be what may be here."""
        try:
            yield
        except FileTypeNotAllowed:
            await self.remove(claim, HookType.POST_TERMINATE, request)
            raise
