"""When uploads expire, and who removes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import BodyEnd, HookType
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.protocol.errors import StoreUnavailable, UploadExpired, UploadNotFound, UploadRejected
from tusd_py.protocol.model import Limits, Upload, UploadId
from tusd_py.service.janitor import ORPHANED_AFTER_S, Janitor

from .conftest import EXPIRE_AFTER_S, SOON_S, START, House


def janitor(house: House, *, interval_s: float = 0.0) -> Janitor:
    """The janitor of a house."""
    return Janitor(
        house.uploads,
        house.offsets,
        house.data,
        interval_s=interval_s,
        clock=lambda: house.now,
    )


# --- the time


async def test_bytes_renew_the_time(house: House) -> None:
    """Expiry slides with every byte that arrives."""
    upload = await house.create(10)
    house.now += 60
    upload = await house.append(upload, b"abc")
    assert upload.expires_at == START + 60 + EXPIRE_AFTER_S
    house.now += 60
    assert (await house.head(upload)).expires_at == START + 60 + EXPIRE_AFTER_S


async def test_an_empty_patch_renews_nothing(house: House) -> None:
    """A PATCH without a byte must not keep an upload alive for ever."""
    upload = await house.append(await house.create(10), b"abc")
    house.now += 60
    assert (await house.append(upload, b"")).expires_at == START + EXPIRE_AFTER_S


async def test_expired_uploads_are_gone_to_clients(house: House) -> None:
    """410 from the very second on, before the janitor has come by; nothing revives them."""
    upload = await house.append(await house.create(10), b"abc")
    house.now += EXPIRE_AFTER_S
    for operation in (house.head, house.fetch, house.delete):
        with pytest.raises(UploadExpired):
            await operation(upload)
    with pytest.raises(UploadExpired):
        await house.append(upload, b"defghij")
    assert (await house.record(upload)).offset == 3


async def test_an_expired_final_is_not_joined_any_more(house: House) -> None:
    """Who was told 410 is not told later that the upload is complete."""
    first, second = await house.part(b"abc"), await house.part(b"def", cut=1)
    final = await house.final(first, second)
    house.now += EXPIRE_AFTER_S / 2
    second = await house.append(second, b"e")
    house.now += EXPIRE_AFTER_S / 2
    for look in (house.head, house.fetch):
        with pytest.raises(UploadExpired):
            await look(final)
    await house.append(second, b"f")
    await house.wait_idle()
    assert not (await house.record(final)).finished
    with pytest.raises(UploadExpired):
        await house.head(final)


async def test_a_patch_does_not_finish_what_has_expired(house: House) -> None:
    """All bytes were there, but the hook had refused until the time was over."""
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    upload = await house.create(3)
    with pytest.raises(UploadRejected):
        await house.append(upload, b"abc")
    del house.hooks.says[HookType.PRE_FINISH]
    house.now += EXPIRE_AFTER_S
    with pytest.raises(UploadExpired):
        await house.append(await house.record(upload), b"")
    assert not (await house.record(upload)).finished


async def test_completed_uploads_never_expire(house: House) -> None:
    """They have no time, and no sweep finds them."""
    upload = await house.append(await house.create(3), b"abc")
    assert upload.expires_at is None
    house.now += 1000 * EXPIRE_AFTER_S
    await janitor(house).sweep()
    assert await house.content(await house.fetch(upload)) == b"abc"


async def test_completed_parts_do_expire(house: House) -> None:
    """Nobody else would remove parts; their time runs from the last byte."""
    part = await house.part(b"abc")
    assert part.finished
    assert part.expires_at == START + EXPIRE_AFTER_S
    house.now += EXPIRE_AFTER_S
    await janitor(house).sweep()
    with pytest.raises(UploadNotFound):
        await house.record(part)


async def test_without_the_setting_nothing_expires() -> None:
    """No time is set, and a sweep removes nothing."""
    house = House(limits=Limits())
    upload = await house.append(await house.create(10), b"abc")
    assert upload.expires_at is None
    house.now += 1e9
    await janitor(house).sweep()
    assert (await house.head(upload)).offset == 3


# --- the janitor


async def test_a_sweep_removes_what_has_expired(house: House) -> None:
    """Record and bytes go; what has time left stays."""
    old = await house.append(await house.create(10), b"abc")
    house.now += 60
    young = await house.append(await house.create(10), b"abc")
    house.now += 60
    await janitor(house).sweep()
    with pytest.raises(UploadNotFound):
        await house.record(old)
    with pytest.raises(UploadNotFound):
        await house.content(old)
    assert (await house.head(young)).offset == 3
    assert "post-terminate" not in house.hooks.types


async def test_a_sweep_disturbs_nobody(house: House) -> None:
    """An upload in use is left alone, its holder not asked, though its time is over."""
    upload = await house.append(await house.create(10), b"abc")
    running = await house.start_append(upload, b"de")
    house.now += EXPIRE_AFTER_S
    await janitor(house).sweep()
    assert running.body.end is None
    running.body.feed(b"fg")
    running.body.stop(BodyEnd.COMPLETE)
    assert await running.error() is None
    record = await house.record(upload)
    assert record.offset == 7
    assert record.expires_at == house.now + EXPIRE_AFTER_S


class OldNews(MemoryOffsets):
    """Tells of uploads as expired that are not, as a scan does that lasts long."""

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        for upload_id in list(self._uploads):
            yield upload_id
        yield UploadId("long-gone")


async def test_the_time_is_looked_at_again_under_the_claim() -> None:
    """Bytes that came between the scan and the claim save the upload."""
    house = House(offsets=OldNews())
    upload = await house.append(await house.create(10), b"abc")
    await janitor(house).sweep()
    assert (await house.head(upload)).offset == 3


class StubbornData(MemoryData):
    """Cannot delete one of its uploads."""

    async def delete(self, upload: Upload) -> None:
        if upload.id == "upload-1":
            raise StoreUnavailable
        await super().delete(upload)


async def test_one_that_stays_does_not_stop_the_others() -> None:
    """What cannot be removed now is tried at the next sweep."""
    house = House(data=StubbornData())
    stubborn, other = await house.create(10), await house.create(10)
    house.now += EXPIRE_AFTER_S
    await janitor(house).sweep()
    assert (await house.record(stubborn)).offset == 0
    with pytest.raises(UploadNotFound):
        await house.record(other)


class NotedOrphans(MemoryData):
    """Notes until when orphans are looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[float] = []

    async def orphans(self, before: float) -> AsyncIterator[str]:
        self.before.append(before)
        yield "an-orphan"


async def test_orphans_are_looked_for_a_day_later(caplog: pytest.LogCaptureFixture) -> None:
    """No creation takes that long."""
    caplog.set_level("INFO")
    data = NotedOrphans()
    await janitor(House(data=data)).sweep()
    assert data.before == [START - ORPHANED_AFTER_S]
    assert [r.__dict__["id"] for r in caplog.records if r.message == "OrphanRemoved"] == [
        "an-orphan"
    ]


async def test_a_sweep_joins_parts_that_another_process_completed(house: House) -> None:
    """Nobody rings here when the last part arrives elsewhere; the sweep sees it."""
    first, second = await house.part(b"abc"), await house.part(b"def", cut=1)
    final = await house.final(first, second)
    assert not final.finished
    await house.crash_with(await house.record(second), b"ef", finished=True)
    await janitor(house).sweep()
    await house.wait_finished(final)
    assert await house.content(final) == b"abcdef"


class FailsOnce(MemoryOffsets):
    """The first scans go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Exception] = [StoreUnavailable(), RuntimeError("a bug")]
        self.scanned = asyncio.Event()

    async def expired(self, before: float) -> AsyncIterator[UploadId]:
        if self.faults:
            raise self.faults.pop(0)
        self.scanned.set()
        async for upload_id in super().expired(before):
            yield upload_id


async def test_the_janitor_comes_again_after_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A store that fails, or even a bug, costs one sweep; it is logged."""
    offsets = FailsOnce()
    sweeping = asyncio.create_task(janitor(House(offsets=offsets)).run())
    async with asyncio.timeout(SOON_S):
        await offsets.scanned.wait()
    sweeping.cancel()
    await asyncio.wait([sweeping])
    assert [record.message for record in caplog.records] == ["JanitorError"] * 2


async def test_a_clock_that_jumps_back_removes_nothing(house: House) -> None:
    """Wrong clocks make uploads live longer, never shorter than promised."""
    upload = await house.append(await house.create(10), b"abc")
    house.now -= 10 * EXPIRE_AFTER_S
    await janitor(house).sweep()
    assert await house.record(upload) == replace(upload, storage=upload.storage)
