"""Records and claims in the upload directory, for an event loop; see `directory` for how."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from ..interfaces import FileWork
from ..protocol.errors import UploadLocked
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
        checkpoints: False when nothing is promised about power cuts, so that sizes always count.
        boot: names the run of the kernel; only tests give another one.
    """

    def __init__(
        self,
        directory: Path,
        run: FileWork,
        *,
        checkpoints: bool = True,
        file_mode: int = 0o664,
        boot: str | None = None,
    ) -> None:
        self._records = RecordDirectory(
            directory, checkpoints=checkpoints, file_mode=file_mode, boot=boot
        )
        self._run = run
        self._turns = Turns()
        self._bell = Bell(self._records.bells, run, wanted=self._on_wanted, freed=self._on_freed)
        self._askers: dict[UploadId, set[str]] = {}  # bells to ring when we leave
        self._freed: dict[UploadId, asyncio.Event] = {}  # we wait for another process

    async def open(self) -> None:
        await self._run(self._records.make)
        await self._bell.open()

    async def close(self) -> None:
        await self._bell.close()

    async def add(self, upload: Upload, *, durable: bool = False) -> None:
        await self._run(self._records.add, upload, durable=durable)

    async def get(self, upload_id: UploadId) -> Upload:
        return await self._run(self._records.get, upload_id)

    @contextlib.asynccontextmanager
    async def claim(self, upload_id: UploadId, *, timeout_s: float) -> AsyncIterator[FileClaim]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with self._turns.take(upload_id, timeout_s=timeout_s) as turn:
            claim = FileClaim(self._records, self._run, upload_id, turn)
            try:
                await self._wait_locked(claim, upload_id, deadline)
                yield claim
            finally:
                claim.close()
                while askers := self._askers.pop(upload_id, None):
                    await self._bell.tell_free(upload_id, askers)

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if record.upload.expired(before):
                yield record.upload.id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        async for record in self._scan():
            if isinstance(record.upload.kind, Final) and not record.upload.finished:
                yield record.upload.id

    async def orphans(self, before: float) -> AsyncIterator[str]:
        for name in await self._run(self._records.remove_orphans, before):
            yield name

    async def _scan(self) -> AsyncIterator[Record]:
        names = await self._run(self._records.ids)
        for start in range(0, len(names), _SCAN_BATCH):
            some = names[start : start + _SCAN_BATCH]
            for record in await self._run(self._records.read_some, some):
                yield record

    # --- between processes

    async def _wait_locked(self, claim: FileClaim, upload_id: UploadId, deadline: float) -> None:
        """Take the kernel lock; while another process has it, ring for it and try again."""
        loop = asyncio.get_running_loop()
        while not await self._run(claim.try_lock):
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
    would not learn of it, and could not give it back.
    """

    def __init__(
        self, records: RecordDirectory, run: FileWork, upload_id: UploadId, turn: Turn
    ) -> None:
        self._records = records
        self._run = run
        self._upload_id = upload_id
        self._turn = turn
        self._held: Locked | None = None

    @property
    def upload(self) -> Upload:
        """See `Claim.upload`."""
        return self._locked.upload

    @property
    def _locked(self) -> Locked:
        assert self._held is not None
        return self._held

    def on_wanted(self, leave: Callable[[], None]) -> None:
        self._turn.on_wanted(leave)

    async def save(self, upload: Upload, *, durable: bool = False, exact: bool = False) -> None:
        await self._run(self._replace, upload, durable=durable, exact=exact)

    async def remove(self) -> None:
        await self._run(self._records.remove, self._locked)

    def try_lock(self) -> bool:
        """Take the lock, if nobody else has it (blocks)."""
        self._held = self._records.try_lock(self._upload_id)
        return self._held is not None

    def _replace(self, upload: Upload, *, durable: bool, exact: bool) -> None:
        self._held = self._records.replace(self._locked, upload, durable=durable, exact=exact)

    def close(self) -> None:
        """Give the lock back."""
        if self._held is not None:
            self._held.file.close()
