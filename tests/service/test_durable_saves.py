"""What has to be on disk before a client is answered is asked for, at each level."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from tusd_py.interfaces import Durability
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.checksum import Checksum
from tusd_py.protocol.errors import ChecksumMismatch
from tusd_py.protocol.model import Upload, UploadId

from .conftest import House


class NotedClaim(MemoryClaim):
    """A claim that notes of each save whether it was to be durable."""

    durable: list[bool]

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        await super().save(upload, durable=durable, exact=exact, release=release)
        self.durable.append(durable)


class NotedOffsets(MemoryOffsets):
    """A store whose claims note their saves."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: list[bool] = []

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[MemoryClaim]:
        async with super().claim(upload_id, timeout_s=timeout_s, damaged=damaged) as claim:
            claim.__class__ = NotedClaim
            claim.durable = self.durable  # type: ignore[attr-defined]
            yield claim


def sha1(content: bytes) -> Checksum:
    """The checksum of a body."""
    return Checksum("sha1", hashlib.sha1(content, usedforsecurity=False).digest())


async def test_a_verified_body_is_saved_once() -> None:
    """From the second one on: the mark that nothing else counts is there already, and stays."""
    offsets = NotedOffsets()
    house = House(offsets=offsets)
    upload = await house.append(await house.create(100), b"abc", checksum=sha1(b"abc"))
    before = len(offsets.durable)
    upload = await house.append(upload, b"def", checksum=sha1(b"def"))
    assert len(offsets.durable) == before + 1
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"xyz", checksum=sha1(b"xyy"))
    upload = await house.append(upload, b"ghi", checksum=sha1(b"ghi"))
    assert (await house.record(upload)).offset == 9


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize(
    ("durability", "middle", "end"),
    [
        (Durability.NONE, False, False),
        (Durability.COMPLETE, False, True),
        (Durability.ACK, True, True),
    ],
)
async def test_the_last_save_is_as_durable_as_promised(
    durability: Durability, *, middle: bool, end: bool, verified: bool
) -> None:
    """The save before an answer is durable for acknowledged or completed bytes, as the level is."""
    offsets = NotedOffsets()
    house = House(offsets=offsets, durability=durability)
    upload = await house.create(6)

    for content, durable in ((b"abc", middle), (b"def", end)):
        checksum = sha1(content) if verified else None
        upload = await house.append(upload, content, checksum=checksum)
        assert offsets.durable[-1] is durable

    record = await house.record(upload)
    assert (record.offset, record.finished) == (6, True)
    assert record.checkpoint == (6 if end else 0)
