"""What has to happen when an upload is made: all of it, or nothing."""

from __future__ import annotations

import contextlib

from ..interfaces import Claim, DataStore, Durability, HookType, RequestInfo
from ..protocol.errors import ClaimLost
from ..protocol.model import Upload
from .accounts import Accounts
from .announce import Announcer


class Creation:
    """Gives a new record its bytes, and tells of it."""

    def __init__(
        self, data: DataStore, announcer: Announcer, accounts: Accounts, durability: Durability
    ) -> None:
        self._data = data
        self._announcer = announcer
        self._accounts = accounts
        self._durability = durability

    def durable(self, first: Upload) -> bool:
        """Whether a new upload, its record first, has to be on disk before it is used."""
        if first.finished:
            return self._durability is not Durability.NONE
        return self._durability is Durability.ACK

    async def make(self, claim: Claim, new: Upload, content: bytes, request: RequestInfo) -> None:
        """Store the first bytes of an upload whose record was just made.

        Args:
            claim: of the upload, whose record says what it is with these bytes.
            new: what it is without them.
            content: none, or all of it.
            request: what made it.

        Raises:
            TusError: there is neither the record nor the bytes.
        """
        first, made = claim.upload, False
        events = [(HookType.POST_CREATE, new)]
        if first.finished:
            events.append((HookType.POST_FINISH, first))
        try:
            async with self._announcer.around(request, *events, before=None):
                await self._store(claim, content)
                made = True
                if first.finished:
                    await self._accounts.settle(first)
        except BaseException:
            if not made:
                with contextlib.suppress(ClaimLost):
                    await claim.remove()
            raise

    async def _store(self, claim: Claim, content: bytes) -> None:
        first = claim.upload
        # If that fails, what is there under that id may be somebody else's.
        await self._data.create(first, content, durable=self.durable(first))
        if not first.finished:
            return
        try:
            await self._data.finish(first, durable=False)  # it is on disk, if need be
            if claim.fence:  # it is acknowledged, so nobody must have taken it away
                await claim.save(first, release=True)
        except BaseException:
            await self._data.delete(first)
            raise
