"""What happens to uploads, in order: create, inspect, append, terminate, fetch.

Each operation decides with `protocol.rules`, then acts through the seams, and returns what is
to be told to the client or raises the error that is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import BinaryIO

from ..interfaces import (
    Authorize,
    Body,
    Claim,
    DataStore,
    Hooks,
    HookType,
    Ledger,
    OffsetStore,
    Operation,
    Placer,
    RequestInfo,
    occurrences,
)
from ..interfaces.occurrences import Observe, ignore
from ..protocol.commands import (
    Append,
    Appended,
    BodyHead,
    Create,
    Created,
    Fetch,
    Inspect,
    Inspected,
    Terminate,
    Terminated,
)
from ..protocol.errors import (
    ClaimLost,
    FileTypeNotAllowed,
    ModifyFinal,
    ReadTimeout,
    ServerShutdown,
    TusError,
    UnexpectedEOF,
    UploadInterrupted,
    UploadNotFound,
    UploadStopped,
)
from ..protocol.model import PLACED_AT, Final, Partial, Upload, UploadId
from ..protocol.rules import AppendPlan, plan_append, plan_fetch, plan_inspect, plan_terminate
from .access import Gate, allow_all
from .accounts import Accounts
from .announce import Announcer
from .asking import Asker
from .assembly import Assembly
from .bounds import Bounded, Space
from .claims import Claims
from .completion import Completion
from .creation import Creation
from .custody import Custody
from .digests import FileDigests
from .filetypes import FileTypes
from .intake import Intake
from .lateness import LateFinishes
from .planning import Planner
from .policy import Policy
from .progress import Progress
from .removal import Removal
from .throttle import Throttle
from .transfer import Keeping
from .watching import Watching


class Uploads:
    """The operations on uploads.

    Args:
        offsets: records and claims.
        data: bytes.
        policy: limits, durability and the like.
        hooks: what the application is asked.
        announcer: how it is told.
        ledger: where uploads are counted, for limits.
        observe: takes note of what happens.
        authorize: who may do what.
        placer: gives finished files a second name; None: they have none.
    """

    def __init__(  # noqa: PLR0913 - two stores, and the three ways to have a say
        self,
        offsets: OffsetStore,
        data: DataStore,
        policy: Policy,
        *,
        hooks: Hooks,
        announcer: Announcer,
        ledger: Ledger,
        authorize: Authorize = allow_all,
        observe: Observe = ignore,
        placer: Placer | None = None,
    ) -> None:
        self._offsets = offsets
        self._data = data
        self._policy = policy
        self._asker = Asker(hooks, policy.clock, observe)
        self._gate = Gate(offsets, authorize, self._asker)
        self.watching = Watching(self._gate, offsets, data, policy.clock)
        observe = self.watching.told_too(observe)
        digests = FileDigests(policy.digests, data, policy.digest_wait_s)
        self._claims = Claims(offsets, policy.acquire_lock_timeout_s, observe, digests.claimed)
        self._announcer = announcer
        self._observe = observe
        self._types = FileTypes(policy.files, data)
        accounts = Accounts(ledger, offsets, policy.bounds, policy.clock)
        space = Space(data, policy.bounds.min_free_bytes, policy.clock)
        throttle = Throttle(policy.bounds, ledger.spend, policy.clock)
        self._bounded = Bounded(accounts, throttle, space)
        self._creation = Creation(data, announcer, accounts, policy.durability)
        self._removal = Removal(data, announcer, accounts, observe)
        keeping = Keeping(
            limits=policy.limits,
            durability=policy.durability,
            clock=policy.clock,
            types=self._types,
            digests=digests,
            bounded=self._bounded,
            observe=observe,
        )
        self._planner = Planner(data, policy, self._gate, self._asker, keeping)
        self._custody = Custody(data)
        self._completion = Completion(
            data, self._asker, announcer, self._gate, keeping, placer=placer
        )
        self._progress = Progress(self._asker, policy.progress_interval_s, self._stop)
        self._intake = Intake(data, self._completion, self._progress, keeping)
        self._assembly = Assembly(offsets, data, self._completion, keeping)
        self._late = LateFinishes(offsets, self._completion, digests, self._after_finish)

    # --- life of the service

    def stop_bodies(self) -> None:
        """Stop every running body: what arrived is stored, and its client is told to retry."""
        self._intake.stop()
        self.watching.stop()

    async def close(self) -> None:
        """End background work; what it left is resumed at the next start."""
        self.stop_bodies()
        await self._progress.close()
        await self._late.close()
        await self._assembly.close()

    async def settle_events(self) -> None:
        """Decide, for ever, about events of processes that died before they could."""
        await self._announcer.run(lambda upload_id: self._offsets.claim(upload_id, timeout_s=0))

    async def keep_accounts(self) -> None:
        """Count uploads for ever, if they have to be counted at all."""
        if self._bounded.accounts.counting:
            await self._bounded.accounts.run()

    async def resume_assembly(self) -> None:
        """Look for final uploads whose parts have all arrived, perhaps at another process."""
        await self._assembly.resume()

    # --- operations

    async def create(self, create: Create, body: Body, request: RequestInfo) -> Created:
        """POST: make an upload, and store the bytes that come along.

        Raises:
            TusError: nothing was created, except after `InsufficientStorage` and the like.
        """
        self._intake.check_running()
        grant = await self._gate.grant_new(request)
        new = await self._planner.plan(create, grant, request)
        async with self._bounded.accounts.admitted(new):
            whole, body = await self._intake.read_whole(new, create.body, body)
            self._types.check_whole(new, whole or b"")
            first = new if whole is None else self._completion.foresee(new, whole)
            # Held until the body has been received: to claim the upload anew would be work, too.
            async with self._offsets.create(first, durable=self._creation.durable(first)) as claim:
                await self._creation.make(claim, new, whole or b"", request)
                self._note_created(new, first, whole)
                final = isinstance(first.kind, Final)
                if not (final or first.finished) and (whole is None or first.complete):
                    first = await self._receive_first(claim, create.body, body, whole, request)
        if final:
            first = await self._assembly.begin(first, self._policy.assembly_wait_s, request)
        elif first.finished:
            self._after_finish(first)
        return Created(first)

    async def inspect(self, inspect: Inspect, request: RequestInfo) -> Inspected:
        """HEAD: end a running PATCH of this upload, count its bytes, and tell the offset.

        Raises:
            UploadNotFound, UploadExpired, UploadDamaged, UploadLocked
        """
        upload = await self._gate.find(Operation.INSPECT, inspect.id, request)
        if upload.finished:  # nobody can change it any more
            return Inspected(plan_inspect(upload, now=self._policy.clock()))
        if isinstance(upload.kind, Final):
            # Its claim may be held for minutes by the assembly; the record tells enough.
            upload = plan_inspect(upload, now=self._policy.clock())
            self._assembly.poke(upload.id)
            return Inspected(upload)
        async with self._claims.take(inspect.id) as claim:
            upload = plan_inspect(claim.upload, now=self._policy.clock())
            # Whoever held it before can change nothing that is told here; a PATCH sees to the rest.
            if upload.complete:
                await self._custody.secure(claim)
            async with self._removal.of_unwanted(claim, request):
                finished = await self._completion.catch_up(claim, request)
            await self._intake.secure_told(claim)
            upload = claim.upload
        if finished:
            self._after_finish(upload)
        return Inspected(upload)

    async def append(self, append: Append, body: Body, request: RequestInfo) -> Appended:
        """PATCH: store the bytes of the body at the end of the upload.

        Raises:
            TusError: what arrived before is kept, unless a checksum was announced.
        """
        self._intake.check_running()
        await self._gate.check(Operation.APPEND, append.id, request)
        if self._assembly.is_joining(append.id):
            raise ModifyFinal  # to ask for the claim would only stop the joining
        async with self._claims.take(append.id) as claim:
            was_finished = claim.upload.finished
            error = None
            try:
                plan_inspect(claim.upload, now=self._policy.clock())  # before it is caught up
                await self._custody.secure(claim)
                await self._completion.catch_up(claim, request)
                await self._intake.secure_told(claim)
                plan = plan_append(
                    append, claim.upload, limits=self._policy.limits, now=self._policy.clock()
                )
                await self._intake.receive(claim, plan, append.body, body, request)
            except TusError as why_not_all:  # all bytes may be there nevertheless
                error = why_not_all
                error.kept = claim.upload.offset
            upload = claim.upload
            if isinstance(error, UploadStopped | FileTypeNotAllowed):
                await self._removal.remove(claim, HookType.POST_TERMINATE, request)
        if upload.finished and not was_finished:
            self._after_finish(upload)
        if error is not None:
            if isinstance(error, _CUT_SHORT):
                event = HookType.POST_INTERRUPT
                await self._announcer.now(request, event, upload, cause=error.code)
            raise error
        return Appended(upload)

    async def terminate(self, terminate: Terminate, request: RequestInfo) -> Terminated:
        """DELETE: remove the upload, whatever is being done to it, and if its bytes are missing.

        Raises:
            UploadNotFound, UploadExpired, UploadLocked, TerminationRejected
            UploadDamaged: not even its record can be read, or what is there is no file of ours.
        """
        self._intake.check_running()
        await self._gate.check(Operation.TERMINATE, terminate.id, request, damaged=True)
        async with self._claims.take(terminate.id, damaged=True) as claim:
            upload = plan_terminate(claim.upload, now=self._policy.clock())
            await self._asker.before_terminate(upload, request)
            await self._removal.remove(claim, HookType.POST_TERMINATE, request)
        return Terminated()

    async def fetch(self, fetch: Fetch, request: RequestInfo) -> Upload:
        """GET: return the upload if it can be downloaded. Takes no claim, disturbs nobody.

        Raises:
            UploadNotFound, UploadExpired, UploadDamaged, IncompleteUpload
        """
        upload = await self._gate.find(Operation.FETCH, fetch.id, request)
        return plan_fetch(upload, now=self._policy.clock())

    def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        """See `DataStore.read`."""
        return self._data.read(upload, start, stop)

    def open_file(self, upload: Upload) -> Awaitable[BinaryIO | None]:
        """See `DataStore.open_file`."""
        return self._data.open_file(upload)

    async def expire(self, upload_id: UploadId) -> bool:
        """Remove the upload if it has expired and nobody uses it; return whether it was removed."""
        async with self._offsets.claim(upload_id, timeout_s=0, damaged=True) as claim:
            if not claim.upload.expired(self._policy.clock()):
                return False
            # Of what is complete, and agreed to, a crash may have come between it and its place.
            agreed = PLACED_AT in claim.upload.storage
            if agreed and await self._completion.catch_up(claim, None):
                return False
            await self._removal.remove(claim, HookType.POST_EXPIRE, None)
            return True

    async def remove(self, upload_id: UploadId, event: HookType) -> None:
        """Remove an upload as an operator wants it, whatever is being done to it; tell of it so.

        Raises:
            UploadNotFound, UploadLocked, UploadDamaged: as for `terminate`.
        """
        async with self._claims.take(upload_id, damaged=True) as claim:
            await self._removal.remove(claim, event, None)

    # --- steps

    def _note_created(self, new: Upload, first: Upload, whole: bytes | None) -> None:
        self._observe(occurrences.Created(upload=new))
        if whole:
            self._observe(
                occurrences.BodyEnded(upload=first, received=len(whole), duration_s=0.0, cause=None)
            )
        if first.finished:
            self._completion.note(first)

    async def _receive_first(
        self,
        claim: Claim,
        head: BodyHead | None,
        body: Body,
        whole: bytes | None,
        request: RequestInfo,
    ) -> Upload:
        """Store the bytes that come with the POST, or finish what is whole.

        The upload exists by now. If its bytes were refused, nobody will learn its URL, so it
        is removed; if they were cut short, what arrived is kept for the PATCH that follows.
        """
        room = self._policy.limits.room_of(claim.upload)
        trailers = frozenset[str]() if head is None else head.trailers
        plan = AppendPlan(upload=claim.upload, room=room, trailers=trailers)
        try:
            if whole is not None or head is None:
                await self._completion.catch_up(claim, request)
            else:
                with contextlib.suppress(*_CUT_SHORT):
                    await self._intake.receive(claim, plan, head, body, request)
        except ClaimLost:  # what is there is no longer ours to remove
            raise
        except TusError:
            await self._removal.remove(claim, HookType.POST_TERMINATE, request)
            raise
        return claim.upload

    async def _stop(self, upload_id: UploadId, request: RequestInfo) -> None:
        """Remove an upload that the application wants stopped, unless it is finished."""
        with contextlib.suppress(UploadNotFound):
            async with self._claims.take(upload_id) as claim:
                if not claim.upload.finished:
                    await self._removal.remove(claim, HookType.POST_TERMINATE, request)

    def _after_finish(self, upload: Upload) -> None:
        if isinstance(upload.kind, Partial):
            self._assembly.part_completed(upload.id)


# The client can go on with a PATCH after these.
_CUT_SHORT = (UnexpectedEOF, ReadTimeout, UploadInterrupted, ServerShutdown)
