"""The server's memory does not depend on the size of what is uploaded, or on how."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.server import Server

from . import tusjs
from .conftest import NoteFigure, StartServer
from .memory import Memory, watched
from .samples import MB, MIB, Sample, Samples
from .stored import assert_stored, get_sha256

pytestmark = pytest.mark.usefixtures("tus_js")

SMALL, BIG = 20 * MB, 200 * MB
# A server that kept bodies would need ten times as much for the big one.
MOST_DIFFERENCE = 16 * MIB
MOST_PEAK = 160 * MIB
MOST_GROWTH_OF_TEN = 100 * MIB

WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "chunks": {"chunkSize": 16 * MIB},
    "parallel": {"parallelUploads": 2},
    "override": {"overridePatchMethod": True, "uploadDataDuringCreation": True},
}


def in_mib(size: int) -> str:
    """Return a size for people."""
    return f"{size / MIB:.1f} MiB"


async def upload_watched(server: Server, sample: Sample, options: dict[str, Any]) -> Memory:
    """Upload a sample; return what memory that took."""
    with watched(server) as memory:
        report = await tusjs.upload(server.url, sample.path, **options)
    assert report.outcome == "success"
    await assert_stored(server, report.url, sample)
    return memory


@pytest.mark.parametrize("way", WAYS)
async def test_memory_is_flat_in_the_size_of_the_file(
    start_server: StartServer, samples: Samples, note_figure: NoteFigure, way: str
) -> None:
    """A file ten times as big takes the same memory, however it is sent."""
    small = await upload_watched(start_server(), samples.of(SMALL), WAYS[way])
    big = await upload_watched(start_server(), samples.of(BIG), WAYS[way])
    note_figure(
        f"resident at most {in_mib(small.peak)} for 20 MB, {in_mib(big.peak)} for 200 MB "
        f"(idle: {in_mib(big.first)})"
    )
    assert abs(big.peak - small.peak) < MOST_DIFFERENCE
    assert big.peak < MOST_PEAK


async def test_memory_of_ten_uploads_at_once(
    fresh_server: Server, samples: Samples, note_figure: NoteFigure
) -> None:
    """Ten uploads at once take ten times the buffers, not ten times the files."""
    sample = samples.of(BIG // 4)
    with watched(fresh_server) as memory:
        reports = await tusjs.run(*[tusjs.Job(endpoint=fresh_server.url, path=sample.path)] * 10)
    assert {report.outcome for report in reports} == {"success"}
    note_figure(f"resident at most {in_mib(memory.peak)} for 10 x 50 MB at once")
    assert memory.grown < MOST_GROWTH_OF_TEN
    for report in reports:
        await assert_stored(fresh_server, report.url, sample)


async def test_memory_of_downloads(
    fresh_server: Server, samples: Samples, note_figure: NoteFigure
) -> None:
    """Downloads at once take no memory that depends on the file either."""
    sample = samples.of(BIG)
    report = await tusjs.upload(fresh_server.url, sample.path)
    with watched(fresh_server) as memory:
        found = await asyncio.gather(*(get_sha256(report.url) for _ in range(4)))
    assert found == [(sample.size, sample.sha256)] * 4
    note_figure(f"resident at most {in_mib(memory.peak)} for four downloads of 200 MB at once")
    assert memory.grown < MOST_DIFFERENCE
