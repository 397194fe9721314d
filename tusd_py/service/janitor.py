"""Removes what has expired and what crashes left, and wakes what waits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from ..interfaces import DataStore, OffsetStore
from ..protocol.errors import TusError
from .uploads import Uploads

_log = logging.getLogger(__name__)

# No creation takes this long, so what is still empty and has no record was cut short.
ORPHANED_AFTER_S = 24 * 3600.0


class Janitor:
    """Sweeps from time to time; one upload that cannot be removed does not stop it."""

    def __init__(
        self,
        uploads: Uploads,
        offsets: OffsetStore,
        data: DataStore,
        *,
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._uploads = uploads
        self._offsets = offsets
        self._data = data
        self._interval_s = interval_s
        self._clock = clock

    async def run(self) -> None:
        """Sweep for ever; first what an earlier process left unfinished."""
        while True:
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - whatever it is, the next sweep must come
                _log.warning("JanitorError", exc_info=True)
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> None:
        """Remove expired uploads that nobody uses, and orphans; look for parts to join."""
        now = self._clock()
        async for upload_id in self._offsets.expired(now):
            # In use, or gone: there will be another sweep.
            with contextlib.suppress(TusError):
                if await self._uploads.expire(upload_id):
                    _log.info("UploadExpired", extra={"id": upload_id})
        for store in (self._data, self._offsets):
            async for name in store.orphans(now - ORPHANED_AFTER_S):
                _log.info("OrphanRemoved", extra={"id": name})
        await self._uploads.resume_assembly()
