"""Keeps the bytes of a claimed upload out of reach of whoever held it before."""

from __future__ import annotations

from dataclasses import replace

from ..interfaces import Claim, DataStore


class Custody:
    """Takes bytes away from holders that have lost their claim and may not know it.

    Where claims cannot be lost (their fence is 0) it has nothing to do.
    """

    def __init__(self, data: DataStore) -> None:
        self._data = data

    async def secure(self, claim: Claim) -> None:
        """Take the bytes away from an earlier holder that never gave them back.

        To be called before anything is written to an upload. To remove one it is not needed:
        to unlink bytes takes them away, too.

        Raises:
            ClaimLost: somebody else has the upload by now.
            UploadDamaged: bytes are missing.
            InsufficientStorage, StoreUnavailable
        """
        if claim.seized:
            await self._seize(claim)

    async def retake(self, claim: Claim) -> None:
        """Make bytes usable again that turned out to be missing, or busy.

        They are, if they were taken from us, or are in the hands of somebody without a claim,
        or if a seizure moved them and could not save that.

        Raises:
            ClaimLost: it is we who have lost them.
            UploadDamaged: they are missing indeed.
            InsufficientStorage, StoreUnavailable
        """
        await claim.save(claim.upload, exact=claim.exact)
        await self._seize(claim)

    async def _seize(self, claim: Claim) -> None:
        storage = await self._data.seize(claim.upload, claim.fence)
        await claim.save(replace(claim.upload, storage=storage))
