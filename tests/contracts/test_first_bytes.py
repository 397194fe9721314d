"""The contract of `DataStore.place` and `DataStore.create` with first bytes, for every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tusd_py.interfaces import DataStore
from tusd_py.protocol.errors import InsufficientStorage, UploadExists, UploadNotFound
from tusd_py.protocol.model import Upload

from .conftest import CAPACITY_BYTES, ID, DataHarness


def new(store: DataStore, content: bytes) -> Upload:
    """A new upload whose record says that all of `content` has come."""
    upload = Upload(id=ID, length=len(content), offset=len(content))
    return replace(upload, storage=store.place(ID))


async def stored(store: DataStore, upload: Upload) -> bytes:
    """All its bytes."""
    return b"".join([chunk async for chunk in store.read(upload, 0, 1 << 40)])


async def test_a_place_is_only_a_place(data: DataHarness) -> None:
    """`place` makes nothing: there are no bytes until `create`."""
    upload = new(data.store, b"abc")
    assert upload.storage["Type"]
    with pytest.raises(UploadNotFound):
        await stored(data.store, upload)


async def test_first_bytes_are_stored_with_the_upload(data: DataHarness) -> None:
    """They are there when `create` returns, and an append goes on behind them."""
    upload = new(data.store, b"abc")
    await data.store.create(upload, b"abc")
    assert await stored(data.store, upload) == b"abc"
    async with data.store.append(upload) as session:
        await session.write(b"def")
        assert await session.commit() == 6
    assert await stored(data.store, upload) == b"abcdef"


async def test_first_bytes_replace_nothing(data: DataHarness) -> None:
    """Under a taken id nothing changes: UploadExists."""
    upload = new(data.store, b"mine")
    await data.store.create(upload, b"mine")
    with pytest.raises(UploadExists):
        await data.store.create(upload, b"yours")
    assert await stored(data.store, upload) == b"mine"


async def test_without_room_for_them_nothing_is_made(data: DataHarness) -> None:
    """All or nothing: the id is free afterwards."""
    content = bytes(2 * CAPACITY_BYTES)
    with data.small() as small:
        await small.store.open()
        upload = new(small.store, content)
        with pytest.raises(InsufficientStorage):
            await small.store.create(upload, content)
        with pytest.raises(UploadNotFound):
            await stored(small.store, upload)
        await small.store.create(upload, b"fits")
        assert await stored(small.store, upload) == b"fits"
        await small.store.close()


@pytest.mark.parametrize("content", [b"", b"abc"])
async def test_a_cancelled_creation_makes_nothing(data: DataHarness, content: bytes) -> None:
    """Whoever is cancelled while it waits leaves no bytes behind."""
    upload = new(data.store, content)
    creating = asyncio.ensure_future(data.store.create(upload, content))
    await asyncio.sleep(0)
    creating.cancel()
    await asyncio.wait([creating])
    if creating.cancelled():
        with pytest.raises(UploadNotFound):
            await stored(data.store, upload)
    else:
        assert await stored(data.store, upload) == content
