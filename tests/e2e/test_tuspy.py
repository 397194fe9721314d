"""tuspy, synchronous and asynchronous."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest
from tusclient.exceptions import TusCommunicationError

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from .pyclients import Tuspy
from .samples import MB, MIB, Sample, Samples
from .stored import assert_stored, file_of, head, id_of

# aiohttp's advice is for the client's authors.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

CHUNK = 2 * MB


@pytest.fixture(params=[False, True], ids=["synchronous", "asynchronous"])
def asynchronous(request: pytest.FixtureRequest) -> bool:
    """Which uploader of tuspy."""
    return bool(request.param)


@pytest.fixture
def sample(samples: Samples) -> Sample:
    """A file that is no multiple of the chunk size."""
    return samples.of(9 * MB + 12_345)


async def test_whole_file(server: Server, video: Sample, *, asynchronous: bool) -> None:
    """Without a chunk size, the file goes in one PATCH; metadata may be empty."""
    async with ChaosProxy(server.port) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        url, offset = await client.upload(video)
        assert [request.method for request in proxy.requests] == ["POST", "PATCH"]
        assert proxy.requests[0].headers["upload-metadata"] == ""
    assert offset == video.size
    await assert_stored(server, url, video)
    assert (await head(server.url + id_of(url))).headers.get("Upload-Metadata", "") == ""


async def test_chunks_with_metadata(server: Server, sample: Sample, *, asynchronous: bool) -> None:
    """Chunks follow each other, and the metadata comes back as it was sent."""
    async with ChaosProxy(server.port) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        metadata = {"filename": "sł ońce.mp4", "filetype": "video/mp4"}
        url, offset = await client.upload(sample, chunk_size=CHUNK, metadata=metadata)
        patches = [request for request in proxy.requests if request.method == "PATCH"]
        state = await head(url)
    assert offset == sample.size
    assert [patch.offset for patch in patches] == list(range(0, sample.size, CHUNK))
    sent = ",".join(f"{k} {b64encode(v.encode()).decode()}" for k, v in metadata.items())
    assert state.headers["Upload-Metadata"] == sent
    await assert_stored(server, url, sample)


async def test_every_chunk_has_a_checksum(
    server: Server, sample: Sample, *, asynchronous: bool
) -> None:
    """With upload_checksum, each PATCH is verified by its SHA-1."""
    async with ChaosProxy(server.port) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        url, _ = await client.upload(sample, chunk_size=CHUNK, upload_checksum=True)
        patches = [request for request in proxy.requests if request.method == "PATCH"]
    assert len(patches) == 5
    for patch in patches:
        chunk = sample.read(patch.offset, min(patch.offset + CHUNK, sample.size))
        digest = hashlib.sha1(chunk).digest()  # noqa: S324 - what tuspy uses
        assert patch.headers["upload-checksum"] == f"sha1 {b64encode(digest).decode()}"
    await assert_stored(server, url, sample)


async def test_cut_chunk_with_a_checksum_is_sent_again(
    server: Server, sample: Sample, *, asynchronous: bool
) -> None:
    """Of a chunk that has a checksum and is cut, nothing is kept; the retry brings all of it."""
    plan = [None, None, Cut(after_bytes=CHUNK // 2, ending=Ending.FIN)]
    async with ChaosProxy(server.port, plan) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        url, _ = await client.upload(
            sample, chunk_size=CHUNK, upload_checksum=True, retries=3, retry_delay=0
        )
        offsets = [request.offset for request in proxy.requests if request.method == "PATCH"]
    assert offsets == [0, CHUNK, 2 * CHUNK, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK]
    await assert_stored(server, url, sample)


async def test_resumes_by_url(server: Server, sample: Sample, *, asynchronous: bool) -> None:
    """A new uploader that is given the URL goes on at the offset."""
    client = Tuspy(server.url, asynchronous=asynchronous)
    url, offset = await client.upload(sample, chunk_size=CHUNK, stop_at=2 * CHUNK)
    assert offset == 2 * CHUNK
    assert file_of(server, url).read_bytes() == sample.read(0, 2 * CHUNK)
    async with ChaosProxy(server.port) as proxy:
        same_url, offset = await client.upload(sample, url=proxy.url_of(url))
        assert [(r.method, r.offset) for r in proxy.requests] == [
            ("HEAD", 0),
            ("PATCH", 2 * CHUNK),
        ]
    assert (same_url, offset) == (proxy.url_of(url), sample.size)
    await assert_stored(server, url, sample)


async def test_resumes_inside_a_cut_patch(
    server: Server, sample: Sample, *, asynchronous: bool
) -> None:
    """A connection that is cut ends the uploader; the next one goes on at that byte."""
    point = 5 * MB + 4321
    async with ChaosProxy(server.port, [Cut(after_bytes=point, ending=Ending.FIN)]) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        with pytest.raises(TusCommunicationError):
            await client.upload(sample)
        url = proxy.url_of(server.url) + id_of(proxy.requests[1].path)
        _, offset = await client.upload(sample, url=url)
        assert [(r.method, r.offset) for r in proxy.requests] == [
            ("POST", 0),
            ("PATCH", 0),
            ("HEAD", 0),
            ("PATCH", point),
        ]
    assert offset == sample.size
    await assert_stored(server, url, sample)


async def test_empty_file(server: Server, samples: Samples, *, asynchronous: bool) -> None:
    """An empty file needs no PATCH."""
    empty = samples.of(0)
    url, offset = await Tuspy(server.url, asynchronous=asynchronous).upload(empty)
    assert offset == 0
    await assert_stored(server, url, empty)


async def test_network_drops_every_few_hundred_kilobytes(
    server: Server, samples: Samples, *, asynchronous: bool
) -> None:
    """With retries, tuspy gets through a network that drops again and again."""
    sample = samples.of(5 * MB)
    plan = [Cut(after_bytes=300_000 + 7 * n, ending=Ending.FIN) for n in range(14)]
    async with ChaosProxy(server.port, plan) as proxy:
        client = Tuspy(proxy.url_of(server.url), asynchronous=asynchronous)
        url, _ = await client.upload(sample, chunk_size=MIB, retries=20, retry_delay=0)
        patches = [request for request in proxy.requests if request.method == "PATCH"]
        reached = [cut_off.reached for cut_off in proxy.cut_offs]
    assert len(reached) == len(plan)
    assert [patch.offset for patch in patches[1 : len(plan) + 1]] == reached
    await assert_stored(server, url, sample)
