"""Delivers what is in the outbox: at least once, in order for each upload, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from ..interfaces import Entry, Hooks, Outbox
from ..interfaces.occurrences import Observe, ignore
from ..protocol.errors import TusError
from .noting import noted_call

_log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 30.0
# What a process that died was delivering is somebody else's after this.
_LEASE_S = 10.0
_RENEW_S = 3.0
_AFTER_TROUBLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often, how long and how many."""

    at_once: int = 16  # deliveries; each upload has one at a time
    longest_s: float = 60.0  # for one delivery
    first_pause_s: float = 1.0  # after the first failure; then twice as long each time
    longest_pause_s: float = 3600.0
    give_up_after_s: float = 3 * 86400.0  # since the event

    def pause_s(self, attempts: int) -> float:
        """Return how long to wait after that many failures; not the same for all that failed."""
        longest = min(self.longest_pause_s, self.first_pause_s * 2 ** min(attempts - 1, 30))
        return float(longest * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret  # nosec B311


class Delivery:
    """Runs deliveries, in one process or in several on the same outbox."""

    def __init__(
        self,
        outbox: Outbox,
        hooks: Hooks,
        *,
        clock: Callable[[], float],
        patience: Patience,
        observe: Observe = ignore,
    ) -> None:
        self._outbox = outbox
        self._hooks = hooks
        self._clock = clock
        self._patience = patience
        self._observe = observe
        self._running: set[asyncio.Task[None]] = set()
        self._starting: asyncio.Task[bool] | None = None

    async def run(self) -> None:
        """Deliver for ever."""
        while True:
            try:
                # Not to be cancelled half-way: what was leased and not begun would have to wait.
                self._starting = asyncio.create_task(self.start_due(), name="start deliveries")
                if not await asyncio.shield(self._starting):
                    await self._outbox.wait(_LONGEST_WAIT_S)
            except TusError:
                _log.warning("OutboxError", exc_info=True)
                await asyncio.sleep(_AFTER_TROUBLE_S)

    async def start_due(self) -> bool:
        """Start to deliver what is due; return False if that is nothing."""
        room = self._patience.at_once - len(self._running)
        if room <= 0:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return True
        due = await self._outbox.lease(self._clock(), _LEASE_S, room)
        for entry in due:
            task = asyncio.create_task(self._deliver(entry), name=f"deliver {entry.event.id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return bool(due)

    async def close(self, timeout_s: float) -> None:
        """Let what is due be delivered; what is not in time is delivered again later."""
        began = asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError, TusError):
            async with asyncio.timeout(timeout_s):
                if self._starting is not None:
                    await self._starting
                await self.start_due()
        left_s = began + timeout_s - asyncio.get_running_loop().time()
        if self._running:
            await asyncio.wait(self._running, timeout=max(0.0, left_s))
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _deliver(self, entry: Entry) -> None:
        renewing = asyncio.create_task(self._renew(entry), name=f"renew {entry.event.id}")
        try:
            await self._tell(entry)
        finally:
            renewing.cancel()

    async def _renew(self, entry: Entry) -> None:
        with contextlib.suppress(TusError):  # then somebody else may deliver it, too
            while True:
                await asyncio.sleep(_RENEW_S)
                await self._outbox.renew(entry, self._clock() + _LEASE_S)

    async def _tell(self, entry: Entry) -> None:
        with contextlib.suppress(TusError):  # the lease runs out, and it is delivered again
            try:
                with noted_call(self._observe, entry.event.type, entry.receiver):
                    async with asyncio.timeout(self._patience.longest_s):
                        await self._hooks.tell(entry.event, entry.receiver)
            except asyncio.CancelledError:
                await self._outbox.put_off(entry, due_at=self._clock(), error="server shutdown")
                raise
            except Exception as error:  # noqa: BLE001 - whatever the application's code raises
                await self._failed(entry, error)
            else:
                await self._outbox.done(entry)

    async def _failed(self, entry: Entry, error: Exception) -> None:
        now = self._clock()
        event = entry.event
        reason = f"{type(error).__name__}: {error}"
        attempts = entry.attempts + 1
        extra = {
            "id": event.upload.id,
            "event_id": event.id,
            "hook": event.type.value,
            "receiver": entry.receiver,
            "attempts": attempts,
            "reason": reason,
        }
        if now - (event.at or now) >= self._patience.give_up_after_s:
            _log.error("HookGivenUp", extra=extra)
            await self._outbox.give_up(entry, error=reason)
            return
        _log.warning("HookInvocationError", extra=extra)
        await self._outbox.put_off(
            entry, due_at=now + self._patience.pause_s(attempts), error=reason
        )
