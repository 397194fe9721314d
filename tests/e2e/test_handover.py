"""Whoever comes back for an upload gets it, although its last connection seems to live."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .samples import MB, Sample, Samples
from .stored import assert_stored, head, id_of

pytestmark = pytest.mark.usefixtures("tus_js")

POINT = 34_567_890
HAND_OVER_S = 1.0
# Each HEAD of these may be answered by the process that has the body, or by the other one.
ASKED_BY_ALL = 6


async def test_head_counts_what_a_half_open_connection_brought(
    any_server: Server, video: Sample
) -> None:
    """HEAD ends a PATCH that has fallen silent, and answers with all its bytes in a second."""
    async with ChaosProxy(
        any_server.port, [Cut(after_bytes=POINT, ending=Ending.SILENCE)]
    ) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(any_server.url), path=video.path)
        async with tusjs.TusJs([job]) as client:
            cut_off = await proxy.wait_cut_offs()
            url = any_server.url + id_of(cut_off.request.path)
            for _ in range(ASKED_BY_ALL):
                since = time.monotonic()
                state = await head(url)
                assert (state.status, state.offset) == (200, POINT)
                assert time.monotonic() - since < HAND_OVER_S
            await client.kill()
        resuming = tusjs.Job(endpoint=any_server.url, path=video.path, options={"uploadUrl": url})
        (report,) = await tusjs.run(resuming)
    assert [(e.method, e.offset) for e in report.exchanges] == [
        ("HEAD", POINT),
        ("PATCH", video.size),
    ]
    await assert_stored(any_server, url, video)


async def test_many_ask_at_once(any_server: Server, video: Sample) -> None:
    """Several HEADs at once, behind a silent PATCH, all get the same answer in a second."""
    async with ChaosProxy(
        any_server.port, [Cut(after_bytes=POINT, ending=Ending.SILENCE)]
    ) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(any_server.url), path=video.path)
        async with tusjs.TusJs([job]) as client:
            cut_off = await proxy.wait_cut_offs()
            url = any_server.url + id_of(cut_off.request.path)
            since = time.monotonic()
            states = await asyncio.gather(*(head(url) for _ in range(ASKED_BY_ALL)))
            took_s = time.monotonic() - since
            await client.kill()
    assert [(state.status, state.offset) for state in states] == [(200, POINT)] * ASKED_BY_ALL
    assert took_s < HAND_OVER_S


async def test_network_falls_silent_for_everybody(any_server: Server, samples: Samples) -> None:
    """When a network dies with all its connections, all uploads go on over the next one."""
    files = [samples.of(20 * MB + n) for n in range(4)]
    silences = [Cut(after_bytes=7 * MB, ending=Ending.SILENCE)] * len(files)
    async with ChaosProxy(any_server.port, silences) as proxy:
        endpoint = proxy.url_of(any_server.url)
        jobs = [tusjs.Job(endpoint=endpoint, path=file.path) for file in files]
        async with tusjs.TusJs(jobs) as clients:
            await proxy.wait_cut_offs(len(files))
            await clients.tell("resume")
            reports = await clients.reports()
    for report, file in zip(reports, files, strict=True):
        assert report.outcome == "success"
        asked = report.of("HEAD")[0]
        assert (asked.status, asked.offset) == (200, 7 * MB)
        assert asked.took_s is not None
        assert asked.took_s < HAND_OVER_S
        await assert_stored(any_server, report.url, file)
