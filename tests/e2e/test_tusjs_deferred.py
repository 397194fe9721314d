"""tus-js-client uploads streams whose length nobody knows.

No sample here is a multiple of the chunk size, except where the client reads as in a browser:
in Node.js the client waits for ever behind the last chunk of such a stream (tus-js-client#779).
"""

from __future__ import annotations

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .samples import MB, Samples
from .stored import assert_stored, head

pytestmark = pytest.mark.usefixtures("tus_js")


async def test_length_comes_with_the_last_chunk(server: Server, samples: Samples) -> None:
    """A stream is sent in chunks, and the last of them tells the length."""
    sample = samples.of(20 * MB + 12_345)
    job = tusjs.Job(
        endpoint=server.url,
        path=sample.path,
        kind="stream",
        options={"uploadLengthDeferred": True, "chunkSize": 8 * MB},
    )
    (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    assert [(e.method, e.status, e.sent_length, e.offset) for e in report.exchanges] == [
        ("POST", 201, None, 0),
        ("PATCH", 204, None, 8 * MB),
        ("PATCH", 204, None, 16 * MB),
        ("PATCH", 204, sample.size, sample.size),
    ]
    state = await head(report.url)
    assert "Upload-Defer-Length" not in state.headers
    await assert_stored(server, report.url, sample)


@pytest.mark.parametrize("size", [20 * MB, 20 * MB + 1, 0])
async def test_length_comes_with_an_empty_patch(
    server: Server, samples: Samples, size: int
) -> None:
    """In browsers the length comes behind all bytes, with a PATCH that has no body."""
    sample = samples.of(size)
    job = tusjs.Job(
        endpoint=server.url,
        path=sample.path,
        kind="browser-stream",
        options={"uploadLengthDeferred": True, "chunkSize": 5 * MB},
    )
    (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    last = report.exchanges[-1]
    assert (last.method, last.status) == ("PATCH", 204)
    assert (last.sent_offset, last.sent_length, last.offset) == (size, size, size)
    assert report.accepted[-1] == 0
    assert [patch.sent_length for patch in report.of("PATCH")[:-1]] == [None] * -(-size // (5 * MB))
    await assert_stored(server, report.url, sample)


async def test_creation_tells_the_offset(server: Server, samples: Samples) -> None:
    """With uploadDataDuringCreation too, the answer to POST has the offset the client needs."""
    sample = samples.of(3 * MB + 1)
    job = tusjs.Job(
        endpoint=server.url,
        path=sample.path,
        kind="stream",
        options={
            "uploadLengthDeferred": True,
            "uploadDataDuringCreation": True,
            "chunkSize": 2 * MB,
        },
    )
    (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    assert [(e.method, e.offset) for e in report.exchanges] == [
        ("POST", 0),
        ("PATCH", 2 * MB),
        ("PATCH", sample.size),
    ]
    await assert_stored(server, report.url, sample)


async def test_stream_survives_a_cut(server: Server, samples: Samples) -> None:
    """A stream that was cut inside a chunk goes on behind the bytes that had arrived."""
    sample = samples.of(20 * MB + 12_345)
    point = 8 * MB + 3_210_987
    async with ChaosProxy(server.port, [Cut(after_bytes=point, ending=Ending.FIN)]) as proxy:
        job = tusjs.Job(
            endpoint=proxy.url_of(server.url),
            path=sample.path,
            kind="stream",
            options={"uploadLengthDeferred": True, "chunkSize": 8 * MB},
            retries=3,
        )
        (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    assert [e.offset for e in report.of("HEAD")] == [point]
    await assert_stored(server, report.url, sample)
