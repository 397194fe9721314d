"""Records and claims in Redis, for many processes on many machines.

The scripts say what may happen to a record (`redis_scripts`); why that is safe, and what happens
when Redis is in trouble, is told in docs/explanation/redis.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Final

from ..filesystem.work import FileWork
from ..interfaces import Listed
from ..protocol.errors import (
    StoreUnavailable,
    TusError,
    UploadDamaged,
    UploadExists,
    UploadLocked,
    UploadNotFound,
)
from ..protocol.model import Upload, UploadId
from ..redis_client.address import RedisOptions
from .redis_claims import ClaimEvents, RedisClaim, Shared
from .redis_copies import Copies
from .redis_index import RedisIndex
from .redis_keeper import Keeper
from .redis_link import RedisLink
from .redis_records import (
    Stored,
    counted,
    format_stored,
    is_of_earlier_boot,
    parse_stored,
)
from .redis_repair import Repair
from .redis_scripts import CLAIM, CREATE, READ, VERIFIED
from .redis_wakes import Wakes
from .turns import Turn, Turns

_log = logging.getLogger(__name__)

# A message can be missed; then the claim is tried again.
_RETRY_S: Final = 0.25
# Records that are asked for together when all are listed.
_LOOKS_AT_ONCE: Final = 64

# A fence that comes after a loss is higher than all before: the copy beside the data is written
# each time that many claims have been granted, and far more than that is added to what it says.
_FENCES_PER_COPY: Final = 2**18
_FENCES_AFTER_LOSS: Final = 2**20


class RedisOffsets:
    """Implements `OffsetStore`.

    Args:
        options: where Redis is, and how it is used.
        run: for file work.
        copies: beside the data, where these are files; then what Redis loses is rebuilt.
    """

    def __init__(
        self, options: RedisOptions, run: FileWork, *, copies: Copies | None = None
    ) -> None:
        self._link = RedisLink(options)
        self._run = run
        self._copies = copies
        self._index = RedisIndex(self._link, partial(self.get, damaged=True))
        self._shared = Shared(
            link=self._link, run=run, copies=copies, index=self._index, lease_s=options.lease_s
        )
        self._repair = Repair(self._shared)
        self._turns = Turns()
        self._waiting: dict[UploadId, asyncio.Event] = {}  # for another node to let go
        self._keeper = Keeper(self._link, options.lease_s)
        self._wakes = Wakes(
            self._link,
            self._shared.node,
            wanted=self._keeper.wanted,
            freed=self._on_freed,
            missed=self._on_missed,
        )

    @property
    def events(self) -> ClaimEvents:
        """What happened with claims since the start."""
        return self._shared.events

    def watch(self, note: Callable[[float], None]) -> None:
        """Have it noted how many seconds each answer of Redis took."""
        self._link.note = note

    async def open(self) -> None:
        if self._copies is not None:
            await self._run(self._copies.make)
        await self._link.open()
        for sentence in await self._link.unsafe():
            _log.warning("RedisUnsafe", extra={"reason": sentence})
        await self._wakes.open()
        self._keeper.open(lambda: self._wakes.listening)

    async def check(self) -> None:
        await self._link.check()

    async def close(self) -> None:
        await self._keeper.close()
        await self._wakes.close()
        await self._link.close()
        if self._copies is not None:
            self._copies.close()

    # --- records

    async def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        answer = await self._link.run(READ, upload_id)
        fence, same, taken = "0", "0", "0"
        if answer[0] == "missing":
            upload, _ = await self._repair.rebuild(upload_id)
        else:
            _, record, offset, fence, same, held, taken = answer
            stored = parse_stored(record, offset, self._copies)
            upload = counted(stored, self._copies)
            if self._copies is not None and same != "1":
                upload = await self._compared(stored, self._copies, int(fence), damaged=damaged)
            elif held == "1" and not damaged:  # by somebody who may have died while removing it
                await self._repair.check_bytes(upload)
        if upload is None:
            raise UploadNotFound
        if upload.finished and (same, taken) != ("1", "0") and not damaged:
            await self._have_on_disk(upload, int(fence))
        return upload

    async def _have_on_disk(self, upload: Upload, fence: int) -> None:
        """Let nobody be told that an upload is finished before its copy survives a power cut.

        Whoever finished it may be writing that just now, or have died before.
        """
        if self._copies is None or not self._copies.promises_finished:
            return
        try:
            async with self.claim(upload.id, timeout_s=0):
                pass  # after one that was not given back, or a loss, `_try` writes the copy
        except (UploadLocked, StoreUnavailable):  # or Redis takes no writes; a look needs none
            write = self._copies.write_copy
            await self._run.long(write, upload, fence, exact=False, durable=True, replacing=True)

    async def _compared(
        self, stored: Stored, copies: Copies, fence: int, *, damaged: bool
    ) -> Upload | None:
        # Without the claim nothing is set right: until somebody has it, each look takes longer.
        try:
            found = await self._repair.compare(stored, copies, fence)
        except UploadDamaged:
            if not damaged:
                raise
            return counted(stored, copies)
        return None if found is None else found.upload

    async def uploads(self, after: str = "") -> AsyncGenerator[Listed, None]:
        await self._repair.complete_index()
        async for upload_ids in self._index.ids(after):
            for start in range(0, len(upload_ids), _LOOKS_AT_ONCE):
                some = upload_ids[start : start + _LOOKS_AT_ONCE]
                for listed in await asyncio.gather(*map(self._look_at, some)):
                    if listed is not None:
                        yield listed

    async def _look_at(self, upload_id: UploadId) -> Listed | None:
        try:
            return Listed(upload_id, await self.get(upload_id))
        except UploadNotFound:
            return None
        except UploadDamaged:
            return Listed(upload_id, None)

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        await self._repair.complete_index()
        async for upload_id in self._index.expired(before):
            yield upload_id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        await self._repair.complete_index()
        async for upload_id in self._index.unassembled():
            yield upload_id

    async def orphans(self, before: float) -> AsyncIterator[str]:
        if self._copies is None:
            return
        for upload_id in await self._run.long(self._copies.without_data, before):
            with contextlib.suppress(TusError):  # in use, or gone meanwhile
                if await self._remove_orphan(upload_id, before):
                    yield upload_id
        for upload_id, path in await self._run.long(self._copies.seized_files, before):
            with contextlib.suppress(TusError):
                if await self._remove_seized(upload_id, path):
                    yield os.path.basename(path)

    def rebuild_all(self) -> AsyncIterator[tuple[UploadId, str]]:
        """See `Repair.rebuild_all`."""
        return self._repair.rebuild_all()

    # --- claims

    @contextlib.asynccontextmanager
    async def create(self, upload: Upload, *, durable: bool = False) -> AsyncIterator[RedisClaim]:
        async with (
            self._turns.take(upload.id, timeout_s=0, if_busy=UploadExists) as turn,
            self._holding(upload.id, turn, new=True) as claim,
        ):
            await self._index.add(upload)
            await self._create(claim, upload, durable=durable)
            yield claim

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[RedisClaim]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with (
            self._turns.take(upload_id, timeout_s=timeout_s) as turn,
            self._holding(upload_id, turn) as claim,
        ):
            try:
                await self._wait_granted(claim, deadline, ask=timeout_s > 0)
            except UploadDamaged:
                if not (damaged and claim.fence):  # without one not even the record is known
                    raise
            yield claim

    @contextlib.asynccontextmanager
    async def _holding(
        self, upload_id: UploadId, turn: Turn, *, new: bool = False
    ) -> AsyncIterator[RedisClaim]:
        claim = RedisClaim(self._shared, upload_id, turn, new=new)
        async with self._keeper.looking_after(claim):
            yield claim

    async def _create(self, claim: RedisClaim, upload: Upload, *, durable: bool) -> None:
        record = format_stored(upload, self._copies)
        claim.maybe_held = claim.unwanted = True
        answer = await self._link.run(
            CREATE,
            upload.id,
            claim.holder,
            self._shared.lease_ms,
            record,
            str(upload.offset),
        )
        claim.unwanted = False
        if answer[0] == "exists":
            claim.maybe_held = False
            raise UploadExists
        claim.granted(upload, record, fence=int(answer[1]), seized=False)
        self._keeper.keep(claim)
        if self._copies is None:
            return
        run = self._run.long if durable else self._run
        try:
            await run(self._copies.add_copy, upload, claim.fence, durable=durable)
        except UploadExists:  # Redis has lost an upload of that id
            await claim.remove(keep_copy=True)
            raise
        except TusError:
            await claim.remove()
            raise

    async def _wait_granted(self, claim: RedisClaim, deadline: float, *, ask: bool) -> None:
        """Claim; while another node holds the upload, ask for it and try again."""
        loop = asyncio.get_running_loop()
        waited = False
        freed = self._waiting[claim.upload_id] = asyncio.Event()
        try:
            while not await self._try(claim, ask=ask):
                if (remaining := deadline - loop.time()) <= 0:
                    raise UploadLocked
                if not waited:
                    waited = True
                    self.events.waits += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(_RETRY_S, remaining)):
                        await freed.wait()
                freed.clear()
        finally:
            del self._waiting[claim.upload_id]

    async def _try(self, claim: RedisClaim, *, ask: bool) -> bool:
        """Claim, if nobody else has it."""
        asker = self._shared.node if ask else ""
        while True:
            claim.maybe_held = True
            answer = await self._link.run(
                CLAIM, claim.upload_id, claim.holder, self._shared.lease_ms, asker
            )
            claim.maybe_held = answer[0] == "ok"
            if claim.maybe_held:
                await self._take_over(claim, answer)
                return True
            if answer[0] == "held":
                return False
            if answer[0] == "gone" or (await self._repair.rebuild(claim.upload_id))[0] is None:
                raise UploadNotFound

    async def _take_over(self, claim: RedisClaim, answer: list[str]) -> None:
        """Make of Redis' answer what the holder is to know, after a look at the data if need be."""
        _, record, offset, fence, seized, history, same = answer
        stored = parse_stored(record, offset, self._copies)
        claim.granted(
            stored.upload,
            record,
            fence=int(fence),
            seized=seized == "1",
            exact=stored.exact,
        )
        self._keeper.keep(claim)
        if self._copies is None or (same == "1" and not is_of_earlier_boot(stored, self._copies)):
            if claim.fence % _FENCES_PER_COPY == 0:
                await claim.write_copy()
            if seized == "1":
                await self._succeed(claim)
            return
        await self._mend(claim, stored, history, self._copies)

    async def _succeed(self, claim: RedisClaim) -> None:
        """See to what a holder that vanished may have left half done."""
        await self._repair.check_bytes(claim.upload)  # a termination
        await claim.renew_copy()  # what was saved last may have no copy yet

    async def _mend(self, claim: RedisClaim, stored: Stored, history: str, copies: Copies) -> None:
        """Set the record right: Redis may have gone back, or bytes be lost."""
        found = await self._repair.compare(stored, copies, claim.fence - 1)
        if found is None:
            await claim.remove()
            raise UploadNotFound
        upload = found.upload
        fence = max(claim.fence, (found.fence or 0) + _FENCES_AFTER_LOSS)
        # What lies behind the offset may be zeros; whoever stores bytes will cut it off.
        exact = not upload.finished
        record = format_stored(upload, copies, exact=exact)
        claim.uncopied = True
        answer = await self._link.run(
            VERIFIED,
            claim.upload_id,
            claim.holder,
            str(claim.fence),
            history,
            record,
            str(upload.offset),
            str(fence),
        )
        claim.check(answer)
        claim.granted(upload, record, fence=fence, seized=claim.seized, exact=exact)
        await claim.renew_copy()

    # --- what crashes have left

    async def _remove_orphan(self, upload_id: UploadId, before: float) -> bool:
        """Remove a record whose bytes are gone, and its copy, if nobody uses the upload."""
        assert self._copies is not None
        record, _ = await self._link.fields(upload_id, "record", "offset")
        if record is None:
            await self._run.long(self._copies.remove_copy, upload_id)
            return True
        async with self.claim(upload_id, timeout_s=0, damaged=True) as claim:
            if upload_id not in await self._run.long(self._copies.without_data, before):
                return False
            await claim.remove()
        return True

    async def _remove_seized(self, upload_id: UploadId, path: str) -> bool:
        """Remove what a seizure has left, if the upload is gone or has its bytes elsewhere."""
        assert self._copies is not None
        try:
            async with self.claim(upload_id, timeout_s=0) as claim:
                used = claim.upload.storage.get("Path", "")
                if claim.seized or os.path.basename(used) == os.path.basename(path):
                    return False
                if not await self._run(self._copies.is_there, used):
                    return False  # a seizure that nobody could record: these may be its bytes
                await self._run(self._copies.remove_seized, path)
        except UploadNotFound:
            await self._run(self._copies.remove_seized, path)
        return True

    # --- messages

    def _on_freed(self, upload_id: UploadId) -> None:
        if (freed := self._waiting.get(upload_id)) is not None:
            freed.set()

    def _on_missed(self) -> None:
        for freed in self._waiting.values():
            freed.set()
        self._keeper.look_soon()
