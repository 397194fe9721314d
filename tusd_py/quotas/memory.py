"""A ledger in memory: for one process, and for tests. All is lost with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..interfaces.quotas import Account, Counts
from ..protocol.errors import UploadExists
from ..protocol.model import UploadId
from ..protocol.quota import NO_QUOTA, Change, Holding, Quota, change_holding

# Owners and pots that have been at rest are forgotten when there are this many more.
_SWEEP_EVERY = 1000


@dataclass(frozen=True, slots=True)
class _Owner:
    """A key that tells nobody in particular from somebody without a name."""

    name: str | None


_SERVER = object()


class MemoryLedger:
    """Implements `Ledger` in the memory of this process."""

    def __init__(self) -> None:
        self._accounts: dict[UploadId, tuple[Account, float]] = {}
        self._held: dict[object, Holding] = {}
        self._pots: dict[str, float] = {}

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to give back."""

    async def enter(
        self, account: Account, now: float, *, owner: Quota = NO_QUOTA, server: Quota = NO_QUOTA
    ) -> None:
        old, entered_at = self._accounts.get(account.upload_id, (None, now))
        if old is not None and old.owner != account.owner:
            raise UploadExists
        self._apply(account, old, now, owner=owner, server=server)
        self._accounts[account.upload_id] = account, entered_at

    async def leave(self, upload_id: UploadId) -> None:
        old, _ = self._accounts.pop(upload_id, (None, 0.0))
        if old is not None:
            gone = Account(upload_id=upload_id, owner=old.owner, size=0, open=False)
            self._apply(gone, old, 0.0, owner=NO_QUOTA, server=NO_QUOTA)

    async def counts(self, owner: str | None) -> Counts:
        return _counts(self._held.get(_Owner(owner), Holding()))

    async def server_counts(self) -> Counts:
        return _counts(self._held.get(_SERVER, Holding()))

    async def accounts(self) -> AsyncIterator[tuple[Account, float]]:
        for entry in list(self._accounts.values()):
            yield entry

    async def spend(self, pot: str, count: int, rate: int, now: float) -> float:
        turn = max(self._pots.get(pot, now), now)
        self._pots[pot] = turn + count / rate
        if len(self._pots) % _SWEEP_EVERY == 0:
            self._pots = {pot: free for pot, free in self._pots.items() if free > now}
        return turn - now

    def _apply(
        self, account: Account, old: Account | None, now: float, *, owner: Quota, server: Quota
    ) -> None:
        """Change both sums, or none of them."""
        change = Change(
            open_uploads=account.open - (old.open if old else 0),
            total_bytes=account.size - (old.size if old else 0),
            is_new=old is None,
        )
        after = {
            key: change_holding(
                self._held.get(key, Holding()), change, quota, now, server=key is _SERVER
            )
            for key, quota in ((_Owner(account.owner), owner), (_SERVER, server))
        }
        self._held.update(after)
        if len(self._held) % _SWEEP_EVERY == 0:
            self._held = {key: held for key, held in self._held.items() if _matters(held, now)}


def _matters(held: Holding, now: float) -> bool:
    return bool(held.open_uploads or held.total_bytes) or held.next_at > now


def _counts(held: Holding) -> Counts:
    return Counts(open_uploads=held.open_uploads, total_bytes=held.total_bytes)
