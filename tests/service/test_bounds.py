"""Room that has to stay free: looked at now and then, and only where it matters."""

from __future__ import annotations

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import BodyEnd, Chunk
from tusd_py.protocol.checksum import parse_checksum
from tusd_py.protocol.errors import InsufficientStorage
from tusd_py.service.bounds import LOOK_EVERY_S
from tusd_py.service.policy import Bounds

from .conftest import House

ROOM = 100


class Volume(MemoryData):
    """A volume that others write to as well."""

    def __init__(self) -> None:
        super().__init__()
        self.free = ROOM
        self.looks = 0

    async def free_bytes(self) -> int:
        self.looks += 1
        return self.free


class Filling(ScriptedBody):
    """A body, while others fill the volume: from its second chunk on there is no room."""

    def __init__(self, house: House, volume: Volume, *chunks: bytes) -> None:
        super().__init__(*chunks)
        self._house = house
        self._volume = volume

    @property
    def end(self) -> BodyEnd | None:
        return None if self._chunks else super().end

    async def read(self) -> Chunk:
        self._house.now += LOOK_EVERY_S
        chunk = await super().read()
        if chunk:
            self._volume.free -= 60
        return chunk


@pytest.fixture
def volume() -> Volume:
    """With a little room."""
    return Volume()


@pytest.fixture
def house(volume: Volume) -> House:
    """A service that leaves some of it."""
    return House(data=volume, bounds=Bounds(min_free_bytes=30))


async def test_what_cannot_fit_in_is_not_created(house: House, volume: Volume) -> None:
    """By its declared length; and nothing at all when the volume is full already."""
    await house.create(70)
    with pytest.raises(InsufficientStorage):
        await house.create(71)
    volume.free = 29
    house.now += LOOK_EVERY_S
    with pytest.raises(InsufficientStorage):
        await house.create(None)


async def test_a_full_volume_takes_no_bytes_but_tells_and_removes(
    house: House, volume: Volume
) -> None:
    """Refused before one is read; HEAD and DELETE do not care."""
    upload = await house.create(6)
    volume.free = 29
    house.now += LOOK_EVERY_S
    body = ScriptedBody(b"abcdef")
    with pytest.raises(InsufficientStorage):
        await house.append(upload, body)
    assert await body.read() == b"abcdef"
    assert (await house.head(upload)).offset == 0
    await house.delete(upload)


async def test_a_volume_that_fills_up_ends_a_body(house: House, volume: Volume) -> None:
    """What arrived is kept, and the client goes on from there when there is room again."""
    upload = await house.create(9)
    with pytest.raises(InsufficientStorage):
        await house.append(upload, Filling(house, volume, b"abc", b"def", b"ghi"))
    assert (await house.head(upload)).offset == 6
    volume.free = ROOM
    house.now += LOOK_EVERY_S
    upload = await house.head(upload)
    assert (await house.append(upload, b"ghi")).finished


async def test_of_a_checksummed_body_nothing_is_kept(house: House, volume: Volume) -> None:
    """Nobody can verify a part of it."""
    upload = await house.create(9)
    checksum = parse_checksum("sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    with pytest.raises(InsufficientStorage):
        await house.append(
            upload, Filling(house, volume, b"abc", b"def", b"ghi"), checksum=checksum
        )
    assert (await house.record(upload)).offset == 0


async def test_the_volume_is_looked_at_once_a_second(house: House, volume: Volume) -> None:
    """However many bodies there are."""
    for _ in range(5):
        await house.append(await house.create(3), ScriptedBody(b"a", b"b", b"c"))
    assert volume.looks == 1
    house.now += LOOK_EVERY_S
    await house.create(3)
    assert volume.looks == 2


async def test_without_a_limit_nobody_looks(volume: Volume) -> None:
    """It costs nothing."""
    house = House(data=volume)
    await house.append(await house.create(3), b"abc")
    assert volume.looks == 0
