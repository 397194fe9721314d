"""Records in memory: the fake that tests and demonstrations use. All is lost with the process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from ..interfaces import Listed
from ..protocol.errors import ClaimLost, UploadExists, UploadNotFound
from ..protocol.model import Final, Upload, UploadId
from .turns import Turn, Turns


class MemoryOffsets:
    """Implements `OffsetStore`."""

    def __init__(self) -> None:
        self._uploads: dict[UploadId, Upload] = {}
        self._exact: set[UploadId] = set()
        self._turns = Turns()

    async def open(self) -> None:
        """Nothing to make ready."""

    async def check(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Nothing to give back."""

    @contextlib.asynccontextmanager
    async def create(self, upload: Upload, *, durable: bool = False) -> AsyncIterator[MemoryClaim]:
        async with self._turns.take(upload.id, timeout_s=0, if_busy=UploadExists) as turn:
            if upload.id in self._uploads:
                raise UploadExists
            self._uploads[upload.id] = upload
            yield MemoryClaim(self._uploads, self._exact, upload, turn)

    async def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        try:
            return self._uploads[upload_id]
        except KeyError:
            raise UploadNotFound from None

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[MemoryClaim]:
        await self.get(upload_id)  # do not disturb anybody for an upload that is not there
        async with self._turns.take(upload_id, timeout_s=timeout_s) as turn:
            yield MemoryClaim(self._uploads, self._exact, await self.get(upload_id), turn)

    async def uploads(self, after: str = "") -> AsyncGenerator[Listed, None]:
        for upload_id in sorted(self._uploads):
            if upload_id > after and (upload := self._uploads.get(upload_id)) is not None:
                yield Listed(upload_id, upload)

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        for upload in list(self._uploads.values()):
            if upload.expired(before):
                yield upload.id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        for upload in list(self._uploads.values()):
            if isinstance(upload.kind, Final) and not upload.finished:
                yield upload.id

    async def orphans(self, before: float) -> AsyncIterator[str]:
        no_names: list[str] = []  # no crash leaves anything of it
        for name in no_names:
            yield name


class MemoryClaim:
    """Implements `Claim`."""

    fence = 0
    seized = False

    def __init__(
        self, uploads: dict[UploadId, Upload], exact: set[UploadId], upload: Upload, turn: Turn
    ) -> None:
        self._uploads = uploads
        self._exact = exact
        self._turn = turn
        self.upload = upload

    @property
    def exact(self) -> bool:
        """See `Claim.exact`."""
        return self.upload.id in self._exact

    def on_wanted(self, leave: Callable[[], None]) -> None:
        self._turn.on_wanted(leave)

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        if upload.id not in self._uploads:
            raise ClaimLost
        self._uploads[upload.id] = self.upload = upload
        (self._exact.add if exact else self._exact.discard)(upload.id)

    async def remove(self) -> None:
        self._exact.discard(self.upload.id)
        if self._uploads.pop(self.upload.id, None) is None:
            raise ClaimLost
