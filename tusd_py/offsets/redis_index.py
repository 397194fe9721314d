"""Which uploads there are, which expire, which finals wait to be joined: hints, all checked.

They are two sorted sets and one set, of which Redis Cluster may keep the keys anywhere; so they
cannot change in one step with a record. A hint is written before the record that it is for, and
is taken away only when its record says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from ..protocol.errors import UploadNotFound
from ..protocol.model import Final as FinalKind
from ..protocol.model import Upload, UploadId
from .redis_link import RedisLink
from .redis_scripts import INDEXED

# In one look; those beyond it are found at the next one.
_AT_ONCE: Final = 10_000
_IDS_AT_ONCE: Final = 1000
# No upload has an id with a comma.
_MARK: Final = ",index"

Get = Callable[[UploadId], Coroutine[Any, Any, Upload]]


class RedisIndex:
    """The hints.

    Args:
        link: to Redis.
        get: reads the record of an upload.
    """

    def __init__(self, link: RedisLink, get: Get) -> None:
        self._link = link
        self._get = get
        self._all = f"{link.prefix}{{,uploads}}"
        self._expiring = f"{link.prefix}{{,expiring}}"
        self._unassembled = f"{link.prefix}{{,unassembled}}"

    async def add(self, upload: Upload) -> None:
        """Note what there is to note about an upload."""
        await self._link.command("ZADD", self._all, 0, upload.id)
        await self._add_expiry(upload)
        if _waits_for_parts(upload):
            await self._link.command("SADD", self._unassembled, upload.id)

    async def remove(self, upload_id: UploadId) -> None:
        """Note that an upload is gone. If that fails, whoever looks finds out."""
        await self._link.command("ZREM", self._all, upload_id)

    async def _add_expiry(self, upload: Upload) -> None:
        if upload.expires_at is not None:
            await self._link.command("ZADD", self._expiring, repr(upload.expires_at), upload.id)

    async def changed(self, before: Upload, after: Upload) -> None:
        """Note that an upload expires earlier; that it expires later is found out in time."""
        if after.expires_at is not None and (
            before.expires_at is None or after.expires_at < before.expires_at
        ):
            await self._add_expiry(after)

    async def ids(self, after: str) -> AsyncIterator[list[UploadId]]:
        """Iterate over the ids behind `after`, in order, many at a time; some may be gone."""
        while True:
            start = f"({after}" if after else "-"
            names = await self._link.command(
                "ZRANGEBYLEX", self._all, start, "+", "LIMIT", 0, _IDS_AT_ONCE
            )
            if not names:
                return
            yield [UploadId(name) for name in names]
            after = names[-1]

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        """See `OffsetStore.expired`."""
        words = ("ZRANGEBYSCORE", self._expiring, "-inf", repr(before), "LIMIT", 0, _AT_ONCE)
        for name in await self._link.command(*words):
            upload = await self._look_at(UploadId(name))
            if upload is None or upload.expires_at is None:
                await self._link.command("ZREM", self._expiring, name)
            elif upload.expires_at > before:
                await self._link.command("ZADD", self._expiring, repr(upload.expires_at), name)
            else:
                yield upload.id

    async def unassembled(self) -> AsyncIterator[UploadId]:
        """See `OffsetStore.unassembled`."""
        for name in await self._link.command("SMEMBERS", self._unassembled):
            upload = await self._look_at(UploadId(name))
            if upload is None or not _waits_for_parts(upload):
                await self._link.command("SREM", self._unassembled, name)
            else:
                yield upload.id

    async def is_complete(self) -> bool:
        """Whether Redis still knows all the hints that it was ever given."""
        last, now = await self._link.run(INDEXED, _MARK, "")
        return last == now

    async def note_complete(self) -> None:
        """Note that every upload there is has been given to `add`."""
        await self._link.run(INDEXED, _MARK, "1")

    async def _look_at(self, upload_id: UploadId) -> Upload | None:
        try:
            return await self._get(upload_id)
        except UploadNotFound:
            return None


def _waits_for_parts(upload: Upload) -> bool:
    return isinstance(upload.kind, FinalKind) and not upload.finished
