"""What has to happen when the last byte of an upload is stored, once and in this order."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ..interfaces import Claim, DataStore, Durability, HookType, Placer, RequestInfo
from ..interfaces.occurrences import Finished
from ..protocol.errors import InsufficientStorage, StoreUnavailable, TusError
from ..protocol.model import PLACED_AT, Final, Partial, Upload
from ..protocol.rules import settle_whole
from .access import Gate
from .announce import Announcer
from .asking import Asker
from .digests import NotAsDeclared
from .transfer import Keeping

# A client that comes back in this time is told why, by then it is just not there any more.
FAILED_STAYS_S = 3600.0
# After a crash a client comes back sooner than this, or never.
LEFT_AFTER_S = 24 * 3600.0


class Completion:
    """Finishes uploads: bytes made final and verified, pre-finish, record, post-finish."""

    def __init__(  # noqa: PLR0913 - each has its part in the end of an upload
        self,
        data: DataStore,
        asker: Asker,
        announcer: Announcer,
        gate: Gate,
        keeping: Keeping,
        *,
        placer: Placer | None,
    ) -> None:
        self._data = data
        self._placer = placer
        self._gate = gate
        self._asker = asker
        self._announcer = announcer
        self._keeping = keeping
        self._durable = keeping.durability is not Durability.NONE

    def foresee(self, new: Upload, content: bytes) -> Upload:
        """Return the record of a new upload whose first bytes are all or none of it.

        When it is complete and nobody can object, it is finished from the start: one record is
        written instead of two.

        Raises:
            ChecksumMismatch: it is not the file that was announced.
        """
        if len(content) != new.length or isinstance(new.kind, Final):
            return new
        finished = self._placer is None and not self._asker.listens_to(HookType.PRE_FINISH)
        return settle_whole(
            new,
            digests=self._keeping.digests.of_content(new, content),
            finished=finished,
            synced=finished and self._durable,
            limits=self._keeping.limits,
            now=self._keeping.clock(),
        )

    async def make_final(self, upload: Upload) -> None:
        """Have the data store make the bytes final, on disk if anything is."""
        await self._data.finish(upload, durable=self._durable)

    async def complete(
        self, claim: Claim, upload: Upload, request: RequestInfo | None, *, release: bool = False
    ) -> None:
        """Finish an upload whose bytes are all stored, and save it as finished.

        Args:
            claim: of the upload.
            upload: what to save, but for being finished.
            request: what made it complete, if anything did.
            release: if all goes well, the claim is given back with it.

        Raises:
            ChecksumMismatch: it is not the file that was announced, and never will be finished.
            TusError: the hook refused, or the permission is gone; the upload stays unfinished
                and is tried again by whoever claims it next.
        """
        agreed = PLACED_AT in upload.storage  # a crash, or the disk, got in between
        try:
            await self.make_final(upload)
        except (InsufficientStorage, StoreUnavailable):
            await self._doubt(claim, upload)
            raise
        try:
            await self._keeping.types.check_stored(upload)
            upload = replace(upload, digests=await self._keeping.digests.of(claim, upload))
            if not isinstance(upload.kind, Final):  # its parts have arrived long since
                await self._gate.confirm(upload, request)
            if not agreed:
                await self._asker.before_finish(upload, request)
        except NotAsDeclared as error:
            await self._fail(claim, upload, error, request)
            raise
        except Exception:
            # The bytes are there nevertheless, but for no longer than before.
            await claim.save(replace(upload, expires_at=claim.upload.expires_at))
            raise
        finished = self._finished(await self._placed(claim, upload))
        async with (
            self._announcer.around(request, (HookType.POST_FINISH, finished), before=claim.upload),
            self._keeping.bounded.accounts.finishing(claim.upload, finished),
        ):
            await claim.save(finished, durable=self._durable, release=release)
        self.note(finished)

    def note(self, finished: Upload) -> None:
        """Have it noted that an upload is finished."""
        began = finished.created_at
        duration_s = None if began is None else max(0.0, self._keeping.clock() - began)
        self._keeping.observe(Finished(upload=finished, duration_s=duration_s))

    async def _doubt(self, claim: Claim, upload: Upload) -> None:
        """Keep only the bytes that were on disk before: the others did not get there."""
        if isinstance(upload.kind, Final):
            return  # it is joined anew
        with contextlib.suppress(TusError):  # the disk is in trouble
            kept = replace(
                upload,
                offset=upload.checkpoint,
                digests={},
                expires_at=claim.upload.expires_at,
            )
            await claim.save(kept, exact=True)

    async def _fail(
        self, claim: Claim, upload: Upload, error: TusError, request: RequestInfo | None
    ) -> None:
        """Mark an upload that can never be finished; the janitor removes it."""
        expires_at = self._keeping.clock() + FAILED_STAYS_S
        failed = replace(upload, failed=error.code, expires_at=expires_at)
        await claim.save(failed, durable=self._durable)
        await self._keeping.bounded.accounts.settle(failed)
        await self._announcer.now(request, HookType.POST_INTERRUPT, failed, cause=error.code)

    def _finished(self, upload: Upload) -> Upload:
        return replace(
            upload,
            finished=True,
            checkpoint=upload.offset if self._durable else upload.checkpoint,
            expires_at=upload.expires_at if isinstance(upload.kind, Partial) else None,
        )

    async def _placed(self, claim: Claim, upload: Upload) -> Upload:
        """Have the file placed, if files are, and return it with its place.

        That it will be is saved first, and that it is complete: from then on nothing can cut it.
        """
        if self._placer is None or isinstance(upload.kind, Partial):
            return upload
        if PLACED_AT not in upload.storage:
            storage = self._placer.plan(upload, self._keeping.clock())
            # If nobody ever asks for it again, the janitor finishes it then.
            due = claim.upload.expires_at or self._keeping.clock() + LEFT_AFTER_S
            upload = replace(upload, storage=storage, checkpoint=upload.offset, expires_at=due)
            await claim.save(upload, durable=self._durable)
        return replace(upload, storage=await self._placer.place(upload, durable=self._durable))

    async def catch_up(self, claim: Claim, request: RequestInfo | None) -> bool:
        """Finish what a crash, or a hook that refused, left complete but unfinished.

        A client that asks for the offset takes offset == length for success, so it must not
        see that before all of it is true. Returns whether there was something to finish.
        """
        upload = claim.upload
        if not upload.complete or upload.finished:
            return False
        await self.complete(claim, upload, request)
        return True
