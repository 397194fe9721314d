"""Joins the parts of final uploads: at once where it is quick, else in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from ..interfaces import Claim, DataStore, OffsetStore, RequestInfo
from ..protocol.errors import (
    BytesBusy,
    ClaimLost,
    FileTypeNotAllowed,
    MaxSizeExceeded,
    QuotaExceeded,
    TusError,
    UploadDamaged,
    UploadLocked,
    UploadNotFound,
)
from ..protocol.model import PLACED_AT, Final, Upload, UploadId
from ..protocol.rules import plan_join
from .completion import Completion
from .custody import Custody
from .transfer import Keeping

_log = logging.getLogger(__name__)

# Copies compete for one disk; more of them at once would only take turns.
_AT_ONCE = 2

# Somebody else has it, and joins or terminates it.
_ELSEWHERE = (UploadLocked, ClaimLost)

# Nobody but its creator knows a final upload that could not be joined at once.
_REMOVE_TIMEOUT_S = 10.0


class Assembly:
    """Owns the tasks that join parts, at most one for each final upload."""

    def __init__(
        self,
        offsets: OffsetStore,
        data: DataStore,
        completion: Completion,
        keeping: Keeping,
    ) -> None:
        self._offsets = offsets
        self._data = data
        self._custody = Custody(data)
        self._completion = completion
        self._keeping = keeping
        self._accounts = keeping.bounded.accounts
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[UploadId, asyncio.Task[Upload]] = {}
        self._waiting: dict[UploadId, set[UploadId]] = {}  # part -> finals made of it
        self._closed = False

    async def begin(self, final: Upload, wait_s: float, request: RequestInfo) -> Upload:
        """Join the parts of a new final upload; return it as it is after `wait_s` seconds.

        Raises:
            InsufficientStorage, StoreUnavailable: joining failed in that time; it is removed.
        """
        task = self._tasks.get(final.id) or self._start(final.id, request)
        done, _ = await asyncio.wait([task], timeout=wait_s)
        # Locked: another process found it already and joins it, or terminates it.
        if not done or task.cancelled() or isinstance(task.exception(), _ELSEWHERE):
            return final
        if task.exception() is not None:
            await self._remove(final.id)
        return task.result()

    def is_joining(self, final_id: UploadId) -> bool:
        """Whether the parts are being joined in this process, as far as is known."""
        return final_id in self._tasks

    def poke(self, final_id: UploadId) -> None:
        """See whether the parts can be joined by now, in the background."""
        if final_id not in self._tasks and not self._closed:
            self._start(final_id)

    def part_completed(self, part_id: UploadId) -> None:
        """Poke the finals that this part belongs to, as far as this process knows them."""
        for final_id in self._waiting.pop(part_id, ()):
            self.poke(final_id)

    async def resume(self) -> None:
        """Poke every final upload whose parts are not joined: of a crash, or another process."""
        async for final_id in self._offsets.unassembled():
            self.poke(final_id)

    async def close(self) -> None:
        """End all copying; what is unfinished is resumed at the next start."""
        self._closed = True
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _start(
        self, final_id: UploadId, request: RequestInfo | None = None
    ) -> asyncio.Task[Upload]:
        task = asyncio.create_task(self._assemble(final_id, request), name=f"assemble {final_id}")
        self._tasks[final_id] = task
        task.add_done_callback(lambda done: self._ended(final_id, done))
        return task

    def _ended(self, final_id: UploadId, task: asyncio.Task[Upload]) -> None:
        del self._tasks[final_id]
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, (UploadNotFound, *_ELSEWHERE)):
            return  # terminated, or just being assembled by another process
        if error is not None:
            _log.error("AssemblyError", extra={"id": final_id}, exc_info=error)

    async def _assemble(self, final_id: UploadId, request: RequestInfo | None) -> Upload:
        """Join the parts if all of them are complete; return the final as it is then."""
        # No disturbing: whoever holds it either assembles it too or terminates it.
        async with self._room, self._offsets.claim(final_id, timeout_s=0) as claim:
            final = claim.upload
            if final.finished or final.failed or not isinstance(final.kind, Final):
                return final
            if final.expired(self._keeping.clock()):
                return final  # clients were told that it is gone
            if PLACED_AT in final.storage:  # they are joined, and others may see the file already
                await self._completion.catch_up(claim, request)
                return claim.upload
            parts = await self._parts_of(final.id, final.kind)
            try:
                joint = plan_join(final, parts, limits=self._keeping.limits)
                if joint is None:
                    return final
                await self._keeping.types.check_joined(final, parts)
                if final.length is None:  # its parts have only now told it
                    await self._accounts.grow(final, joint)
            except (MaxSizeExceeded, QuotaExceeded, FileTypeNotAllowed):
                await self._forget(claim)  # there is nothing that it could wait for
                raise
            await self._custody.secure(claim)
            try:
                length = await self._concatenate(claim, parts)
            except (UploadDamaged, BytesBusy):
                if not claim.fence:
                    raise
                await self._custody.retake(claim)
                length = await self._concatenate(claim, parts)
            joined = replace(claim.upload, offset=length, length=length, expires_at=None)
            await self._completion.complete(claim, joined, request, release=True)
            return claim.upload

    async def _concatenate(self, claim: Claim, parts: Sequence[Upload]) -> int:
        joining = asyncio.create_task(self._data.concatenate(claim.upload, parts))
        claim.on_wanted(lambda: _cancel(joining))
        return await _join(joining)

    async def _parts_of(self, final_id: UploadId, kind: Final) -> list[Upload]:
        """Read the parts, and have the final poked when those that miss bytes are complete."""
        # Registered before it is read: a part that completes in between is not overlooked.
        for part_id in kind.parts:
            self._waiting.setdefault(part_id, set()).add(final_id)
        parts = [await self._offsets.get(part_id) for part_id in kind.parts]
        for part in parts:
            if part.complete:
                self._waiting.pop(part.id, None)
        return parts

    async def _forget(self, claim: Claim) -> None:
        await self._data.delete(claim.upload)
        await claim.remove()
        await self._accounts.left(claim.upload.id)

    async def _remove(self, final_id: UploadId) -> None:
        try:
            async with self._offsets.claim(final_id, timeout_s=_REMOVE_TIMEOUT_S) as claim:
                await self._forget(claim)
        except TusError:
            _log.warning("AssemblyRemoveError", extra={"id": final_id}, exc_info=True)


def _cancel(joining: asyncio.Task[int]) -> None:
    joining.cancel()


async def _join(joining: asyncio.Task[int]) -> int:
    """Wait for the copy; if it is cancelled, or we are, wait until it has really ended.

    Raises:
        UploadLocked: somebody else wants the final upload, to terminate it as like as not.
    """
    try:
        await asyncio.wait([joining])
    except asyncio.CancelledError:
        joining.cancel()
        await asyncio.wait([joining])
        raise
    if joining.cancelled():
        raise UploadLocked
    return joining.result()
