"""What somebody may have and do at most, and whether one more upload still fits in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import InsufficientStorage, QuotaExceeded, TooManyCreations, TooManyUploads

_MINUTE_S = 60.0
# Far less than the time of one request, far more than what rounding makes of a minute.
_ROUNDING_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What an owner, or the whole server, may have and do; None: no limit."""

    open_uploads: int | None = None  # not finished yet
    total_bytes: int | None = None  # of all uploads there are, as declared
    uploads_per_minute: int | None = None  # new ones, on average; this many may come at once
    bytes_per_second: int | None = None  # received, on average

    @property
    def counts(self) -> bool:
        """Whether uploads have to be counted to keep to it."""
        limits = (self.open_uploads, self.total_bytes, self.uploads_per_minute)
        return any(limit is not None for limit in limits)

    def over(self, usual: Quota) -> Quota:
        """Return this quota; where it has no limit, `usual` has its say."""

        def first(own: int | None, other: int | None) -> int | None:
            return other if own is None else own

        return Quota(
            open_uploads=first(self.open_uploads, usual.open_uploads),
            total_bytes=first(self.total_bytes, usual.total_bytes),
            uploads_per_minute=first(self.uploads_per_minute, usual.uploads_per_minute),
            bytes_per_second=first(self.bytes_per_second, usual.bytes_per_second),
        )


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an owner, or the whole server, has.

    `next_at` tells how many uploads were new lately (GCRA): each moves it on by the time that
    one of them may take on average. Seconds since the epoch.
    """

    open_uploads: int = 0
    total_bytes: int = 0
    next_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an entry in the ledger adds; negative for what it takes away."""

    open_uploads: int
    total_bytes: int
    is_new: bool


def change_holding(
    held: Holding, change: Change, quota: Quota, now: float, *, server: bool
) -> Holding:
    """Return what is held after a change; only what grows has to fit in.

    Args:
        held: by whoever the quota is for.
        change: what becomes of it.
        quota: what they may have.
        now: seconds since the epoch.
        server: whether it is the whole server that the quota is for.

    Raises:
        TooManyUploads, TooManyCreations
        QuotaExceeded: the owner may not have that many bytes.
        InsufficientStorage: the server may not.
    """
    open_uploads = held.open_uploads + change.open_uploads
    total_bytes = held.total_bytes + change.total_bytes
    if change.open_uploads > 0 and _exceeds(open_uploads, quota.open_uploads):
        raise TooManyUploads(server=server)
    if change.total_bytes > 0 and _exceeds(total_bytes, quota.total_bytes):
        raise bytes_refused(quota, held.total_bytes, server=server)
    next_at = held.next_at
    if change.is_new and (rate := quota.uploads_per_minute) is not None:
        next_at = _next_at(held.next_at, rate, now, server=server)
    return Holding(
        open_uploads=max(0, open_uploads), total_bytes=max(0, total_bytes), next_at=next_at
    )


def bytes_refused(quota: Quota, held: int, *, server: bool) -> InsufficientStorage | QuotaExceeded:
    """Return the error for more bytes than there may be."""
    if server:
        return InsufficientStorage("the server takes no more bytes until uploads are removed")
    return QuotaExceeded(left=max(0, (quota.total_bytes or 0) - held))


def creations_refused(wait_s: float, *, server: bool) -> TooManyCreations:
    """Return the error for one upload too many in a minute."""
    return TooManyCreations(math.ceil(wait_s), server=server)


def _exceeds(count: int, limit: int | None) -> bool:
    return limit is not None and count > limit


def _next_at(next_at: float, per_minute: int, now: float, *, server: bool) -> float:
    if per_minute <= 0:
        raise creations_refused(_MINUTE_S, server=server)
    after = max(next_at, now) + _MINUTE_S / per_minute
    if (wait_s := after - now - _MINUTE_S) > _ROUNDING_S:
        raise creations_refused(wait_s, server=server)
    return after
