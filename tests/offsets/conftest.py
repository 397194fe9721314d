"""An upload directory with its store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork, running_lanes
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.model import Upload


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The upload directory."""
    path = tmp_path / "uploads"
    path.mkdir()
    return path


@pytest.fixture
async def run() -> AsyncIterator[HeldWork]:
    """File work that a test can hold up."""
    async with running_lanes() as lanes:
        yield HeldWork(lanes)


@pytest.fixture
async def store(directory: Path, run: HeldWork) -> AsyncIterator[FileOffsets]:
    """An open store; it was booted as the machine was."""
    offsets = FileOffsets(directory, run)
    await offsets.open()
    yield offsets
    await offsets.close()


async def add(store: FileOffsets, directory: Path, upload: Upload, data: bytes = b"") -> Upload:
    """Keep an upload whose bytes are `data`."""
    path = directory / upload.id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    upload = replace(upload, storage={"Path": str(path), "Type": "filestore"})
    async with store.create(upload):
        pass
    return upload


def names_in(directory: Path) -> set[str]:
    """What lies in a directory."""
    return {path.name for path in directory.iterdir()}


def files_below(directory: Path) -> set[str]:
    """All that is not a directory, by its path."""
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if not p.is_dir()}
