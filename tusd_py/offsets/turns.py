"""Who may use an upload next, within one process: a queue whose head is asked to leave."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from ..protocol.errors import TusError, UploadLocked
from ..protocol.model import UploadId

# A client needs one waiting request, a nervous one three; more is an attack or a loop.
MOST_WAITING = 16


class Turn:
    """One request's turn, or place in the queue, for an upload; has it inside ``async with``."""

    def __init__(
        self, turns: Turns, upload_id: UploadId, timeout_s: float, if_busy: type[TusError]
    ) -> None:
        self.granted: asyncio.Future[None] | None = None  # None: nobody was before us
        self._turns = turns
        self._upload_id = upload_id
        self._timeout_s = timeout_s
        self._if_busy = if_busy
        self._wanted = False
        self._leave: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.leave()

    async def enter(self) -> None:
        """Queue up, ask the one whose turn it is to leave, and wait for it; see `Turns.take`."""
        await self._turns.queue_up(self._upload_id, self, self._timeout_s, self._if_busy)

    def leave(self) -> None:
        """Give the turn to the next."""
        self._turns.give_up(self._upload_id, self)

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

    def take(
        self, upload_id: UploadId, *, timeout_s: float, if_busy: type[TusError] = UploadLocked
    ) -> Turn:
        """Return a turn to be entered, which raises what follows.

        With a `timeout_s` of 0 nobody is asked to leave.

        Raises:
            UploadLocked: the holder did not leave within `timeout_s` seconds, or too many wait.
            TusError: `if_busy`, when there is a holder and `timeout_s` is 0.
        """
        return Turn(self, upload_id, timeout_s, if_busy)

    async def queue_up(
        self, upload_id: UploadId, turn: Turn, timeout_s: float, if_busy: type[TusError]
    ) -> None:
        """See `take`."""
        waiting = self._queues.get(upload_id)
        if waiting is None:
            self._queues[upload_id] = deque([turn])
            return
        if timeout_s <= 0:
            raise if_busy
        if len(waiting) > MOST_WAITING:
            raise UploadLocked("too many requests wait for this upload; try again")
        waiting.append(turn)
        try:
            waiting[0].ask_to_leave()
            await _wait_granted(turn, timeout_s)
        except BaseException:
            self.give_up(upload_id, turn)
            raise

    def ask_to_leave(self, upload_id: UploadId) -> bool:
        """Ask the present holder to leave, if there is one here; return whether there is."""
        waiting = self._queues.get(upload_id)
        if not waiting:
            return False
        waiting[0].ask_to_leave()
        return True

    def give_up(self, upload_id: UploadId, turn: Turn) -> None:
        """Give the turn to the next, or the place in the queue back."""
        waiting = self._queues[upload_id]
        was_first = waiting[0] is turn
        waiting.remove(turn)
        if not waiting:
            del self._queues[upload_id]
        elif was_first:
            self._grant_next(waiting)

    def _grant_next(self, waiting: deque[Turn]) -> None:
        following = waiting[0]
        if following.granted is not None and not following.granted.done():
            following.granted.set_result(None)
        if len(waiting) > 1:
            following.ask_to_leave()


async def _wait_granted(turn: Turn, timeout_s: float) -> None:
    turn.granted = asyncio.get_running_loop().create_future()
    try:
        async with asyncio.timeout(timeout_s):
            await turn.granted
    except TimeoutError:
        raise UploadLocked from None
