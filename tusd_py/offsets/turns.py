"""Who may use an upload next, within one process: a queue whose head is asked to leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from ..protocol.errors import UploadLocked
from ..protocol.model import UploadId

# A client needs one waiting request, a nervous one three; more is an attack or a loop.
MOST_WAITING = 16


class Turn:
    """One request's place in the queue for an upload."""

    def __init__(self) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted = False
        self._leave: Callable[[], None] | None = None

    def on_wanted(self, leave: Callable[[], None]) -> None:
        """See `Claim.on_wanted`."""
        if self._wanted:
            leave()
        else:
            self._leave = leave

    def ask_to_leave(self) -> None:
        """Tell whoever has this turn that somebody else wants the upload."""
        leave, self._leave = self._leave, None
        self._wanted = True
        if leave is not None:
            leave()


class Turns:
    """The queues of all uploads that are in use."""

    def __init__(self) -> None:
        self._queues: dict[UploadId, deque[Turn]] = {}

    @contextlib.asynccontextmanager
    async def take(self, upload_id: UploadId, *, timeout_s: float) -> AsyncIterator[Turn]:
        """Queue up, ask the one whose turn it is to leave, and wait for it.

        With a `timeout_s` of 0 nobody is asked.

        Raises:
            UploadLocked: it did not leave within `timeout_s` seconds, or too many wait.
        """
        waiting = self._queues.setdefault(upload_id, deque())
        if waiting and timeout_s <= 0:
            raise UploadLocked
        if len(waiting) > MOST_WAITING:
            raise UploadLocked("too many requests wait for this upload; try again")
        turn = Turn()
        waiting.append(turn)
        try:
            if waiting[0] is not turn:
                waiting[0].ask_to_leave()
                await _wait_granted(turn, timeout_s)
            yield turn
        finally:
            self._give_up(upload_id, turn)

    def ask_to_leave(self, upload_id: UploadId) -> bool:
        """Ask the present holder to leave, if there is one here; return whether there is."""
        waiting = self._queues.get(upload_id)
        if not waiting:
            return False
        waiting[0].ask_to_leave()
        return True

    def _give_up(self, upload_id: UploadId, turn: Turn) -> None:
        waiting = self._queues[upload_id]
        was_first = waiting[0] is turn
        waiting.remove(turn)
        if not waiting:
            del self._queues[upload_id]
        elif was_first:
            self._grant_next(waiting)

    def _grant_next(self, waiting: deque[Turn]) -> None:
        following = waiting[0]
        if not following.granted.done():
            following.granted.set_result(None)
        if len(waiting) > 1:
            following.ask_to_leave()


async def _wait_granted(turn: Turn, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await turn.granted
    except TimeoutError:
        raise UploadLocked from None
