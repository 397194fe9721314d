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
            TusError: there is neither the record nor the bytes; if the disk refuses even to
                remove them, both are there.
        """
        first, stored, made = claim.upload, False, False
        events = [(HookType.POST_CREATE, new)]
        if first.finished:
            events.append((HookType.POST_FINISH, first))
        try:
            async with self._announcer.around(request, *events, before=None):
                await self._data.create(first, content, durable=self.durable(first))
                stored = True
                if first.finished:
                    await self._finish(claim)
                made = True
                if first.finished:
                    await self._accounts.settle(first)
        except BaseException:
            if not made:
                await self._undo(claim, stored=stored)
            raise

    async def _finish(self, claim: Claim) -> None:
        await self._data.finish(claim.upload, durable=False)  # it is on disk, if need be
        if claim.fence:  # it is acknowledged, so nobody must have taken it away
            await claim.save(claim.upload, release=True)

    async def _undo(self, claim: Claim, *, stored: bool) -> None:
        """Remove the record, and first the bytes: without a record they would stay for ever.

        Bytes that we have not stored may be somebody else's.
        """
        if stored:
            await self._data.delete(claim.upload)
        with contextlib.suppress(ClaimLost):  # then it is not ours any more
            await claim.remove()
