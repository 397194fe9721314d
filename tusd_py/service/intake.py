"""Receives bodies: starts their transfer, lets others stop it, and settles what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..interfaces import Body, BodyEnd, Chunk, Claim, DataStore, Durability, RequestInfo
from ..interfaces.occurrences import BodyBegun, BodyEnded
from ..protocol.commands import BodyHead
from ..protocol.errors import (
    BytesBusy,
    InternalError,
    InvalidBody,
    ReadTimeout,
    ServerShutdown,
    TusError,
    UnexpectedEOF,
    UploadDamaged,
    UploadInterrupted,
    UploadStopped,
)
from ..protocol.model import Upload
from ..protocol.rules import AppendPlan
from .completion import Completion
from .custody import Custody
from .digests import Both
from .progress import Progress
from .transfer import Keeping, Transfer, Verifier

# An upload up to this size that comes with its creation is stored in one go, at half the cost of
# streaming it (`python -m tests.benchmarks.thresholds`); it waits in memory until then.
WHOLE_BYTES = 64 * 1024

_STOPPED_BECAUSE: dict[BodyEnd, type[TusError]] = {
    BodyEnd.DISCONNECTED: UnexpectedEOF,
    BodyEnd.TIMED_OUT: ReadTimeout,
    BodyEnd.MALFORMED: InvalidBody,
    BodyEnd.TAKEN_OVER: UploadInterrupted,
    BodyEnd.SHUTDOWN: ServerShutdown,
    BodyEnd.STOPPED: UploadStopped,
}


class Intake:
    """Receives the bodies of POST and PATCH."""

    def __init__(
        self, data: DataStore, completion: Completion, progress: Progress, keeping: Keeping
    ) -> None:
        self._data = data
        self._progress = progress
        self._completion = completion
        self._keeping = keeping
        self._custody = Custody(data)
        self._running: set[Body] = set()
        self._stopped = False

    def check_running(self) -> None:
        """Refuse what would change uploads once the server is going down.

        Raises:
            ServerShutdown
        """
        if self._stopped:
            raise ServerShutdown

    def stop(self) -> None:
        """End every running body, and those to come."""
        self._stopped = True
        for body in list(self._running):
            body.stop(BodyEnd.SHUTDOWN)

    async def read_whole(
        self, new: Upload, head: BodyHead | None, body: Body
    ) -> tuple[bytes | None, Body]:
        """Read the body of a creation, if it is known to be the whole of a small upload.

        Returns all the bytes; or None, and the body that is left to be received.

        Raises:
            ChecksumMismatch, InvalidChecksum: nothing has been created yet.
        """
        if head is None:
            return b"", body
        if head.length is None or head.length > WHOLE_BYTES or head.length != new.length:
            return None, body
        content = b""
        slowed = self._keeping.bounded.whole(new, body)
        with self._stoppable(slowed):
            while chunk := await slowed.read():
                assert isinstance(chunk, bytes)  # that small, they are shown
                content += chunk
        if body.end is not BodyEnd.COMPLETE:
            return None, _ReadAhead(content, body)
        if head.checksum is not None:
            verifier = Verifier(head.checksum)
            verifier.update(content)
            verifier.check(body)
        return content, body

    async def receive(
        self, claim: Claim, plan: AppendPlan, head: BodyHead, body: Body, request: RequestInfo
    ) -> None:
        """Store the body; afterwards `claim.upload` is what is kept, and the claim given back.

        Raises:
            ClaimLost: somebody else has the upload by now; nothing of the body counts.
            BytesBusy: what was in the way is no more, but some of the body has been read.
            UploadStopped: the application wants the upload to be removed.
            TusError: why not all of the body was stored. What arrived is kept, unless a
                checksum was announced, or the body was longer than the upload.
        """
        if head.length == 0 and head.checksum is None and plan.upload == claim.upload:
            return  # without a byte, or a length, there is nothing to keep
        bounded = self._keeping.bounded
        if not bounded.hold(plan.upload):
            await self._receive(claim, plan, head, body, request)
            return
        async with bounded.around(claim, plan.upload, head, body) as slowed:
            await self._receive(claim, plan, head, slowed, request)

    async def _receive(
        self, claim: Claim, plan: AppendPlan, head: BodyHead, body: Body, request: RequestInfo
    ) -> None:
        verifier = None if head.checksum is None else Verifier(head.checksum)
        try:
            judged = await self._keeping.types.watch(plan.upload, body)
            with self._progress.watch(plan.upload, judged, request) as watched:
                kept = await self._transfer(claim, plan, watched, verifier)
        except (UploadDamaged, BytesBusy):
            if not claim.fence:  # nobody else can have anything to do with it
                raise
            await self._custody.retake(claim)
            raise BytesBusy from None
        if body.end is BodyEnd.STOPPED:  # nothing of it is kept, so nothing has to be saved
            raise UploadStopped
        await self._save(claim, kept, request, verified=verifier is not None)
        if body.end is not None and body.end is not BodyEnd.COMPLETE:
            raise _STOPPED_BECAUSE[body.end]

    async def secure_told(self, claim: Claim) -> None:
        """Before a client is told an offset, see to it that a power cut leaves it, if promised.

        Only what a crash, or a fault, has left in the cache is not on disk yet.
        """
        unsynced = claim.upload.offset - claim.upload.checkpoint
        needed = self._keeping.is_durable(cut=False, completes=False, unsynced=unsynced)
        if not unsynced or not needed:
            return
        await self._custody.secure(claim)
        upload = claim.upload
        async with self._data.append(upload) as session:
            stored = await session.commit(durable=True)
        await claim.save(replace(upload, offset=stored, checkpoint=stored), durable=True)

    async def _transfer(
        self, claim: Claim, plan: AppendPlan, body: Body, verifier: Verifier | None
    ) -> Upload:
        with self._stoppable(body):
            claim.on_wanted(lambda: body.stop(BodyEnd.TAKEN_OVER))
            digests = self._keeping.digests
            running = digests.follow(plan.upload)
            digest = Both(verifier, running) if verifier and running else verifier or running
            async with self._data.append(plan.upload, digest=digest) as session:
                transfer = Transfer(claim, plan, session, body, self._keeping)
                with self._noted(transfer, claim, body) as outcome:
                    run = transfer.run() if verifier is None else transfer.run_verified(verifier)
                    outcome.kept = await run
            digests.keep(running, claim, outcome.kept)
            return outcome.kept

    @contextlib.contextmanager
    def _noted(self, transfer: Transfer, claim: Claim, body: Body) -> Iterator[_Outcome]:
        """Have begin and end of a transfer noted."""
        began = time.monotonic()
        outcome = _Outcome(claim.upload)
        self._keeping.observe(BodyBegun(upload=claim.upload, received=lambda: transfer.received))
        cause: str | None = InternalError.code
        try:
            yield outcome
            end = body.end or BodyEnd.COMPLETE
            cause = None if end is BodyEnd.COMPLETE else _STOPPED_BECAUSE[end].code
        except TusError as error:
            cause = error.code
            raise
        finally:
            self._keeping.observe(
                BodyEnded(
                    upload=outcome.kept,
                    received=transfer.received,
                    duration_s=time.monotonic() - began,
                    cause=cause,
                )
            )

    async def _save(
        self, claim: Claim, kept: Upload, request: RequestInfo, *, verified: bool
    ) -> None:
        """Save what is kept, on disk if its bytes are, and give the claim back.

        Args:
            verified: bytes behind them do not count; the next such body finds that so.
        """
        if kept.complete and not kept.finished:
            await self._completion.complete(claim, kept, request, release=True)
        elif kept != claim.upload:
            always = self._keeping.durability is Durability.ACK
            durable = always or kept.checkpoint == kept.offset > 0
            await claim.save(kept, durable=durable, exact=verified, release=True)

    def _stoppable(self, body: Body) -> _Running:
        """Let the shutdown end the body."""
        if self._stopped:
            body.stop(BodyEnd.SHUTDOWN)
        return _Running(self._running, body)


class _Running:
    """Keeps a body among those that run, for the length of the context."""

    __slots__ = ("_body", "_running")

    def __init__(self, running: set[Body], body: Body) -> None:
        self._running = running
        self._body = body

    def __enter__(self) -> None:
        self._running.add(self._body)

    def __exit__(self, *exc: object) -> None:
        self._running.discard(self._body)


@dataclass(slots=True)
class _Outcome:
    """What is kept of a body."""

    kept: Upload


class _ReadAhead:
    """Implements `Body`: gives what was read of another once more."""

    def __init__(self, content: bytes, body: Body) -> None:
        self._content = content
        self._body = body

    @property
    def end(self) -> BodyEnd | None:
        return None if self._content else self._body.end

    async def read(self) -> Chunk:
        content, self._content = self._content, b""
        return content or await self._body.read()

    def stop(self, why: BodyEnd) -> None:
        self._body.stop(why)

    def in_pieces(self) -> None:
        self._body.in_pieces()

    def trailers(self) -> Mapping[str, str] | None:
        return self._body.trailers()
