"""What crashes leave in the directory of records is removed, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.offsets.conftest import add
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.errors import UploadNotFound
from tusd_py.protocol.model import Upload, UploadId

LONG_AGO = 1_000_000.0


async def removed(store: FileOffsets, before: float) -> list[str]:
    """The names that are gone afterwards."""
    return [name async for name in store.orphans(before)]


def grow_old(path: Path) -> None:
    """Make a file look as if it had been written long ago."""
    os.utime(path, (LONG_AGO, LONG_AGO))


async def test_record_without_bytes_is_removed(store: FileOffsets, directory: Path) -> None:
    """A record whose data file has gone, as after half a termination, is removed when old."""
    upload = await add(store, directory, Upload(id=UploadId("a" * 32), length=3))
    record = directory / f"{upload.id}.info"
    (directory / upload.id).unlink()

    assert await removed(store, LONG_AGO) == []
    grow_old(record)

    assert await removed(store, LONG_AGO) == [upload.id]
    assert not record.exists()
    with pytest.raises(UploadNotFound):
        await store.get(upload.id)


async def test_old_upload_is_no_orphan(store: FileOffsets, directory: Path) -> None:
    """An upload that has its bytes stays, however old it is."""
    upload = await add(store, directory, Upload(id=UploadId("a" * 32), length=3), b"ab")
    grow_old(directory / upload.id)
    grow_old(directory / f"{upload.id}.info")

    assert await removed(store, LONG_AGO + 1) == []
    assert (await store.get(upload.id)).offset == 2


async def test_unreadable_record_is_left_to_people(store: FileOffsets, directory: Path) -> None:
    """A record that cannot be understood is not removed: it may be a later version's."""
    record = directory / f"{'a' * 32}.info"
    record.write_text("{}")
    grow_old(record)

    assert await removed(store, LONG_AGO) == []
    assert record.exists()


async def test_record_that_never_got_its_name(store: FileOffsets, directory: Path) -> None:
    """A temporary record of a process that was killed is removed when old."""
    left = directory / ".tusd_py" / "new" / "0123456789abcdef"
    left.write_text("{")

    assert await removed(store, LONG_AGO) == []
    grow_old(left)

    assert await removed(store, LONG_AGO) == [left.name]
    assert not left.exists()
