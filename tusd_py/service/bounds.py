"""What holds for bodies while they come: their rate, the room on the volume, the owner's bytes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from ..interfaces import Body, BodyEnd, Chunk, Claim, DataStore, size_of
from ..protocol.commands import BodyHead
from ..protocol.errors import InsufficientStorage, QuotaExceeded
from ..protocol.model import Upload
from .accounts import Accounts
from .throttle import Throttle

# How long the room on a volume is taken for what it was when last looked at.
LOOK_EVERY_S = 1.0
# An upload of unknown length that comes in chunks is counted for so much more than has come.
STEP_BYTES = 16 * 1024 * 1024


class Space:
    """Looks after the room on the volume, once a second at most.

    Args:
        data: where the bytes are.
        least: how many bytes have to stay free; 0: as many as you like.
        clock: seconds.
    """

    def __init__(self, data: DataStore, least: int, clock: Callable[[], float]) -> None:
        self._data = data
        self._least = least
        self._clock = clock
        self._free: int | None = None
        self._looked_at: float | None = None

    @property
    def watched(self) -> bool:
        """Whether there is a limit."""
        return self._least > 0

    async def check(self, coming: int = 0) -> None:
        """Refuse bytes for which there is no room.

        Raises:
            InsufficientStorage: with `coming` bytes more less than the limit would be free.
        """
        if not self.watched:
            return
        now = self._clock()
        if self._looked_at is None or not 0 <= now - self._looked_at < LOOK_EVERY_S:
            self._looked_at = now
            self._free = await self._data.free_bytes()
        if self._free is not None and self._free - coming < self._least:
            raise InsufficientStorage


class Bounded:
    """Puts bodies under the limits that hold while they come."""

    def __init__(self, accounts: Accounts, throttle: Throttle, space: Space) -> None:
        self.accounts = accounts
        self._throttle = throttle
        self.space = space

    def hold(self, upload: Upload) -> bool:
        """Whether there is any limit for bodies of the upload."""
        return self.space.watched or self.accounts.counting or self._throttle.slows(upload)

    def whole(self, new: Upload, body: Body) -> Body:
        """Return the body of a small upload, so that reading it takes as long as it should."""
        return self._throttle.slowed(new, body)

    @contextlib.asynccontextmanager
    async def around(
        self, claim: Claim, upload: Upload, head: BodyHead, body: Body
    ) -> AsyncIterator[Body]:
        """Keep a body within its limits for the length of the context; yields what to read.

        Reading may raise what refuses the rest: what arrived before is kept.

        Args:
            upload: as the request wants it, with the length that it may have declared.

        Raises:
            QuotaExceeded, InsufficientStorage: before a byte is read.
        """
        await self.space.check()
        body = self._throttle.slowed(upload, body)
        if self.space.watched:
            body = _CheckedBody(body, before=self.space.check)
        if claim.upload.length is not None or not self.accounts.counting:
            yield body
            return
        growth = _Growth(self.accounts, upload)
        await growth.begin(head.length)
        try:
            yield body if growth.settled else _CheckedBody(body, after=growth.add)
        finally:
            if growth.counted != _size_of(claim.upload):
                await self.accounts.settle(claim.upload)


class _Growth:
    """Counts an upload whose length was not known when it was created."""

    def __init__(self, accounts: Accounts, upload: Upload) -> None:
        self._accounts = accounts
        self._upload = upload
        self._reached = upload.offset
        self.counted = upload.offset
        self.settled = False  # it is clear how many bytes there can be at most

    async def begin(self, body_length: int | None) -> None:
        """Count what is sure to come, as far as the head of the request tells."""
        length = self._upload.length
        if length is None and body_length is not None:
            length = self._upload.offset + body_length
        if length is not None:
            await self._count(length)
            self.settled = True

    async def add(self, received: int) -> None:
        """Count more than has been received; as much as there may be, if that is not enough."""
        self._reached += received
        if self._reached <= self.counted:
            return
        try:
            await self._count(self._reached + STEP_BYTES)
        except (QuotaExceeded, InsufficientStorage):
            await self._count(self._reached)

    async def _count(self, size: int) -> None:
        await self._accounts.grow(self._upload, size)
        self.counted = size


def _size_of(upload: Upload) -> int:
    return upload.offset if upload.length is None else upload.length


async def _nothing(_: int = 0) -> None:
    pass


class _CheckedBody:
    """Implements `Body`: looks before each read, and at what was read."""

    def __init__(
        self,
        body: Body,
        *,
        before: Callable[[], Awaitable[None]] = _nothing,
        after: Callable[[int], Awaitable[None]] = _nothing,
    ) -> None:
        self._body = body
        self._before = before
        self._after = after

    @property
    def end(self) -> BodyEnd | None:
        return self._body.end

    async def read(self) -> Chunk:
        if self._body.end is None:
            await self._before()
        chunk = await self._body.read()
        await self._after(size_of(chunk))  # of unknown length, so it never is `Unread`
        return chunk

    def stop(self, why: BodyEnd) -> None:
        self._body.stop(why)

    def in_pieces(self) -> None:
        self._body.in_pieces()

    def trailers(self) -> Mapping[str, str] | None:
        return self._body.trailers()
