"""A ledger in Redis, shared by all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from ..interfaces.quotas import Account, Counts
from ..protocol.errors import TooManyUploads, UploadExists
from ..protocol.model import UploadId
from ..protocol.quota import NO_QUOTA, Quota, bytes_refused, creations_refused
from ..redis_client.address import RedisOptions
from ..redis_client.scripts import ScriptRunner
from .redis_scripts import COUNTS, ENTER, LEAVE, SPEND

_BATCH: Final = 1000
_NO_LIMIT: Final = ""


class RedisLedger:
    """Implements `Ledger` in Redis; see `redis_scripts` for what is where."""

    def __init__(self, options: RedisOptions) -> None:
        self._redis = ScriptRunner(options, "quotas")

    async def open(self) -> None:
        await self._redis.open()

    async def close(self) -> None:
        await self._redis.close()

    async def enter(
        self, account: Account, now: float, *, owner: Quota = NO_QUOTA, server: Quota = NO_QUOTA
    ) -> None:
        answer = await self._redis.run(
            ENTER,
            account.upload_id,
            _holder(account.owner),
            account.size,
            int(account.open),
            repr(now),
            *_words(owner),
            *_words(server),
        )
        if not answer:
            return
        whose, what, value = answer
        is_server = whose == "server"
        match what:
            case "open":
                raise TooManyUploads(server=is_server)
            case "rate":
                raise creations_refused(float(value), server=is_server)
            case "exists":
                raise UploadExists
            case _:
                quota = server if is_server else owner
                raise bytes_refused(quota, _whole(value), server=is_server)

    async def leave(self, upload_id: UploadId) -> None:
        await self._redis.run(LEAVE, upload_id)

    async def counts(self, owner: str | None) -> Counts:
        return await self._counts(_holder(owner))

    async def server_counts(self) -> Counts:
        return await self._counts("server")

    async def accounts(self) -> AsyncIterator[tuple[Account, float]]:
        cursor = "0"
        while True:
            key = f"{self._redis.root}:accounts"
            cursor, found = await self._redis.command("HSCAN", key, cursor, "COUNT", _BATCH)
            for upload_id, text in found.items():
                yield _account(upload_id, text)
            if str(cursor) == "0":
                return

    async def spend(self, pot: str, count: int, rate: int, now: float) -> float:
        return float(await self._redis.run(SPEND, pot, count, rate, repr(now)))

    async def _counts(self, holder: str) -> Counts:
        open_uploads, total_bytes = await self._redis.run(COUNTS, holder)
        return Counts(open_uploads=_whole(open_uploads), total_bytes=_whole(total_bytes))


def _holder(owner: str | None) -> str:
    return "nobody" if owner is None else f"owner:{owner}"


def _words(quota: Quota) -> list[str | int]:
    limits = (quota.open_uploads, quota.total_bytes, quota.uploads_per_minute)
    return [_NO_LIMIT if limit is None else limit for limit in limits]


def _account(upload_id: str, text: str) -> tuple[Account, float]:
    size, is_open, entered_at, holder = text.split(" ", 3)
    owner = None if holder == "nobody" else holder.removeprefix("owner:")
    account = Account(
        upload_id=UploadId(upload_id), owner=owner, size=int(size), open=is_open == "1"
    )
    return account, float(entered_at)


def _whole(number: str) -> int:
    """Parse what HINCRBYFLOAT writes: no exponent, and no fraction here."""
    return int(number.partition(".")[0])
