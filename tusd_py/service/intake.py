"""Receives bodies: starts their transfer, lets others stop it, and settles what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..interfaces import Body, BodyEnd, Claim, DataStore, RequestInfo
from ..protocol.commands import BodyHead
from ..protocol.errors import (
    InvalidBody,
    ReadTimeout,
    ServerShutdown,
    TusError,
    UnexpectedEOF,
    UploadInterrupted,
)
from ..protocol.model import Upload
from ..protocol.rules import AppendPlan
from .completion import Completion
from .transfer import Keeping, Transfer, Verifier

_STOPPED_BECAUSE: dict[BodyEnd, type[TusError]] = {
    BodyEnd.DISCONNECTED: UnexpectedEOF,
    BodyEnd.TIMED_OUT: ReadTimeout,
    BodyEnd.MALFORMED: InvalidBody,
    BodyEnd.TAKEN_OVER: UploadInterrupted,
    BodyEnd.SHUTDOWN: ServerShutdown,
}


class Intake:
    """Receives the bodies of POST and PATCH."""

    def __init__(self, data: DataStore, completion: Completion, keeping: Keeping) -> None:
        self._data = data
        self._completion = completion
        self._keeping = keeping
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

    async def receive(
        self, claim: Claim, plan: AppendPlan, head: BodyHead, body: Body, request: RequestInfo
    ) -> None:
        """Store the body; afterwards `claim.upload` is what is kept.

        Raises:
            TusError: why not all of the body was stored. What arrived is kept, unless a
                checksum was announced, or the body was longer than the upload.
        """
        if head.length == 0 and head.checksum is None:
            synced = plan.upload.checkpoint
            kept = self._keeping.settle(plan, plan.upload.offset, synced=synced)
            await self._save(claim, kept, request, marked=False)
            return
        verifier = None if head.checksum is None else Verifier(head.checksum)
        with self._stoppable(claim, body):
            async with self._data.append(plan.upload, digest=verifier) as session:
                transfer = Transfer(claim, plan, session, body, self._keeping)
                if verifier is None:
                    kept = await transfer.run()
                else:
                    kept = await transfer.run_verified(verifier)
        await self._save(claim, kept, request, marked=verifier is not None)
        if body.end is not None and body.end is not BodyEnd.COMPLETE:
            raise _STOPPED_BECAUSE[body.end]

    async def _save(
        self, claim: Claim, kept: Upload, request: RequestInfo, *, marked: bool
    ) -> None:
        """Save what is kept, on disk if its bytes are.

        Args:
            marked: the record says that nothing behind the old offset counts (`exact`), so it
                has to be saved even if it says the same otherwise.
        """
        if kept.complete and not kept.finished:
            await self._completion.complete(claim, kept, request)
        elif marked or kept != claim.upload:
            await claim.save(kept, durable=kept.checkpoint == kept.offset > 0)

    @contextlib.contextmanager
    def _stoppable(self, claim: Claim, body: Body) -> Iterator[None]:
        """Let the shutdown, and whoever else wants the upload, end the body."""
        self._running.add(body)
        try:
            if self._stopped:
                body.stop(BodyEnd.SHUTDOWN)
            claim.on_wanted(lambda: body.stop(BodyEnd.TAKEN_OVER))
            yield
        finally:
            self._running.discard(body)
