"""A directory with its data store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork, running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.protocol.model import Upload, UploadId


@pytest.fixture
async def run() -> AsyncIterator[HeldWork]:
    """File work that a test can hold up."""
    async with running_lanes() as lanes:
        yield HeldWork(lanes)


@pytest.fixture
async def disk(tmp_path: Path, run: HeldWork) -> AsyncIterator[DiskData]:
    """An open store in ``uploads``."""
    store = DiskData(tmp_path / "uploads", run)
    await store.open()
    yield store
    await store.close()


async def create(store: DiskData, upload_id: str = "a" * 32) -> Upload:
    """Make room for an upload."""
    upload = Upload(id=UploadId(upload_id), length=None)
    upload = replace(upload, storage=store.place(upload.id))
    await store.create(upload)
    return upload
