"""The same uploads with the server set up in the ways that people run it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiotus
import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from . import tusjs
from .conftest import serving
from .pyclients import Tuspy
from .samples import MB, MIB, Sample, Samples
from .stored import assert_stored

pytestmark = [
    pytest.mark.usefixtures("tus_js"),
    # aiohttp's advice is for the clients' authors.
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

CHUNK = 5 * MIB
POINT = 12_345_678

SETUPS = {
    "two processes": ["--workers", "2"],
    "another path": ["--base-path", "/a/b/"],
    "behind a proxy": ["--behind-proxy"],
    "all of that": ["--workers", "2", "--base-path", "/a/b/", "--behind-proxy"],
    "synced at each answer": ["--durability", "ack"],
    "never synced": ["--durability", "none"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A server, and how clients reach it.

    Attributes:
        server: is behind a proxy that says so in the headers, if it has --behind-proxy.
        endpoint: where clients create uploads.
        headers: what the proxy adds; here the clients do.
        prefix: what the URLs of uploads begin with.
    """

    server: Server
    endpoint: str
    headers: dict[str, str]
    prefix: str


@pytest.fixture(scope="module", params=SETUPS)
def server_set_up(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, list[str]]]:
    """A server in each of the setups, and its options."""
    options = SETUPS[request.param]
    with serving(tmp_path_factory.mktemp("server") / "uploads", *options) as server:
        yield server, options


@pytest.fixture
async def setup(server_set_up: tuple[Server, list[str]]) -> AsyncIterator[Setup]:
    """Each of the setups, with the proxy that may belong to it."""
    server, options = server_set_up
    async with ChaosProxy(server.port) as proxy:
        headers, prefix = {}, server.url
        if "--behind-proxy" in options:
            headers = {"X-Forwarded-Host": f"127.0.0.1:{proxy.port}", "X-Forwarded-Proto": "http"}
            prefix = proxy.url_of(server.url)
        yield Setup(server=server, endpoint=server.url, headers=headers, prefix=prefix)


@pytest.fixture
def sample(samples: Samples) -> Sample:
    """A file of a few chunks."""
    return samples.of(20 * MB)


@pytest.mark.parametrize("chunk", [{}, {"chunkSize": CHUNK}], ids=["whole", "chunks"])
async def test_tus_js(setup: Setup, sample: Sample, chunk: dict[str, int]) -> None:
    """tus-js-client uploads to the URL that it is told."""
    report = await tusjs.upload(setup.endpoint, sample.path, headers=setup.headers, **chunk)
    assert report.outcome == "success"
    assert report.url.startswith(setup.prefix)
    assert all(patch.url == report.url for patch in report.of("PATCH"))
    await assert_stored(setup.server, report.url, sample)


async def test_tus_js_parallel(setup: Setup, sample: Sample) -> None:
    """The URLs of parts are understood as they were told to the client."""
    report = await tusjs.upload(
        setup.endpoint, sample.path, headers=setup.headers, parallelUploads=3
    )
    assert report.outcome == "success"
    concat = report.exchanges[-1].sent_concat or ""
    assert concat.startswith(f"final;{setup.prefix}")
    await assert_stored(setup.server, report.url, sample)


async def test_tus_js_resumes(setup: Setup, sample: Sample, tmp_path: Path) -> None:
    """A cut upload is found again, and goes on at the byte where it was cut."""
    plan = [Cut(after_bytes=POINT, ending=Ending.FIN)]
    async with ChaosProxy(setup.server.port, plan) as cutting:
        endpoint = cutting.url_of(setup.endpoint)
        storage = tmp_path / "urls.json"
        first = tusjs.Job(endpoint=endpoint, path=sample.path, storage=storage)
        again = tusjs.Job(endpoint=endpoint, path=sample.path, storage=storage, resume=True)
        assert (await tusjs.run(first))[0].outcome == "error"
        (report,) = await tusjs.run(again)
    assert [(e.method, e.offset) for e in report.exchanges] == [
        ("HEAD", POINT),
        ("PATCH", sample.size),
    ]
    await assert_stored(setup.server, report.url, sample)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_tuspy(setup: Setup, sample: Sample, *, asynchronous: bool) -> None:
    """With tuspy, one uploader sends some chunks, and another one the rest."""
    client = Tuspy(setup.endpoint, asynchronous=asynchronous, headers=setup.headers)
    options: dict[str, Any] = {"chunk_size": CHUNK, "upload_checksum": True}
    url, offset = await client.upload(sample, stop_at=2 * CHUNK, **options)
    assert offset == 2 * CHUNK
    assert url.startswith(setup.prefix)
    same_url, offset = await client.upload(sample, url=url, **options)
    assert (same_url, offset) == (url, sample.size)
    await assert_stored(setup.server, url, sample)


async def test_aiotus(setup: Setup, sample: Sample) -> None:
    """With aiotus, files arrive in one piece, and in parts that it names by their paths."""
    with sample.path.open("rb") as file:
        url = await aiotus.upload(setup.endpoint, file, headers=setup.headers)
    assert str(url).startswith(setup.prefix)
    await assert_stored(setup.server, str(url), sample)
    parts = [io.BytesIO(sample.read(0, POINT)), io.BytesIO(sample.read(POINT))]
    url = await aiotus.upload_multiple(setup.endpoint, parts, headers=setup.headers)
    assert str(url).startswith(setup.prefix)
    await assert_stored(setup.server, str(url), sample)
