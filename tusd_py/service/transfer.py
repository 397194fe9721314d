"""One body on its way into one upload: what is stored, what is verified, what is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..interfaces import AppendSession, Body, BodyEnd, Claim, Durability, size_of
from ..interfaces.occurrences import Observe, ignore
from ..protocol.checksum import ALGORITHMS, Checksum, ChecksumInTrailer, Digest, parse_checksum
from ..protocol.errors import (
    BytesBusy,
    ChecksumMismatch,
    ClaimLost,
    InsufficientStorage,
    InvalidBody,
    InvalidChecksum,
    MaxSizeExceeded,
    StoreUnavailable,
    TusError,
    UploadDamaged,
    UploadSizeExceeded,
)
from ..protocol.model import Limits, Upload
from ..protocol.rules import AppendPlan, settle_append, too_long
from .bounds import Bounded
from .digests import FileDigests
from .filetypes import FileTypes

# While a body streams, it is made durable each time this much has come; a power cut costs a
# running upload no more than this.
CHECKPOINT_BYTES = 64 * 1024 * 1024
# So much of a body that filled the disk makes room for its record.
ROOM_BYTES = 64 * 1024
# Where claims can be lost to other nodes, these are told of progress this often at most.
PROGRESS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """The rules by which bytes are kept, and who takes note."""

    limits: Limits
    durability: Durability
    clock: Callable[[], float]
    types: FileTypes
    digests: FileDigests
    bounded: Bounded
    observe: Observe = ignore

    def settle(self, plan: AppendPlan, stored: int, *, synced: int) -> Upload:
        """Return the record once bytes up to `stored` are kept, those up to `synced` on disk."""
        return settle_append(
            plan, stored, synced=min(synced, stored), limits=self.limits, now=self.clock()
        )

    def is_durable(self, *, cut: bool, completes: bool, unsynced: int) -> bool:
        """Whether the end of a body has to be on disk before its client is answered.

        A body that was cut costs nobody any waiting, so it is synced whenever anything is.

        Args:
            cut: the body did not come to its own end.
            completes: the upload has all its bytes.
            unsynced: how many of its bytes only the cache may have.
        """
        match self.durability:
            case Durability.NONE:
                return False
            case Durability.COMPLETE:
                return cut or completes or unsynced >= CHECKPOINT_BYTES
            case Durability.ACK:
                return True


class Verifier:
    """Implements `Digest` for the checksum that was announced, or for all that may come."""

    def __init__(self, announced: Checksum | ChecksumInTrailer) -> None:
        self._announced = announced
        names = [announced.algorithm] if isinstance(announced, Checksum) else list(ALGORITHMS)
        self._digests: Mapping[str, Digest] = {name: ALGORITHMS[name][0]() for name in names}

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        for digest in self._digests.values():
            digest.update(data)

    def digest(self) -> bytes:
        return next(iter(self._digests.values())).digest()

    def check(self, body: Body) -> None:
        """Compare, now that all of the body has been stored.

        Raises:
            ChecksumMismatch: 460.
            InvalidChecksum: the trailer that was announced is missing or malformed.
        """
        checksum = self._announced
        if isinstance(checksum, ChecksumInTrailer):
            trailer = (body.trailers() or {}).get("upload-checksum")
            if trailer is None:
                raise InvalidChecksum("the announced trailer Upload-Checksum did not come")
            checksum = parse_checksum(trailer)
        if not checksum.matches(self._digests[checksum.algorithm]):
            raise ChecksumMismatch


def check_trailers(body: Body, announced: frozenset[str]) -> None:
    """Refuse a body with a trailer that its head did not speak of.

    It may be a checksum that the client believes to be verified.

    Raises:
        InvalidBody
    """
    if not (body.trailers() or {}).keys() <= announced:
        raise InvalidBody("a trailer came that the head of the request had not announced")


class Transfer:
    """Moves a body into an append session and saves what is kept of it.

    Attributes:
        received: how many bytes of the body have come.
    """

    def __init__(
        self, claim: Claim, plan: AppendPlan, session: AppendSession, body: Body, keeping: Keeping
    ) -> None:
        self._claim = claim
        self._plan = plan
        self._session = session
        self._body = body
        self._keeping = keeping
        self._start = plan.upload.offset
        self.received = 0
        self._synced = plan.upload.checkpoint
        self._saved_at = keeping.clock()

    async def run(self) -> Upload:
        """Store whatever comes and return what is kept; it is saved by the caller.

        Raises:
            MaxSizeExceeded, UploadSizeExceeded: there is more than fits.
            InvalidBody: a trailer came unannounced.
                After these, what came since the last checkpoint is dropped, so that such a
                request never completes an upload.
            InsufficientStorage, StoreUnavailable: what is good of it has been saved.
        """
        saved = self._start
        try:
            await self._have_bytes_count()
            while await self._move():
                # Of the last byte only the end of the body tells whether it really is the last.
                if self._is_checkpoint_due(saved) and not self._is_all:
                    saved = await self._checkpoint()
            check_trailers(self._body, self._plan.trailers)
            stored = await self._commit(cut=self._body.end is not BodyEnd.COMPLETE)
        except (MaxSizeExceeded, UploadSizeExceeded, InvalidBody):
            await self._session.rollback(saved)
            await self._claim.save(self._kept(saved))
            raise
        except (BytesBusy, ClaimLost, UploadDamaged):
            raise  # there is nothing to keep, nor a place for it
        except TusError as error:
            await self._save_the_good(error)
            raise
        return self._kept(stored)

    async def _have_bytes_count(self) -> None:
        """Have what comes now count as it comes, also after a body that was verified first."""
        if self._claim.exact:
            await self._session.commit()  # cuts off what does not count
            await self._claim.save(self._plan.upload)

    async def _save_the_good(self, error: TusError) -> None:
        """Save what the disk has taken before it failed."""
        stored = await self._session.commit()
        if isinstance(error, InsufficientStorage) and self._keeping.durability is Durability.ACK:
            # What is told has to be on disk, and so has its record, which needs room, too.
            with contextlib.suppress(InsufficientStorage, StoreUnavailable):
                await self._session.rollback(max(self._start, self._synced, stored - ROOM_BYTES))
                await self._checkpoint()
                return
        kept = self._kept(await self._session.commit())
        # A disk that failed may have kept us from cutting off what it did not store.
        await self._claim.save(kept, exact=isinstance(error, StoreUnavailable))

    async def run_verified(self, verifier: Verifier) -> Upload:
        """Store all of the body or nothing of it, even if this process dies on the way.

        Raises:
            ChecksumMismatch, InvalidChecksum: and what `run` raises; nothing is kept.
        """
        marked = self._claim.exact
        if not marked:  # if this goes well, the mark stays for the next one
            await self._claim.save(self._plan.upload, exact=True)
        verified = False
        try:
            while await self._move():
                pass
            stored = await self._commit(cut=False)
            if self._body.end is BodyEnd.COMPLETE:
                check_trailers(self._body, self._plan.trailers)
                verifier.check(self._body)
                verified = True
                return self._kept(stored)
        finally:
            if not verified:
                await self._session.rollback(self._start)
                # Less than that is left if a sync failed.
                kept = self._kept(await self._session.commit())
                await self._claim.save(kept, exact=marked)
        return self._claim.upload

    @property
    def _reached(self) -> int:
        return self._start + self.received

    @property
    def _is_all(self) -> bool:
        return self._reached == self._plan.upload.length

    async def _move(self) -> bool:
        """Move one buffer; return False at the end of the body."""
        chunk = await self._body.read()
        coming = len(chunk) if isinstance(chunk, bytes) else chunk.most
        try:
            if self.received + coming > self._plan.room:
                raise too_long(self._plan.upload, self._keeping.limits)
            if chunk:
                await self._session.write(chunk)
        finally:
            self.received += size_of(chunk)
        return bool(chunk)

    def _is_checkpoint_due(self, saved: int) -> bool:
        # Bodies before this one may have left something to be synced, too.
        last = saved if self._keeping.durability is Durability.NONE else self._synced
        if self._reached - last >= CHECKPOINT_BYTES:
            return True
        if not self._claim.fence and self._keeping.durability is Durability.ACK:
            return False  # each would be a sync
        # What others know of this body is its record, or the size of its file.
        elapsed_s = self._keeping.clock() - self._saved_at
        return not 0 <= elapsed_s < PROGRESS_S

    async def _checkpoint(self) -> int:
        """Make what came so far durable and known, and return the offset."""
        stored = await self._commit(cut=False)
        upload = self._kept(stored)
        await self._claim.save(upload, durable=upload.checkpoint == stored)
        self._saved_at = self._keeping.clock()
        return stored

    async def _commit(self, *, cut: bool) -> int:
        """Store what was written, on disk if the policy says so, and return the offset."""
        durable = self._keeping.is_durable(
            cut=cut, completes=self._is_all, unsynced=self._reached - self._synced
        )
        stored = await self._session.commit(durable=durable)
        if durable:
            self._synced = stored
        return stored

    def _kept(self, stored: int) -> Upload:
        return self._keeping.settle(self._plan, stored, synced=self._synced)
