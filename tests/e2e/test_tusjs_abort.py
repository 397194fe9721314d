"""tus-js-client changes its mind: abort() with termination, and abort() with start() at once."""

from __future__ import annotations

import random

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .samples import MIB, Sample
from .stored import assert_stored, files_in, head

pytestmark = pytest.mark.usefixtures("tus_js")

POINT = 23_456_789


@pytest.mark.parametrize("ending", [Ending.HOLD, Ending.SILENCE])
async def test_abort_with_termination_leaves_nothing(
    fresh_server: Server, video: Sample, ending: Ending
) -> None:
    """abort(true) in the middle of a PATCH is answered with 204, and no file is left.

    DELETE arrives while the server still reads that PATCH, or even believes in it, because
    nobody told it of the end of the connection.
    """
    async with ChaosProxy(fresh_server.port, [Cut(after_bytes=POINT, ending=ending)]) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(fresh_server.url), path=video.path)
        async with tusjs.TusJs([job]) as client:
            await proxy.wait_cut_offs()
            assert len(files_in(fresh_server)) == 2
            await client.tell("terminate")
            report = await client.report()
        assert report.outcome == "terminated"
        (delete,) = report.of("DELETE")
        assert delete.status == 204
        assert delete.took_s is not None
        assert delete.took_s < 1
        assert files_in(fresh_server) == set()
        assert (await head(report.url)).status in (404, 410)


async def test_abort_of_a_running_upload_with_termination(
    fresh_server: Server, video: Sample
) -> None:
    """abort(true) without any luck in timing leaves nothing either, and is answered at once."""
    async with ChaosProxy(fresh_server.port) as proxy:
        job = tusjs.Job(
            endpoint=proxy.url_of(fresh_server.url), path=video.path, options={"chunkSize": MIB}
        )
        async with tusjs.TusJs([job]) as client:
            await proxy.wait_requests(5)
            await client.tell("terminate")
            report = await client.report()
    assert report.outcome == "terminated"
    assert [e.status for e in report.of("DELETE")] == [204]
    assert files_in(fresh_server) == set()


@pytest.mark.parametrize("ending", [Ending.HOLD, Ending.SILENCE])
async def test_abort_and_start_at_once(server: Server, video: Sample, ending: Ending) -> None:
    """start() right behind abort() goes on at the byte that had arrived, within a second.

    With a silent network the server does not know yet that the first connection is dead.
    """
    async with ChaosProxy(server.port, [Cut(after_bytes=POINT, ending=ending)]) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(server.url), path=video.path, retries=5)
        async with tusjs.TusJs([job]) as client:
            await proxy.wait_cut_offs()
            await client.tell("restart")
            report = await client.report()
    assert report.outcome == "success"
    asked = report.of("HEAD")[0]
    assert (asked.status, asked.offset) == (200, POINT)
    assert asked.took_s is not None
    assert asked.took_s < 1
    await assert_stored(server, report.url, video)


async def test_nervous_user(server: Server, video: Sample) -> None:
    """Many restarts of a running upload end in the file as it was, and never in an error.

    Requests overtake each other then, and some ask to go on where the upload is not any more;
    each of them is answered at once.
    """
    chance = random.Random(7)  # noqa: S311 - repeatable, not secret
    async with ChaosProxy(server.port) as proxy:
        job = tusjs.Job(
            endpoint=proxy.url_of(server.url),
            path=video.path,
            options={"chunkSize": MIB},
            retries=50,
        )
        async with tusjs.TusJs([job]) as client:
            for _ in range(20):
                await proxy.wait_requests(len(proxy.requests) + chance.randint(1, 3))
                await client.tell("restart")
            report = await client.report()
    assert report.outcome == "success"
    assert {e.status for e in report.exchanges} <= {None, 200, 201, 204, 409, 423}
    assert max(e.took_s or 0 for e in report.exchanges) < 5, report.exchanges
    await assert_stored(server, report.url, video)
