"""tus-js-client on a good network."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.chaos_proxy import ChaosProxy
from tests.support.server import Server

from . import tusjs
from .samples import MB, MIB, Sample, Samples
from .stored import assert_stored, files_in, head, id_of

pytestmark = pytest.mark.usefixtures("tus_js")


async def test_whole_file_goes_in_one_patch(server: Server, video: Sample) -> None:
    """Without a chunkSize, a file is one POST and one PATCH, and arrives unchanged."""
    report = await tusjs.upload(server.url, video.path)
    assert report.outcome == "success"
    assert [(e.method, e.status) for e in report.exchanges] == [("POST", 201), ("PATCH", 204)]
    assert report.accepted == [video.size]
    assert report.size == video.size
    await assert_stored(server, report.url, video)


@pytest.mark.parametrize("kind", ["file", "buffer"])
async def test_chunks_follow_each_other(server: Server, video: Sample, kind: str) -> None:
    """With a chunkSize, each PATCH begins where the last one ended."""
    chunk = 5 * MIB
    job = tusjs.Job(endpoint=server.url, path=video.path, kind=kind, options={"chunkSize": chunk})
    (report,) = await tusjs.run(job)
    starts = list(range(0, video.size, chunk))
    assert report.outcome == "success"
    assert report.methods == ["POST"] + ["PATCH"] * len(starts)
    assert [patch.sent_offset for patch in report.of("PATCH")] == starts
    assert [patch.offset for patch in report.of("PATCH")] == [*starts[1:], video.size]
    assert report.size == video.size
    await assert_stored(server, report.url, video)


async def test_200_megabytes_in_chunks(server: Server, samples: Samples) -> None:
    """A big file in chunks of 16 MiB takes as many PATCHes as it has chunks."""
    sample = samples.of(200 * MB)
    report = await tusjs.upload(server.url, sample.path, chunkSize=16 * MIB)
    assert report.outcome == "success"
    assert report.accepted == [16 * MIB] * 11 + [sample.size - 11 * 16 * MIB]
    await assert_stored(server, report.url, sample)


async def test_empty_file(server: Server, samples: Samples) -> None:
    """An empty file is complete once it is created; no PATCH is sent."""
    empty = samples.of(0)
    report = await tusjs.upload(server.url, empty.path)
    assert (report.outcome, report.methods) == ("success", ["POST"])
    await assert_stored(server, report.url, empty)


async def test_ten_uploads_at_once(server: Server, samples: Samples) -> None:
    """Ten uploads that run at once do not get into each other's way."""
    files = [samples.of(5 * MB + 1000 * n) for n in range(10)]
    reports = await tusjs.run(
        *(
            tusjs.Job(endpoint=server.url, path=file.path, options={"chunkSize": MIB})
            for file in files
        )
    )
    assert [report.outcome for report in reports] == ["success"] * 10
    assert len({report.url for report in reports}) == 10
    await asyncio.gather(
        *(
            assert_stored(server, report.url, file)
            for report, file in zip(reports, files, strict=True)
        )
    )


@pytest.mark.parametrize("parts", [3, 4])
async def test_parallel_parts_are_joined(server: Server, video: Sample, parts: int) -> None:
    """With parallelUploads, partial uploads are made at once and joined to one."""
    report = await tusjs.upload(server.url, video.path, parallelUploads=parts)
    assert report.outcome == "success"
    final = report.exchanges[-1]
    assert (final.method, final.status) == ("POST", 201)
    assert final.sent_concat is not None
    assert final.sent_concat.startswith("final;http://")
    partials = final.sent_concat.removeprefix("final;").split(" ")
    assert len(partials) == parts
    assert report.methods.count("PATCH") == parts
    assert sum(report.accepted) == video.size
    await assert_stored(server, report.url, video)
    state = await head(report.url)
    assert state.headers["Upload-Concat"] == final.sent_concat
    size = video.size // parts
    offsets = [(await head(partial)).offset for partial in partials]
    assert offsets == [size] * (parts - 1) + [video.size - (parts - 1) * size]


async def test_data_comes_with_the_creation(server: Server, samples: Samples) -> None:
    """With uploadDataDuringCreation, a small file needs one request."""
    sample = samples.of(3 * MB)
    report = await tusjs.upload(server.url, sample.path, uploadDataDuringCreation=True)
    assert report.outcome == "success"
    assert [(e.method, e.status, e.offset) for e in report.exchanges] == [
        ("POST", 201, sample.size)
    ]
    await assert_stored(server, report.url, sample)


async def test_first_chunk_comes_with_the_creation(server: Server, samples: Samples) -> None:
    """With uploadDataDuringCreation and chunks, the PATCHes go on behind the first one."""
    sample = samples.of(3 * MB)
    report = await tusjs.upload(
        server.url, sample.path, uploadDataDuringCreation=True, chunkSize=MB
    )
    assert [(e.method, e.status, e.offset) for e in report.exchanges] == [
        ("POST", 201, MB),
        ("PATCH", 204, 2 * MB),
        ("PATCH", 204, 3 * MB),
    ]
    await assert_stored(server, report.url, sample)


async def test_patch_may_be_called_post(server: Server, samples: Samples) -> None:
    """With overridePatchMethod, uploads get through networks that know no PATCH."""
    sample = samples.of(3 * MB)
    async with ChaosProxy(server.port) as proxy:
        report = await tusjs.upload(
            proxy.url_of(server.url), sample.path, overridePatchMethod=True, chunkSize=MB
        )
        assert [(e.method, e.status) for e in report.exchanges] == [
            ("POST", 201),
            *[("POST", 204)] * 3,
        ]
        overrides = [r.headers.get("x-http-method-override") for r in proxy.requests]
    assert overrides == [None, "PATCH", "PATCH", "PATCH"]
    await assert_stored(server, report.url, sample)


async def test_requests_have_ids(server: Server, samples: Samples) -> None:
    """With addRequestId, each request carries a UUID of its own, and is served as any other."""
    sample = samples.of(3 * MB)
    report = await tusjs.upload(server.url, sample.path, addRequestId=True, chunkSize=MB)
    ids = {UUID(exchange.request_id or "") for exchange in report.exchanges}
    assert len(ids) == 4
    await assert_stored(server, report.url, sample)


async def test_metadata_comes_back_byte_for_byte(server: Server, samples: Samples) -> None:
    """HEAD gives the metadata back as it was sent, whatever the language; the record has it."""
    sample = samples.of(3 * MB)
    metadata = {
        "filename": "sł ońce 太陽 ☀️.mp4",
        "filetype": "video/mp4",
        "empty": "",
        "relativePath": "null",
    }
    report = await tusjs.upload(server.url, sample.path, metadata=metadata)
    await assert_stored(server, report.url, sample)
    state = await head(report.url)
    sent = ",".join(f"{k} {b64encode(v.encode()).decode()}" for k, v in metadata.items())
    assert state.headers["Upload-Metadata"] == sent
    record = json.loads((server.upload_dir / f"{id_of(report.url)}.info").read_text())
    assert record["MetaData"] == metadata


@pytest.mark.parametrize(("remove", "left"), [(True, 0), (False, 1)])
async def test_fingerprint_is_removed_on_success(
    server: Server, samples: Samples, tmp_path: Path, *, remove: bool, left: int
) -> None:
    """With removeFingerprintOnSuccess, a finished upload is not found again by the client."""
    sample = samples.of(3 * MB)
    storage = tmp_path / "urls.json"
    job = tusjs.Job(
        endpoint=server.url,
        path=sample.path,
        storage=storage,
        options={"removeFingerprintOnSuccess": remove},
    )
    (report,) = await tusjs.run(job)
    assert report.outcome == "success"
    urls = [entry["uploadUrl"] for entry in json.loads(storage.read_text()).values()]
    assert urls == [report.url] * left
    await assert_stored(server, report.url, sample)


async def test_finished_upload_is_found_finished(
    fresh_server: Server, samples: Samples, tmp_path: Path
) -> None:
    """Resuming a finished upload takes one HEAD and sends nothing again."""
    sample = samples.of(3 * MB)
    storage = tmp_path / "urls.json"
    first = tusjs.Job(endpoint=fresh_server.url, path=sample.path, storage=storage)
    again = tusjs.Job(endpoint=fresh_server.url, path=sample.path, storage=storage, resume=True)
    (uploaded,) = await tusjs.run(first)
    (resumed,) = await tusjs.run(again)
    assert (resumed.outcome, resumed.url) == ("success", uploaded.url)
    assert [(e.method, e.status, e.offset) for e in resumed.exchanges] == [
        ("HEAD", 200, sample.size)
    ]
    upload_id = id_of(uploaded.url)
    assert files_in(fresh_server) == {upload_id, f"{upload_id}.info"}
