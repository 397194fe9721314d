"""aiotus: uploads, metadata, parts, and what it asks of a server."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import aiotus
import pytest
import yarl
from aiotus.core import configuration

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending, cuts_every
from tests.support.server import Server

from .samples import MB, Sample, Samples
from .stored import assert_stored, files_in, get_sha256, id_of

# aiohttp's advice is for the client's authors.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

PATIENT = aiotus.RetryConfiguration(retry_attempts=100, max_retry_period_seconds=0.02)


async def upload(endpoint: str, sample: Sample, **options: Any) -> str:
    """Upload a sample; return its URL."""
    with sample.path.open("rb") as file:
        location = await aiotus.upload(endpoint, file, **options)
    assert location is not None
    return str(location)


async def test_whole_file(server: Server, video: Sample) -> None:
    """One chunk that is as big as the file takes one PATCH."""
    async with ChaosProxy(server.port) as proxy:
        url = await upload(proxy.url_of(server.url), video, chunksize=video.size)
        assert [(r.method, r.offset) for r in proxy.requests] == [
            ("POST", 0),
            ("HEAD", 0),
            ("PATCH", 0),
        ]
    await assert_stored(server, url, video)


async def test_chunks(server: Server, video: Sample) -> None:
    """Chunks follow each other to the end of the file."""
    chunk = 4 * 1024 * 1024
    async with ChaosProxy(server.port) as proxy:
        url = await upload(proxy.url_of(server.url), video)
        patches = [request.offset for request in proxy.requests if request.method == "PATCH"]
    assert patches == list(range(0, video.size, chunk))
    await assert_stored(server, url, video)


async def test_empty_file(server: Server, samples: Samples) -> None:
    """An empty file is complete once it is created."""
    empty = samples.of(0)
    await assert_stored(server, await upload(server.url, empty), empty)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"filename": b"holiday.mp4", "mime_type": b"video/mp4"},
        {"filename": "sł ońce 太陽.mp4".encode()},
        {"bytes": bytes(range(256)), "flag": None, "last": None},
    ],
    ids=["none", "realistic", "other languages", "any bytes, and keys without values"],
)
async def test_metadata_comes_back(
    server: Server, samples: Samples, metadata: dict[str, bytes | None]
) -> None:
    """Metadata is bytes, not text, and keys need no value."""
    sample = samples.of(3 * MB)
    url = await upload(server.url, sample, metadata=metadata)
    assert await aiotus.metadata(url) == metadata
    await assert_stored(server, url, sample)


async def test_what_the_server_can_do(server: Server) -> None:
    """OPTIONS tells the version and the extensions, without blanks between them."""
    async with aiohttp.ClientSession() as session:
        found = await configuration(session, yarl.URL(server.url))
    assert found.protocol_versions == ["1.0.0"]
    assert found.max_size is None
    assert {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "checksum",
        "concatenation",
        "termination",
    } <= set(found.protocol_extensions)


async def test_parts_are_joined(fresh_server: Server, video: Sample) -> None:
    """upload_multiple sends parts at once, and joins them by their paths."""
    third = video.size // 3
    parts = [io.BytesIO(video.read(n * third, (n + 1) * third)) for n in range(2)]
    parts.append(io.BytesIO(video.read(2 * third)))
    async with ChaosProxy(fresh_server.port) as proxy:
        metadata: aiotus.Metadata = {"filename": b"holiday.mp4"}
        url = await aiotus.upload_multiple(proxy.url_of(fresh_server.url), parts, metadata)
        concat = proxy.requests[-1].headers["upload-concat"]
        assert proxy.requests[0].method == "OPTIONS"
        assert "tus-resumable" not in proxy.requests[0].headers
        assert await aiotus.metadata(str(url)) == metadata
    assert concat.startswith("final;/files/")
    assert len(files_in(fresh_server)) == 2 * (3 + 1)
    await assert_stored(fresh_server, str(url), video)


async def test_parts_in_any_number(server: Server, samples: Samples) -> None:
    """Parts may be empty, many, and of different sizes."""
    sample = samples.of(3 * MB)
    stops = [0, 1, 1, 10, 1000, 100_000, MB, 2 * MB, sample.size]
    parts = [
        io.BytesIO(sample.read(start, stop))
        for start, stop in zip([0, *stops], stops, strict=False)
    ]
    url = await aiotus.upload_multiple(server.url, parts, parallel_uploads=8)
    assert await get_sha256(server.url + id_of(str(url))) == (sample.size, sample.sha256)
    await assert_stored(server, str(url), sample)


async def test_network_drops_every_few_hundred_kilobytes(server: Server, samples: Samples) -> None:
    """With retries, each attempt goes on at the byte where the last one was cut."""
    sample = samples.of(5 * MB)
    plan = [Cut(after_bytes=300_000 + 7 * n, ending=Ending.FIN) for n in range(14)]
    async with ChaosProxy(server.port, plan) as proxy:
        url = await upload(proxy.url_of(server.url), sample, config=PATIENT)
        patches = [request.offset for request in proxy.requests if request.method == "PATCH"]
        reached = [cut_off.reached for cut_off in proxy.cut_offs]
    assert len(reached) == len(plan)
    assert patches[1 : len(plan) + 1] == reached
    await assert_stored(server, url, sample)


async def test_parts_on_a_network_that_drops(server: Server, samples: Samples) -> None:
    """Parts that are cut and reset again and again are joined to the file they came from."""
    sample = samples.of(5 * MB)
    stops = [2 * MB, 3 * MB, sample.size]
    parts = [
        io.BytesIO(sample.read(start, stop))
        for start, stop in zip([0, *stops], stops, strict=False)
    ]
    plan = cuts_every(200_000, 500_000, seed=4, endings=[Ending.FIN, Ending.RST])
    async with ChaosProxy(server.port, plan) as proxy:
        url = await aiotus.upload_multiple(proxy.url_of(server.url), parts, config=PATIENT)
        assert len(proxy.cut_offs) > 5
    await assert_stored(server, str(url), sample)
