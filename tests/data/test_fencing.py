"""A store where claims are leases: who writes makes sure that the bytes are still his."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork
from tusd_py.data import seizing
from tusd_py.data.disk import DiskData
from tusd_py.data.session import path_of
from tusd_py.filesystem.calls import open_regular
from tusd_py.protocol.errors import BytesBusy, ClaimLost, TusError, UploadDamaged
from tusd_py.protocol.model import Partial, Upload

from .conftest import create


@pytest.fixture
async def fenced(tmp_path: Path, run: HeldWork) -> AsyncIterator[DiskData]:
    """An open store in ``uploads``, of a node that shares it with others."""
    store = DiskData(tmp_path / "uploads", run, fenced=True)
    await store.open()
    yield store
    await store.close()


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(seizing, "_LOCK_PATIENCE_S", 0.0)


async def append(store: DiskData, upload: Upload, content: bytes) -> Upload:
    """Append, and commit."""
    async with store.append(upload) as session:
        await session.write(content)
        return replace(upload, offset=await session.commit())


async def test_bytes_that_are_seized_before_they_are_opened(fenced: DiskData) -> None:
    """The name is gone: nothing is written anywhere, and the bytes look damaged."""
    upload = await append(fenced, await create(fenced), b"12345")
    later = replace(upload, storage=await fenced.seize(upload, 2))
    with pytest.raises(UploadDamaged):
        await append(fenced, upload, b"late")
    assert Path(path_of(later)).read_bytes() == b"12345"  # noqa: ASYNC240


@pytest.mark.parametrize("how", ["rename", "copy"])
async def test_bytes_that_are_seized_while_they_are_opened(
    fenced: DiskData, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Between opening and locking the file: nothing is cut off."""
    upload = await append(fenced, await create(fenced), b"12345 and more")
    upload = replace(upload, offset=5)
    real, new = fcntl.flock, path_of(upload) + ",2-0"

    def seized_first(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        if how == "rename":
            seizing.seize(path_of(upload), new, 14)
        else:
            os.link(path_of(upload), new)
            os.unlink(path_of(upload))
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", seized_first)
    with pytest.raises(ClaimLost):
        await append(fenced, upload, b"late")
    assert Path(new).read_bytes() == b"12345 and more"  # noqa: ASYNC240


@pytest.mark.parametrize("durable", [False, True])
async def test_bytes_that_are_seized_while_they_are_written(
    fenced: DiskData, *, durable: bool
) -> None:
    """The next commit tells; what is in the new place does not change."""
    upload = await append(fenced, await create(fenced), b"12345")
    async with fenced.append(upload) as session:
        await session.write(b"not saved")
        await session.commit()
        later = replace(upload, storage=await fenced.seize(upload, 2))
        await session.write(b"late")
        with pytest.raises(ClaimLost):
            await session.commit(durable=durable)
        await session.rollback(0)
    assert Path(path_of(later)).read_bytes() == b"12345"  # noqa: ASYNC240
    assert (await append(fenced, later, b"67")).offset == 7


async def test_bytes_that_somebody_writes_without_a_claim(fenced: DiskData) -> None:
    """They are left alone, until they are seized."""
    upload = await append(fenced, await create(fenced), b"12345")
    with open_regular(path_of(upload), os.O_RDWR) as file:
        fcntl.flock(file.fd, fcntl.LOCK_EX)
        with pytest.raises(BytesBusy):
            await append(fenced, upload, b"67")
        with pytest.raises(BytesBusy):
            await fenced.concatenate(replace(upload, offset=0), [])
        upload = replace(upload, storage=await fenced.seize(upload, 2))
        upload = await append(fenced, upload, b"67")
    assert Path(path_of(upload)).read_bytes() == b"1234567"  # noqa: ASYNC240


@pytest.mark.parametrize(("other", "error"), [(0, ClaimLost), (1, None)])
async def test_a_final_is_written_by_one_only(
    fenced: DiskData, monkeypatch: pytest.MonkeyPatch, other: int, error: type[TusError] | None
) -> None:
    """What concatenation writes to is locked and checked like what an append writes to."""
    part = await append(fenced, await create(fenced, "p"), b"part")
    part = replace(part, length=4, kind=Partial())
    final = await create(fenced, "f")
    real = fcntl.flock

    def taken(fd: int, operation: int) -> None:
        real(fd, operation)
        if other == 0:
            os.rename(path_of(final), path_of(final) + ",2-0")

    monkeypatch.setattr(fcntl, "flock", taken)
    if error is None:
        assert await fenced.concatenate(final, [part]) == 4
    else:
        with pytest.raises(error):
            await fenced.concatenate(final, [part])


async def test_without_leases_nothing_is_locked(
    disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded store does not pay for it."""
    monkeypatch.delattr(fcntl, "flock")
    upload = await append(disk, await create(disk), b"12345")
    assert await disk.concatenate(await create(disk, "f"), [upload]) == 5


async def test_a_planted_link_is_not_seized(fenced: DiskData, tmp_path: Path) -> None:
    """A file that has another name, too, is not ours alone."""
    upload = await append(fenced, await create(fenced), b"12345")
    os.link(path_of(upload), tmp_path / "elsewhere")
    with pytest.raises(UploadDamaged):
        await fenced.seize(upload, 2)


async def test_a_file_with_a_second_name_is_left_alone(disk: DiskData, tmp_path: Path) -> None:
    """It is somebody else's, too: nothing of it is cut off, and nothing is written to it."""
    upload = await create(disk)
    canary = tmp_path / "canary"
    canary.write_bytes(b"canary")
    os.unlink(path_of(upload))
    os.link(canary, path_of(upload))
    with pytest.raises(UploadDamaged):
        await append(disk, upload, b"12345")
    assert canary.read_bytes() == b"canary"
