"""Where uploads are counted, for limits that hold for all of an owner's, or for all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from ..protocol.model import UploadId
from ..protocol.quota import NO_QUOTA, Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one upload counts for.

    Uploads without an owner count together, as those of one more owner.
    """

    upload_id: UploadId
    owner: str | None
    size: int  # bytes: its length; if that is not known, what it may get until told otherwise
    open: bool  # not finished yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What somebody has by now."""

    open_uploads: int = 0
    total_bytes: int = 0


class Ledger(Protocol):
    """The accounts of all uploads, and their sums, which never differ from each other.

    One ledger is shared by all processes, or nodes, that share the uploads. It follows from the
    records, so it may be lost: whoever recounts makes it right again.
    """

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first request."""

    async def close(self) -> None:
        """Give back what `open` took."""

    async def enter(
        self, account: Account, now: float, *, owner: Quota = NO_QUOTA, server: Quota = NO_QUOTA
    ) -> None:
        """Put this account in the place of the one of the same upload, if there is any.

        All in one step, however many do so at the same time. Only what grows has to fit in, and
        only a new account counts as a new upload.

        Args:
            account: what is true from now on.
            now: seconds since the epoch.
            owner: what its owner may have.
            server: what all may have together.

        Raises:
            TooManyUploads, TooManyCreations, QuotaExceeded, InsufficientStorage: it does not
                fit in; nothing was changed.
            UploadExists: the upload is somebody else's; nothing was changed.
            StoreUnavailable
        """

    async def leave(self, upload_id: UploadId) -> None:
        """Forget the account of an upload. Idempotent.

        Raises:
            StoreUnavailable
        """

    async def counts(self, owner: str | None) -> Counts:
        """Return the sums of one owner; None: of all uploads that have none."""

    async def server_counts(self) -> Counts:
        """Return the sums of everything."""

    def accounts(self) -> AsyncIterator[tuple[Account, float]]:
        """Iterate over all accounts, in any order, each with the time when it was new.

        What changes meanwhile may be seen before or after, or both.
        """

    async def spend(self, pot: str, count: int, rate: int, now: float) -> float:
        """Take bytes from what may flow, and return after how many seconds their turn has come.

        Turns are given in the order of asking, so that all who ask get no more than `rate`
        together, on average.

        Args:
            pot: what is shared; any text.
            count: how many bytes; at most a few seconds' worth, or others wait for long.
            rate: bytes a second.
            now: seconds since the epoch.

        Raises:
            StoreUnavailable
        """
