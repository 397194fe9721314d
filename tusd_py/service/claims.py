"""Claims as requests take them: with patience, and noted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from ..interfaces import Claim, OffsetStore
from ..interfaces.occurrences import Claimed, Observe
from ..protocol.errors import UploadLocked
from ..protocol.model import UploadId


class Claims:
    """Takes claims.

    Args:
        offsets: where they are.
        timeout_s: how long a request waits for another one to leave the upload.
        observe: takes note of how long it was.
        claimed: called with each claim.
    """

    def __init__(
        self,
        offsets: OffsetStore,
        timeout_s: float,
        observe: Observe,
        claimed: Callable[[Claim], None],
    ) -> None:
        self._offsets = offsets
        self._timeout_s = timeout_s
        self._observe = observe
        self._claimed = claimed

    @contextlib.asynccontextmanager
    async def take(self, upload_id: UploadId, *, damaged: bool = False) -> AsyncIterator[Claim]:
        """Claim an upload for the length of the context; see `OffsetStore.claim`."""
        asked = time.monotonic()
        async with contextlib.AsyncExitStack() as held:
            claiming = self._offsets.claim(upload_id, timeout_s=self._timeout_s, damaged=damaged)
            try:
                claim = await held.enter_async_context(claiming)
            except UploadLocked:
                self._note(upload_id, asked, granted=False)
                raise
            self._note(upload_id, asked, granted=True)
            self._claimed(claim)
            yield claim

    def _note(self, upload_id: UploadId, asked: float, *, granted: bool) -> None:
        wait_s = time.monotonic() - asked
        self._observe(Claimed(upload_id=upload_id, wait_s=wait_s, granted=granted))
