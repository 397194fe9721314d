"""tus-js-client goes on with uploads that were cut, at the very byte."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .samples import MB, MIB, Sample, Samples
from .stored import assert_stored, file_of, files_in, head, id_of

pytestmark = pytest.mark.usefixtures("tus_js")


def cut_points(size: int, count: int, *, seed: int) -> list[int]:
    """Return random offsets in a file, in order; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    return sorted(chance.sample(range(1, size), count))


def cuts_at(points: Sequence[int], ending: Ending) -> Iterator[Cut]:
    """Yield the cuts that end an upload at those offsets, one after the other."""
    for start, stop in zip([0, *points], points, strict=False):
        yield Cut(after_bytes=stop - start, ending=ending)


def jobs(endpoint: str, video: Sample, storage: Path, **options: object) -> Iterator[tusjs.Job]:
    """Yield the job that begins an upload, and then those that go on with it, for ever."""
    resume = False
    while True:
        yield tusjs.Job(
            endpoint=endpoint,
            path=video.path,
            storage=storage,
            resume=resume,
            options={"metadata": {"filename": "holiday.mp4"}, **options},
        )
        resume = True


async def test_resumes_where_the_connection_was_closed(
    fresh_server: Server, video: Sample, tmp_path: Path
) -> None:
    """Each new process of the client goes on at the byte where the last one was cut off."""
    points = cut_points(video.size, 4, seed=1)
    async with ChaosProxy(fresh_server.port, cuts_at(points, Ending.FIN)) as proxy:
        job = jobs(proxy.url_of(fresh_server.url), video, tmp_path / "urls.json")
        reports = [(await tusjs.run(next(job)))[0] for _ in range(len(points) + 1)]
        assert [cut_off.reached for cut_off in proxy.cut_offs] == points
    assert [report.outcome for report in reports] == ["error"] * len(points) + ["success"]
    assert {report.url for report in reports} == {reports[0].url}
    heads = [report.of("HEAD") for report in reports[1:]]
    assert [[(e.status, e.offset) for e in exchanges] for exchanges in heads] == [
        [(200, point)] for point in points
    ]
    await assert_stored(fresh_server, reports[0].url, video)
    upload_id = id_of(reports[0].url)
    assert files_in(fresh_server) == {upload_id, f"{upload_id}.info"}


async def test_resumes_after_resets(server: Server, video: Sample, tmp_path: Path) -> None:
    """After a reset, no byte counts that was not passed on, and what counts is right."""
    points = cut_points(video.size, 4, seed=2)
    plan = [Cut(after_bytes=point // 4, ending=Ending.RST) for point in points]
    async with ChaosProxy(server.port, plan) as proxy:
        job = jobs(proxy.url_of(server.url), video, tmp_path / "urls.json")
        reports = [(await tusjs.run(next(job)))[0] for _ in range(len(points) + 1)]
        reached = [cut_off.reached for cut_off in proxy.cut_offs]
    heads = [report.of("HEAD")[0] for report in reports[1:]]
    offsets = [exchange.offset or 0 for exchange in heads]
    assert offsets == sorted(offsets)
    assert all(offset <= most for offset, most in zip(offsets, reached, strict=True))
    assert reports[-1].outcome == "success"
    await assert_stored(server, reports[-1].url, video)


async def test_resumes_after_abort(server: Server, video: Sample, tmp_path: Path) -> None:
    """After abort(), nothing more is sent, and the next process goes on at that byte."""
    points = cut_points(video.size, 3, seed=3)
    async with ChaosProxy(server.port, cuts_at(points, Ending.HOLD)) as proxy:
        job = jobs(proxy.url_of(server.url), video, tmp_path / "urls.json")
        for number, point in enumerate(points, 1):
            async with tusjs.TusJs([next(job)]) as client:
                cut_off = await proxy.wait_cut_offs(number)
                assert cut_off.reached == point
                await client.tell("abort")
                report = await client.report()
            assert report.outcome == "aborted"
            assert (await head(report.url)).offset == point
        (report,) = await tusjs.run(next(job))
    assert [(e.method, e.offset) for e in report.exchanges] == [
        ("HEAD", points[-1]),
        ("PATCH", video.size),
    ]
    await assert_stored(server, report.url, video)


async def test_resumes_after_the_client_was_killed(
    server: Server, video: Sample, tmp_path: Path
) -> None:
    """A client that was killed while it uploaded chunks goes on in the middle of one."""
    point = 12 * MIB + 345_678
    async with ChaosProxy(server.port, [Cut(after_bytes=point, ending=Ending.HOLD)]) as proxy:
        job = jobs(proxy.url_of(server.url), video, tmp_path / "urls.json", chunkSize=5 * MIB)
        async with tusjs.TusJs([next(job)]) as client:
            assert (await proxy.wait_cut_offs()).reached == point
            await client.kill()
        (report,) = await tusjs.run(next(job))
    assert report.of("HEAD")[0].offset == point
    assert report.of("PATCH")[0].sent_offset == point
    assert report.outcome == "success"
    await assert_stored(server, report.url, video)


async def test_parallel_parts_are_resumed(
    fresh_server: Server, video: Sample, tmp_path: Path
) -> None:
    """Parts that were cut at different bytes are all found again, finished and joined."""
    points = [1_234_567, 2_345_678, 3_456_789]
    plan = [Cut(after_bytes=point, ending=Ending.HOLD) for point in points]
    async with ChaosProxy(fresh_server.port, plan) as proxy:
        job = jobs(proxy.url_of(fresh_server.url), video, tmp_path / "urls.json", parallelUploads=3)
        async with tusjs.TusJs([next(job)]) as client:
            await proxy.wait_cut_offs(3)
            await client.tell("abort")
            assert (await client.report()).outcome == "aborted"
        (report,) = await tusjs.run(next(job))
    assert sorted(e.offset or 0 for e in report.of("HEAD")) == points
    assert sum(report.accepted) == video.size - sum(points)
    assert report.outcome == "success"
    assert len(files_in(fresh_server)) == 2 * (3 + 1)
    await assert_stored(fresh_server, report.url, video)


async def test_lost_last_answer_is_success(server: Server, samples: Samples) -> None:
    """When the answer to the last PATCH is lost, HEAD tells the client that it is finished."""
    sample = samples.of(20 * MB)
    plan = [Cut(after_bytes=sample.size, ending=Ending.FIN)]
    async with ChaosProxy(server.port, plan) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(server.url), path=sample.path, retries=3)
        (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    assert [(e.method, e.status, e.offset) for e in report.exchanges] == [
        ("POST", 201, 0),
        ("PATCH", None, None),
        ("HEAD", 200, sample.size),
    ]
    await assert_stored(server, report.url, sample)


async def test_lost_answers_to_chunks_cost_nothing(server: Server, samples: Samples) -> None:
    """When the answer to a chunk is lost, the client goes on behind it."""
    sample = samples.of(20 * MB)
    plan = [Cut(after_bytes=4 * MB, ending=Ending.RST)] * 4
    async with ChaosProxy(server.port, plan) as proxy:
        job = tusjs.Job(
            endpoint=proxy.url_of(server.url),
            path=sample.path,
            options={"chunkSize": 4 * MB},
            retries=3,
        )
        (report,) = await tusjs.run(job)
        passed = sum(request.body_bytes for request in proxy.requests)
    assert report.outcome == "success"
    assert passed >= sample.size
    assert report.of("HEAD")[-1].offset is not None
    await assert_stored(server, report.url, sample)


async def test_removed_upload_is_begun_again(
    server: Server, samples: Samples, tmp_path: Path
) -> None:
    """When the upload is gone from the server, the client makes a new one and finishes it."""
    sample = samples.of(3 * MB)
    job = jobs(server.url, sample, tmp_path / "urls.json")
    (first,) = await tusjs.run(next(job))
    file_of(server, first.url).unlink()
    (second,) = await tusjs.run(next(job))
    assert second.of("HEAD")[0].status in (404, 410)
    assert (second.outcome, second.methods) == ("success", ["HEAD", "POST", "PATCH"])
    assert second.url != first.url
    await assert_stored(server, second.url, sample)
