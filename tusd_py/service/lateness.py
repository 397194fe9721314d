"""Finishes what took longer than a request can wait, when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..interfaces import OffsetStore
from ..protocol.errors import TusError
from ..protocol.model import Upload, UploadId
from .completion import Completion
from .digests import FileDigests

_log = logging.getLogger(__name__)


class LateFinishes:
    """Owns the tasks that finish uploads whose bytes have been verified at last.

    Args:
        offsets: records and claims.
        completion: finishes uploads.
        digests: tells when bytes have been verified.
        finished: called with what was finished.
    """

    def __init__(
        self,
        offsets: OffsetStore,
        completion: Completion,
        digests: FileDigests,
        finished: Callable[[Upload], None],
    ) -> None:
        self._offsets = offsets
        self._completion = completion
        self._digests = digests
        self._finished = finished
        self._tasks: set[asyncio.Task[None]] = set()
        digests.on_late(self._begin)

    async def close(self) -> None:
        """End all of it; what is unfinished is finished when its client comes back."""
        await self._digests.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, upload_id: UploadId) -> None:
        task = asyncio.create_task(self._finish(upload_id), name=f"finish {upload_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, upload_id: UploadId) -> None:
        try:
            # No disturbing: whoever has it finishes it as well.
            async with self._offsets.claim(upload_id, timeout_s=0) as claim:
                self._digests.claimed(claim)
                if claim.upload.failed is None and await self._completion.catch_up(claim, None):
                    self._finished(claim.upload)
        except TusError as error:  # whoever asks for the upload is told, or has it
            _log.info("LateFinishError", extra={"id": upload_id, "error": error.code})
        except Exception:  # noqa: BLE001 - a hook may fail in any way, and nobody else hears of it
            _log.exception("LateFinishError", extra={"id": upload_id})
