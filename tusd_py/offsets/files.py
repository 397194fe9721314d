"""Records and claims in the upload directory, for an event loop; see `directory` for how."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from ..filesystem.work import FileWork
from ..interfaces import Durability, Listed
from ..protocol.errors import ClaimLost, TusError, UploadExists, UploadLocked
from ..protocol.model import Final, Upload, UploadId
from .bells import Bell
from .directory import Locked, RecordDirectory
from .records import Record
from .turns import Turn, Turns

# A bell can be missed (a full pipe, a process that just died); then the lock is tried again.
_RETRY_S = 0.25
_SCAN_BATCH = 256


class FileOffsets:
    """Implements `OffsetStore` in the upload directory.

    Args:
        directory: the upload directory; all processes that serve it must run on one kernel.
        run: for file work.
        durability: what is promised about power cuts.
        boot: names the run of the kernel; only tests give another one.
    """

    def __init__(
        self,
        directory: Path,
        run: FileWork,
        *,
        durability: Durability = Durability.COMPLETE,
        file_mode: int = 0o664,
        boot: str | None = None,
    ) -> None:
        self.records = RecordDirectory(
            directory, durability=durability, file_mode=file_mode, boot=boot
        )
        self.run = run
        self._turns = Turns()
        self._bell = Bell(self.records.bells, run, wanted=self._on_wanted, freed=self._on_freed)
        self._askers: dict[UploadId, set[str]] = {}  # bells to ring when we leave
        self._freed: dict[UploadId, asyncio.Event] = {}  # we wait for another process

    async def open(self) -> None:
        await self.run(self.records.make)
        await self._bell.open()

    async def check(self) -> None:
        await self.run.reading(self.records.check)

    async def close(self) -> None:
        await self._bell.close()
        self.records.close()

    async def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        return await self.run.reading(self.records.get, upload_id, damaged=damaged)

    def create(self, upload: Upload, *, durable: bool = False) -> FileClaim:
        turn = self._turns.take(upload.id, timeout_s=0, if_busy=UploadExists)
        run = self.run.long if durable else self.run

        async def take(claim: FileClaim) -> None:
            await run(claim.create, upload, durable=durable)

        return FileClaim(self, upload.id, turn, take)

    def claim(self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False) -> FileClaim:
        turn = self._turns.take(upload_id, timeout_s=timeout_s)
        deadline = asyncio.get_running_loop().time() + timeout_s

        async def take(claim: FileClaim) -> None:
            try_lock = partial(claim.try_lock, damaged=damaged)
            await self._wait_locked(try_lock, upload_id, deadline)

        return FileClaim(self, upload_id, turn, take)

    async def left(self, upload_id: UploadId) -> None:
        """Tell those who wait at other processes that the claim was given back."""
        while askers := self._askers.pop(upload_id, None):
            await self._bell.tell_free(upload_id, askers)

    async def uploads(self, after: str = "") -> AsyncGenerator[Listed, None]:
        names = await self.run.long(lambda: sorted(self.records.ids()))
        for start in range(bisect_right(names, after), len(names), _SCAN_BATCH):
            some = names[start : start + _SCAN_BATCH]
            for listed in await self.run.long(self.records.look_at, some):
                yield listed

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if record.upload.expired(before):
                yield record.upload.id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if isinstance(record.upload.kind, Final) and not record.upload.finished:
                yield record.upload.id

    async def orphans(self, before: float) -> AsyncIterator[str]:
        for name in await self.run(self.records.remove_orphans, before):
            yield name

    async def _scan(self) -> AsyncIterator[Record]:
        names = await self.run(self.records.ids)
        for start in range(0, len(names), _SCAN_BATCH):
            some = names[start : start + _SCAN_BATCH]
            for record in await self.run(self.records.read_some, some):
                yield record

    # --- between processes

    async def _wait_locked(
        self, try_lock: Callable[[], bool], upload_id: UploadId, deadline: float
    ) -> None:
        """Take the kernel lock; while another process has it, ring for it and try again."""
        loop = asyncio.get_running_loop()
        while not await self.run.reading(try_lock):
            if (remaining := deadline - loop.time()) <= 0:
                raise UploadLocked
            freed = self._freed[upload_id] = asyncio.Event()
            try:
                await self._bell.ask_for(upload_id)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(_RETRY_S, remaining)):
                        await freed.wait()
            finally:
                del self._freed[upload_id]

    def _on_wanted(self, upload_id: UploadId, asker: str) -> None:
        if self._turns.ask_to_leave(upload_id):
            self._askers.setdefault(upload_id, set()).add(asker)

    def _on_freed(self, upload_id: UploadId) -> None:
        if (freed := self._freed.get(upload_id)) is not None:
            freed.set()


class FileClaim:
    """Implements `Claim`: holds the lock on the record's file.

    What is held is noted in the thread that takes it: a request that is cancelled meanwhile
    would not learn of it, and could not give it back. The kernel takes the claim of a process
    that ends, and of no other, so there is nothing to fence.
    """

    fence = 0
    seized = False

    def __init__(
        self,
        store: FileOffsets,
        upload_id: UploadId,
        turn: Turn,
        take: Callable[[FileClaim], Awaitable[None]],
    ) -> None:
        self._store = store
        self._records = store.records
        self._run = store.run
        self._upload_id = upload_id
        self._turn = turn
        self._take = take
        self._held: Locked | None = None
        self._removed = False

    async def __aenter__(self) -> Self:
        """Wait for the turn in this process, then for the lock."""
        await self._turn.enter()
        try:
            await self._take(self)
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Give both back."""
        await self._leave()

    async def _leave(self) -> None:
        try:
            if self._held is not None:
                self._held.file.close()
            await self._store.left(self._upload_id)
        finally:
            self._turn.leave()

    @property
    def upload(self) -> Upload:
        """See `Claim.upload`."""
        assert self._held is not None
        return self._held.upload

    @property
    def exact(self) -> bool:
        """See `Claim.exact`."""
        return self._locked.exact

    @property
    def _locked(self) -> Locked:
        assert self._held is not None
        return self._held

    def on_wanted(self, leave: Callable[[], None]) -> None:
        self._turn.on_wanted(leave)

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        content = self._records.format(upload, exact=exact)
        if self._removed:
            raise ClaimLost
        if durable:
            await self._run.long(self._replace, upload, content, exact=exact, durable=True)
        elif content != self._locked.content:
            await self._run(self._replace, upload, content, exact=exact, durable=False)
        else:  # only the offset, which the size of the data file tells
            self._held = replace(self._locked, upload=upload, exact=exact)

    async def remove(self) -> None:
        await self._run.long(self._records.remove, self._locked)
        self._removed = True

    def create(self, upload: Upload, *, durable: bool) -> None:
        """Make the record, and hold it (blocks)."""
        self._held = self._records.add(upload, durable=durable)

    def try_lock(self, *, damaged: bool) -> bool:
        """Take the lock, if nobody else has it (blocks)."""
        self._held = self._records.try_lock(self._upload_id, damaged=damaged)
        return self._held is not None

    def _replace(self, upload: Upload, content: bytes, *, exact: bool, durable: bool) -> None:
        before = self._locked
        saved = Locked(before.file, upload, content, exact)
        self._held = self._records.replace(before, saved, durable=durable)
        if not durable:
            return
        try:
            self._records.sync(self._upload_id)
        except TusError:
            # What is not on disk may not be told: a later sync could say that it is.
            self._held = self._records.replace(self._held, before, durable=False)
            raise
