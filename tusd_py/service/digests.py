"""Digests of whole files: computed while bytes come, or read back when the last one is there."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..interfaces import Claim, DataStore
from ..protocol.checksum import Digest
from ..protocol.digests import FILE_ALGORITHMS, DigestRules
from ..protocol.errors import ChecksumMismatch, UploadLocked
from ..protocol.model import Final, Upload, UploadId

# States of hashes cannot be saved; so many uploads may pause between two PATCHes and go on.
_MOST_KEPT = 1024
# Readers compete for one disk, and hashing for the cores.
_AT_ONCE = 2


class NotAsDeclared(ChecksumMismatch):
    """The file is not the one that its metadata announced; start a new upload."""


class Running:
    """Implements `Digest`: several of them, of all bytes from the first one on.

    Attributes:
        offset: how many bytes it has taken.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._digests = {name: FILE_ALGORITHMS[name][0]() for name in sorted(names)}
        self.offset = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        for digest in self._digests.values():
            digest.update(data)
        self.offset += len(data)

    def digest(self) -> bytes:
        return b"".join(self.digests().values())

    def digests(self) -> Mapping[str, bytes]:
        """Return the digests by algorithm."""
        return {name: digest.digest() for name, digest in self._digests.items()}


class Both:
    """Implements `Digest`: gives two of them the same bytes."""

    def __init__(self, first: Digest, second: Digest) -> None:
        self._first, self._second = first, second

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._first.update(data)
        self._second.update(data)

    def digest(self) -> bytes:
        return self._first.digest()


@dataclass(slots=True)
class _Known:
    """What has been hashed of an upload.

    Attributes:
        fence: of the last claim on the upload that is known here. If there was another one in
            between, somebody else may have written, too.
        reading: reads the bytes back; None: they were hashed as they came.
    """

    running: Running
    fence: int
    reading: asyncio.Task[None] | None = None


class FileDigests:
    """Knows the digests of files.

    Args:
        rules: which are wanted.
        data: from which bytes are read that were not hashed as they came.
        wait_s: how long a request waits for that.
    """

    def __init__(self, rules: DigestRules, data: DataStore, wait_s: float) -> None:
        self._rules = rules
        self._data = data
        self._wait_s = wait_s
        self._late: Callable[[UploadId], None] | None = None
        self._known: OrderedDict[UploadId, _Known] = OrderedDict()
        self._readings: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)

    def on_late(self, late: Callable[[UploadId], None]) -> None:
        """Have `late` called when bytes are read back, and no request has waited for that."""
        self._late = late

    # --- while bytes come

    def claimed(self, claim: Claim) -> None:
        """Note that the upload is claimed here: nobody else has changed it since the last time."""
        known = self._known.get(claim.upload.id)
        if known is None:
            return
        if claim.fence not in (known.fence, known.fence + 1):
            self._forget(claim.upload.id)
        known.fence = claim.fence

    def follow(self, upload: Upload) -> Running | None:
        """Return what takes the bytes that are about to be appended, or None if that is no use.

        What is left of it is given to `keep`, if the bytes were.
        """
        names = self._rules.needed(upload)
        if not names:
            return None
        known = self._forget(upload.id)
        if not upload.offset:
            return Running(names)
        if known is None or known.reading or known.running.offset != upload.offset:
            return None
        return known.running

    def keep(self, running: Running | None, claim: Claim, kept: Upload) -> None:
        """Keep what has taken exactly the bytes that were kept, for those that follow."""
        if running is not None and running.offset == kept.offset:
            self._known[kept.id] = _Known(running, claim.fence)
            if len(self._known) > _MOST_KEPT:
                self._forget(next(iter(self._known)))

    # --- when all bytes are there

    def check_declared(self, new: Upload) -> None:
        """Check what the client of a new upload declares.

        Raises:
            InvalidMetadata
        """
        self._rules.declared(new)

    def of_content(self, upload: Upload, content: bytes) -> Mapping[str, bytes]:
        """Return the digests of a small file.

        Raises:
            NotAsDeclared
        """
        if not (names := self._rules.needed(upload)):
            return {}
        running = Running(names)
        running.update(content)
        return self._checked(upload, running.digests())

    async def of(self, claim: Claim, upload: Upload) -> Mapping[str, bytes]:
        """Return the digests of a complete upload.

        Raises:
            NotAsDeclared
            UploadLocked: its bytes are being read back, and that takes longer.
            UploadNotFound, UploadDamaged, StoreUnavailable: they cannot be.
        """
        names = self._rules.needed(upload)
        if names <= upload.digests.keys():
            return self._checked(upload, upload.digests)
        known = self._known.get(upload.id)
        if known is None or (not known.reading and known.running.offset != upload.offset):
            known = self._read_back(claim, upload, names)
        if known.reading is not None:
            await self._wait(known.reading, upload)
        self._forget(upload.id)
        if known.reading is not None:
            if known.reading.cancelled():
                raise UploadLocked
            known.reading.result()
        return self._checked(upload, known.running.digests())

    async def close(self) -> None:
        """End all reading."""
        for task in self._readings:
            task.cancel()
        if self._readings:
            await asyncio.wait(self._readings)

    def _checked(self, upload: Upload, digests: Mapping[str, bytes]) -> Mapping[str, bytes]:
        if not self._rules.are_as_declared(upload, digests):
            raise NotAsDeclared
        return digests

    def _read_back(self, claim: Claim, upload: Upload, names: Collection[str]) -> _Known:
        """Begin to read all bytes; nobody changes those of a complete upload, claimed or not."""
        running = Running(names)
        task = asyncio.create_task(self._read(upload, running), name=f"digest {upload.id}")
        self._readings.add(task)
        task.add_done_callback(self._ended)
        known = self._known[upload.id] = _Known(running, claim.fence, task)
        return known

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._readings.discard(task)
        if not task.cancelled():
            task.exception()  # somebody is told of it, or nobody asks any more

    async def _read(self, upload: Upload, running: Running) -> None:
        async with self._room:
            await self._data.feed(upload, running)

    async def _wait(self, reading: asyncio.Task[None], upload: Upload) -> None:
        # What is joined from parts is joined in the background, where nobody waits for an answer.
        patience_s = None if isinstance(upload.kind, Final) else self._wait_s
        done, _ = await asyncio.wait([reading], timeout=patience_s)
        if not done:
            reading.add_done_callback(lambda done: self._read_late(upload, done))
            raise UploadLocked("the file is being verified, which takes a while; try again")

    def _read_late(self, upload: Upload, done: asyncio.Task[None]) -> None:
        if self._late is not None and not done.cancelled():
            self._late(upload.id)

    def _forget(self, upload_id: UploadId) -> _Known | None:
        known = self._known.pop(upload_id, None)
        if known is not None and known.reading is not None:
            known.reading.cancel()
        return known
