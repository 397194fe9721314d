"""What Redis has lost, and what lies beside the data tells: one record, or all of them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from ..protocol.errors import StoreUnavailable, TusError, UploadDamaged, UploadNotFound
from ..protocol.model import Upload, UploadId
from .redis_claims import Shared
from .redis_copies import Copies, Copy
from .redis_records import Stored, counted, format_stored, parse_stored, reconcile
from .redis_scripts import REBUILD

_log = logging.getLogger(__name__)


class Repair:
    """Compares records with their copies, and makes those anew that are missing.

    Args:
        shared: of the store.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def compare(self, stored: Stored, copies: Copies, fence: int) -> Copy | None:
        """Return what is true, with the copy's fence; None if Redis forgot a termination.

        Args:
            stored: what Redis says, which may be old.
            copies: what lies beside the data.
            fence: that of the last claim Redis knows of.

        Raises:
            UploadNotFound: nothing was promised, and nothing is there.
            UploadDamaged: bytes are missing that somebody vouches for.
        """
        copy = await self._shared.run(copies.read_copy, stored.upload.id)
        size = await self._shared.run(copies.size_of, stored.upload)
        known = counted(stored, copies)
        if copy is None:
            if size is None:
                return None
            copy = Copy(replace(known, offset=0), None)
        return Copy(reconcile(known, copy, size, fence=fence), copy.fence)

    async def check_bytes(self, upload: Upload) -> None:
        """Make sure that there is a file for the bytes; how large it is, NFS may tell too late.

        Raises:
            UploadDamaged
        """
        copies = self._shared.copies
        if copies is not None and await self._shared.run.reading(copies.size_of, upload) is None:
            raise UploadDamaged

    async def rebuild(self, upload_id: UploadId) -> tuple[Upload | None, str]:
        """Give Redis the record that it has lost, unless it has it, or knows that it is gone.

        Returns:
            The upload, if there is one, and what became of its record; see `rebuild_all`.
        """
        upload, outcome = await self._rebuild(upload_id)
        if upload is not None:
            await self._shared.index.add(upload)
        return upload, outcome

    async def rebuild_all(self) -> AsyncIterator[tuple[UploadId, str]]:
        """Rebuild every record that Redis does not have; iterate over ids and what became of them.

        That is ``present``, ``rebuilt``, ``terminated``, or the code of an error.
        """
        if self._shared.copies is None:
            return
        for upload_id in await self._shared.run.long(self._shared.copies.ids):
            try:
                _, outcome = await self.rebuild(upload_id)
            except StoreUnavailable:
                raise
            except TusError as error:
                outcome = error.code
            yield upload_id, outcome
        await self._shared.index.note_complete()

    async def complete_index(self) -> None:
        """After Redis has lost something, note all uploads again."""
        if self._shared.copies is not None and not await self._shared.index.is_complete():
            async for _ in self.rebuild_all():
                pass

    async def _rebuild(self, upload_id: UploadId) -> tuple[Upload | None, str]:
        copies = self._shared.copies
        if copies is None:
            return None, UploadNotFound.code
        if (upload := await self._present(upload_id, copies)) is not None:
            return upload, "present"
        copy = await self._shared.run(copies.read_copy, upload_id)
        if copy is None:
            return None, UploadNotFound.code
        upload = copy.upload
        answer = await self._shared.link.run(
            REBUILD,
            upload_id,
            format_stored(upload, copies, exact=not upload.finished),  # whatever the copy says
            str(upload.offset),
            str(copy.fence or 0),
            "" if copy.fence is None else "lost",
        )
        if answer[0] == "gone":
            return None, "terminated"
        if answer[0] == "exists":  # somebody else was faster
            return await self._present(upload_id, copies), "present"
        self._shared.events.rebuilt += 1
        _log.info("RecordRebuilt", extra={"id": upload_id, "offset": upload.offset})
        return upload, "rebuilt"

    async def _present(self, upload_id: UploadId, copies: Copies) -> Upload | None:
        record, offset = await self._shared.link.fields(upload_id, "record", "offset")
        if record is None or offset is None:
            return None
        return parse_stored(record, offset, copies).upload
