"""A gigabyte; only with --large."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .conftest import NoteFigure
from .memory import watched
from .samples import MIB, Sample, Samples
from .stored import assert_stored

pytestmark = [
    pytest.mark.large,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("tus_js"),
]

GIB = 1024 * MIB
MOST_PEAK = 160 * MIB

WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "chunks": {"chunkSize": 64 * MIB},
    "parallel": {"parallelUploads": 4},
}


@pytest.fixture
def gibibyte(samples: Samples) -> Sample:
    """A file of 1 GiB."""
    return samples.of(GIB)


@pytest.mark.parametrize("way", WAYS)
async def test_gibibyte(
    fresh_server: Server, gibibyte: Sample, note_figure: NoteFigure, way: str
) -> None:
    """A file of 1 GiB arrives unchanged, and takes no more memory than a small one."""
    since = time.monotonic()
    with watched(fresh_server) as memory:
        report = await tusjs.upload(fresh_server.url, gibibyte.path, **WAYS[way])
    took_s = time.monotonic() - since
    assert report.outcome == "success"
    note_figure(f"{1024 / took_s:.0f} MiB/s, resident at most {memory.peak / MIB:.1f} MiB")
    assert memory.peak < MOST_PEAK
    await assert_stored(fresh_server, report.url, gibibyte)


async def test_gibibyte_is_resumed(fresh_server: Server, gibibyte: Sample) -> None:
    """A file of 1 GiB that is cut in its second half goes on there."""
    point = 700 * MIB + 1
    async with ChaosProxy(fresh_server.port, [Cut(after_bytes=point, ending=Ending.FIN)]) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(fresh_server.url), path=gibibyte.path, retries=3)
        (report,) = await tusjs.run(job)
    assert [exchange.offset for exchange in report.of("HEAD")] == [point]
    await assert_stored(fresh_server, report.url, gibibyte)
