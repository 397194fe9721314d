"""Slows bodies down to the bytes a second that are allowed, by reading them later.

A client is never told: the kernel's buffers fill up, and TCP makes it wait. Nor does it count as
its silence, for that is only looked at while somebody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from ..interfaces import Body, BodyEnd, Chunk, Unread
from ..protocol.errors import TusError
from ..protocol.model import Upload
from ..protocol.quota import NO_QUOTA
from .policy import Bounds

# What is shared with others is taken in slices of this long.
SLICE_S = 0.25
# At less than this a large buffer would come in long gaps, in which proxies lose patience.
_IN_PIECES_RATE = 16 * 1024 * 1024
_SWEEP_EVERY = 1000

Spend = Callable[[str, int, int, float], Awaitable[float]]
"""See `Ledger.spend`."""

Pause = Callable[[asyncio.Event, float], Awaitable[None]]
"""Waits that many seconds, or until the event is set."""


async def pause(stopped: asyncio.Event, delay_s: float) -> None:
    """Wait by the clock of the event loop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await stopped.wait()


class Throttle:
    """Knows at which rates bodies may come.

    Args:
        bounds: the rates of the server, of owners and of uploads.
        spend: takes from what all processes share.
        clock: seconds since the epoch.
        wait: for tests.
    """

    def __init__(
        self, bounds: Bounds, spend: Spend, clock: Callable[[], float], wait: Pause = pause
    ) -> None:
        self._bounds = bounds
        general = (
            bounds.server.bytes_per_second,
            bounds.owner.bytes_per_second,
            bounds.upload_bytes_per_second,
        )
        self._is_general = any(rate is not None for rate in general)
        self._spend = spend
        self._clock = clock
        self._pause = wait
        self._pots: WeakValueDictionary[str, _Pot] = WeakValueDictionary()
        self._free_at: dict[str, float] = {}  # of uploads: only one process at a time has one

    def slows(self, upload: Upload) -> bool:
        """Whether there is a rate for bodies of the upload."""
        quota = upload.quota
        return (
            self._is_general
            or upload.bytes_per_second is not None
            or (quota is not None and quota.bytes_per_second is not None)
        )

    def slowed(self, upload: Upload, body: Body) -> Body:
        """Return the body, so that reading it takes as long as it should."""
        if not self.slows(upload):
            return body
        shares = self._shares_of(upload)
        if min(share.rate for share in shares) < _IN_PIECES_RATE:
            body.in_pieces()
        return _SlowedBody(body, shares, self._clock, self._pause)

    def _shares_of(self, upload: Upload) -> Sequence[_Share]:
        bounds = self._bounds
        quota = (upload.quota or NO_QUOTA).over(bounds.owner)
        owner = "nobody" if upload.owner is None else f"owner:{upload.owner}"
        rates = {
            "server": (bounds.server.bytes_per_second, self._spend),
            owner: (quota.bytes_per_second, self._spend),
            f"upload:{upload.id}": (
                upload.bytes_per_second or bounds.upload_bytes_per_second,
                self._spend_here,
            ),
        }
        return [
            _Share(self._pot(name, spend), rate)
            for name, (rate, spend) in rates.items()
            if rate is not None
        ]

    def _pot(self, name: str, spend: Spend) -> _Pot:
        pot = self._pots.get(name)
        if pot is None:
            pot = self._pots[name] = _Pot(name, spend, self._clock)
        return pot

    async def _spend_here(self, pot: str, count: int, rate: int, now: float) -> float:
        turn = max(self._free_at.get(pot, now), now)
        self._free_at[pot] = turn + count / rate
        if len(self._free_at) % _SWEEP_EVERY == 0:
            self._free_at = {pot: free for pot, free in self._free_at.items() if free > now}
        return turn - now


class _Pot:
    """What this process has taken of one rate and not used up yet."""

    def __init__(self, name: str, spend: Spend, clock: Callable[[], float]) -> None:
        self._name = name
        self._spend = spend
        self._clock = clock
        self._left = 0
        self._turn_at: float | None = None  # when what was taken last may be used
        self._asking = asyncio.Lock()

    async def take(self, count: int, rate: int) -> float:
        """Use that many bytes; return when it is their turn."""
        self._left -= count
        async with self._asking:
            if self._left >= 0 and self._turn_at is not None:
                return self._turn_at
            # Nothing at first: that only asks how far the others are.
            amount = max(-self._left, int(rate * SLICE_S), 1) if self._left < 0 else 0
            self._left += amount
            now = self._clock()
            try:
                turn_at = now + await self._spend(self._name, amount, rate, now)
            except TusError:  # then nobody is asked, and everybody has this rate
                turn_at = max(now, self._turn_at or 0.0) + amount / rate
            self._turn_at = max(self._turn_at or 0.0, turn_at)
            return self._turn_at


@dataclass(frozen=True, slots=True)
class _Share:
    """A rate that a body has to keep to, together with others."""

    pot: _Pot
    rate: int


class _SlowedBody:
    """Implements `Body`: reads on when what was read has had its time."""

    def __init__(
        self,
        body: Body,
        shares: Sequence[_Share],
        clock: Callable[[], float],
        wait: Pause,
    ) -> None:
        self._body = body
        self._shares = shares
        self._clock = clock
        self._pause = wait
        self._stopped = asyncio.Event()
        self._turn_at: float | None = None
        self._unread: Unread | None = None

    @property
    def end(self) -> BodyEnd | None:
        return self._body.end

    async def read(self) -> Chunk:
        unread, self._unread = self._unread, None
        if unread is not None:  # only now it is known how much that was
            await self._take(unread.taken)
        elif self._turn_at is None:  # whoever came before may have left a debt
            await self._take(0)
        delay_s = (self._turn_at or 0.0) - self._clock()
        if delay_s > 0 and not self._stopped.is_set():
            await self._pause(self._stopped, delay_s)
        chunk = await self._body.read()
        if not isinstance(chunk, bytes):
            self._unread = chunk
        elif chunk:
            await self._take(len(chunk))
        return chunk

    def stop(self, why: BodyEnd) -> None:
        self._body.stop(why)
        self._stopped.set()

    def in_pieces(self) -> None:
        self._body.in_pieces()

    def trailers(self) -> Mapping[str, str] | None:
        return self._body.trailers()

    async def _take(self, count: int) -> None:
        turns = [await share.pot.take(count, share.rate) for share in self._shares]
        self._turn_at = max(turns)
