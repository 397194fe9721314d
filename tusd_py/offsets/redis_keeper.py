"""Keeps the claims of one node alive, and gives those back that could not be given back at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

from ..protocol.errors import StoreUnavailable, TusError
from ..protocol.model import UploadId
from .redis_claims import RedisClaim
from .redis_link import RedisLink, ended, to_end
from .redis_scripts import RELEASE

_log = logging.getLogger(__name__)

# As often as this a holder asks whether it is wanted, while nobody can tell it.
_DEAF_S: Final = 0.5
_RENEWALS_PER_LEASE: Final = 3
# What is beyond that is left to leases, and to the search for orphans.
_LATE_AT_MOST: Final = 10_000

_GiveBack = Callable[[], Awaitable[object]]


class Keeper:
    """One task for all claims, so that a short claim costs nothing here.

    Args:
        link: to Redis.
        lease_s: of each claim.
    """

    def __init__(self, link: RedisLink, lease_s: float) -> None:
        self._link = link
        self._lease_s = lease_s
        self._held: dict[str, _Held] = {}
        self._live: set[str] = set()
        self._late: dict[str, tuple[_GiveBack, float]] = {}  # to be given back until then
        self._soon = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self, listening: Callable[[], bool]) -> None:
        """Begin; `listening` tells whether messages come through."""
        self._task = asyncio.create_task(self._run(listening), name="redis keeper")

    async def close(self) -> None:
        """Give back what is left to be given back, if that is possible at once."""
        if self._task is not None:
            await ended(self._task)
        with contextlib.suppress(StoreUnavailable):
            await self._give_back_late()

    @contextlib.asynccontextmanager
    async def looking_after(self, claim: RedisClaim) -> AsyncIterator[None]:
        """See to it that the claim is given back at the end of the context."""
        self._live.add(claim.holder)
        try:
            yield
        finally:
            self._held.pop(claim.holder, None)
            try:
                if claim.maybe_held:
                    await to_end(self._give_back(claim))
            finally:
                self._live.discard(claim.holder)

    def keep(self, claim: RedisClaim) -> None:
        """Renew this claim from now on."""
        self._held[claim.holder] = _Held(claim, _now())

    def wanted(self, upload_id: UploadId, holder: str) -> None:
        """Somebody wants the upload of this holder."""
        if (held := self._held.get(holder)) is not None:
            held.claim.leave()
        elif holder not in self._live:
            # It was given back, but Redis has forgotten that in a crash.
            give_back = partial(self._link.run, RELEASE, upload_id, holder)
            self._give_back_soon(holder, give_back, _now() + self._lease_s)

    def look_soon(self) -> None:
        """Messages may have got lost: ask whether anybody is wanted."""
        self._soon.set()

    async def _give_back(self, claim: RedisClaim) -> None:
        """Give a claim back now, or as soon as Redis can be reached."""
        if not self._link.in_trouble:
            with contextlib.suppress(StoreUnavailable):
                await _give_back(claim)
                return
        # After its lease nobody needs us for that, unless an upload has to be taken back.
        until = math.inf if claim.unwanted else _now() + self._lease_s
        self._give_back_soon(claim.holder, partial(_give_back, claim), until)

    def _give_back_soon(self, holder: str, give_back: _GiveBack, until: float) -> None:
        self._late.setdefault(holder, (give_back, until))
        if len(self._late) > _LATE_AT_MOST:
            del self._late[next(iter(self._late))]
        self._soon.set()

    async def _run(self, listening: Callable[[], bool]) -> None:
        while True:
            calm = listening() and not self._late
            pause_s = self._lease_s / _RENEWALS_PER_LEASE if calm else _DEAF_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, self._lease_s / _RENEWALS_PER_LEASE)):
                    await self._soon.wait()
            asked = self._soon.is_set()
            self._soon.clear()
            with contextlib.suppress(StoreUnavailable):
                await self._give_back_late()
            await self._renew(everyone=asked or not calm)

    async def _renew(self, *, everyone: bool) -> None:
        due = _now() - self._lease_s / _RENEWALS_PER_LEASE * 0.9
        held = [held for held in self._held.values() if everyone or held.renewed <= due]
        await asyncio.gather(*(self._renew_one(one) for one in held))

    async def _renew_one(self, held: _Held) -> None:
        began = _now()
        try:
            still_held = await held.claim.renew()
        except StoreUnavailable:
            # Somebody else may have it by now. Redis will say so to whoever saves; until then
            # it is better to stop than to take bytes that may not count.
            if not held.lost and began - held.renewed >= self._lease_s:
                held.lost = True
                held.claim.lose()
        else:
            held.renewed = began
            if not still_held:
                self._held.pop(held.claim.holder, None)

    async def _give_back_late(self) -> None:
        for holder, (give_back, until) in list(self._late.items()):
            if _now() < until:
                await give_back()
            self._late.pop(holder, None)


async def _give_back(claim: RedisClaim) -> None:
    try:
        await claim.give_back()
    except StoreUnavailable:
        raise
    except TusError as error:  # a copy cannot be removed; the search for orphans will find it
        _log.warning("OrphanLeft", extra={"id": claim.upload_id, "reason": error.code})


class _Held:
    __slots__ = ("claim", "lost", "renewed")

    def __init__(self, claim: RedisClaim, renewed: float) -> None:
        self.claim = claim
        self.renewed = renewed
        self.lost = False


def _now() -> float:
    return asyncio.get_running_loop().time()
