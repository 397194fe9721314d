"""Three nodes, one Redis and nginx without sticky sessions, while nodes fail under uploads."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.support.nginx import running_nginx
from tests.support.nodes import Node, running_nodes
from tests.support.redis_server import RedisServer, running_redis
from tests.support.slow_proxy import SlowProxy
from tests.support.target import errors_in
from tests.support.waiting import wait_until

from . import tusjs
from .conftest import NoteFigure
from .samples import MIB, Sample, Samples
from .stored import get_sha256, head, id_of, sha256_of

pytestmark = pytest.mark.usefixtures("tus_js")

LEASE_S = 1.0
CLIENT_BYTES_PER_S = MIB
STEADY_S = 0.5  # between the return of one node and the end of the next
DOWN_S = [0.5, 5.0]  # shorter and longer than nodes wait for Redis
PATIENCE_S = 60.0
RETRIES = 1000
PARTS = 3
PATCHED = 4 * MIB

Answer = TypeVar("Answer")
Hit = Callable[[Node, tusjs.TusJs], Awaitable[None]]
Trouble = Callable[[tusjs.TusJs], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Site:
    """What clients reach at one URL, and what stands behind it."""

    url: str
    nodes: Sequence[Node]
    upload_dir: Path
    redis: RedisServer


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis that keeps every change it has acknowledged."""
    with running_redis("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


@pytest.fixture
async def site(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Site]:
    """Three nodes behind nginx, reached at the speed of a home network."""
    upload_dir = tmp_path / "uploads"
    options = ["--redis-lease", str(LEASE_S), "--shutdown-timeout", "1"]
    with (
        running_nodes(upload_dir, redis_server.url, *options, count=3) as nodes,
        running_nginx(tmp_path / "nginx", [node.port for node in nodes]) as nginx,
    ):
        async with SlowProxy(nginx.port, bytes_per_s=CLIENT_BYTES_PER_S) as slow:
            yield Site(url=slow.url, nodes=nodes, upload_dir=upload_dir, redis=redis_server)


async def kill(node: Node, clients: tusjs.TusJs) -> None:
    """End a node as a crash does, and start it again."""
    await asyncio.to_thread(node.end, signal.SIGKILL)
    await asyncio.to_thread(node.start)


async def terminate(node: Node, clients: tusjs.TusJs) -> None:
    """End a node in order, and start it again."""
    await asyncio.to_thread(node.end, signal.SIGTERM)
    await asyncio.to_thread(node.start)


async def pause(node: Node, clients: tusjs.TusJs) -> None:
    """Stop a node for longer than its lease, while clients go elsewhere with its uploads."""
    node.pause()
    await asyncio.sleep(LEASE_S / 2)
    await clients.tell("restart")
    await asyncio.sleep(LEASE_S * 1.5)
    node.resume()


def wait_stored(upload_dir: Path, size: int) -> None:
    """Wait until a file in the directory has that many bytes."""
    files = upload_dir.iterdir
    wait_until(lambda: any(path.stat().st_size >= size for path in files()), PATIENCE_S)


def persist(ask: Callable[[], Answer]) -> Answer:
    """Ask until there is an answer, as a patient application does."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except TusCommunicationError:
            assert time.monotonic() < deadline, "no node has helped"
            time.sleep(0.05)


def upload_with_tuspy(endpoint: str, sample: Sample) -> str:
    """Upload in chunks, ask for the offset after each failure; return the URL."""
    with sample.path.open("rb") as file:
        uploader = TusClient(endpoint).uploader(file_stream=file, chunk_size=MIB)
        uploader.set_url(persist(uploader.create_url))
        while uploader.offset < sample.size:
            acknowledged = uploader.offset
            try:
                uploader.upload_chunk()  # type: ignore[no-untyped-call]
            except TusCommunicationError:
                uploader.offset = persist(uploader.get_offset)
            assert uploader.offset >= acknowledged
        return str(uploader.url)


def assert_went_on(report: tusjs.Report, *, parts: int = 1) -> None:
    """No upload was begun twice, and none has lost a byte that had been acknowledged."""
    assert report.outcome == "success", report.error
    created = [post.sent_concat for post in report.of("POST") if post.status == 201]
    if parts > 1:
        assert (created.pop() or "").startswith("final;")
    assert len(created) == parts
    acknowledged: dict[str, int] = defaultdict(int)
    for exchange in report.exchanges:
        if exchange.offset is not None:
            assert exchange.offset >= acknowledged[exchange.url]
            acknowledged[exchange.url] = exchange.offset


async def assert_arrived(site: Site, url: str, sample: Sample) -> None:
    """The upload is complete and is the sample: by HEAD and GET through nginx, and on disk."""
    state = await head(url)
    assert (state.status, state.offset) == (200, sample.size)
    assert await get_sha256(url) == (sample.size, sample.sha256)
    record = json.loads((site.upload_dir / f"{id_of(url)}.info").read_text())
    assert await asyncio.to_thread(sha256_of, Path(record["Storage"]["Path"])) == sample.sha256


async def upload_everything(site: Site, samples: Samples, trouble: Trouble) -> list[tusjs.Exchange]:
    """Upload with all clients at once, through trouble; check what has arrived.

    Returns:
        What tus-js-client has asked, and was answered.
    """
    whole, chunks, python = (samples.of(8 * MIB + n) for n in range(3))
    parallel = samples.of(PARTS * 8 * MIB)
    job = tusjs.Job(endpoint=site.url, path=whole.path, retries=RETRIES)
    async with (
        tusjs.TusJs([job, _with(job, chunks, chunkSize=MIB)]) as plainly,
        tusjs.TusJs([_with(job, parallel, parallelUploads=PARTS)]) as in_parallel,
    ):
        pythonic = asyncio.create_task(asyncio.to_thread(upload_with_tuspy, site.url, python))
        await trouble(plainly)
        reports = await plainly.reports()
        joined = await in_parallel.report()
        url = await pythonic
    for report, sample in zip(reports, [whole, chunks], strict=True):
        assert_went_on(report)
        await assert_arrived(site, report.url, sample)
    assert_went_on(joined, parts=PARTS)
    await assert_arrived(site, joined.url, parallel)
    await assert_arrived(site, url, python)
    return [exchange for report in [*reports, joined] for exchange in report.exchanges]


def _with(job: tusjs.Job, sample: Sample, **options: int) -> tusjs.Job:
    return tusjs.Job(endpoint=job.endpoint, path=sample.path, retries=job.retries, options=options)


@pytest.mark.parametrize("hit", [kill, terminate, pause], ids=lambda hit: hit.__name__)
async def test_nodes_fail_in_turn(
    site: Site, samples: Samples, note_figure: NoteFigure, hit: Hit
) -> None:
    """All files arrive, and no upload is begun twice, whatever becomes of single nodes."""

    async def trouble(clients: tusjs.TusJs) -> None:
        for node in site.nodes:
            await asyncio.sleep(STEADY_S)
            await hit(node, clients)

    began = time.monotonic()
    exchanges = await upload_everything(site, samples, trouble)
    asked = sum(exchange.method == "HEAD" for exchange in exchanges)
    note_figure(f"{time.monotonic() - began:.0f} s, {asked} times asked for an offset")
    assert asked >= len(site.nodes)
    assert errors_in(site.upload_dir.with_name("uploads.log")) == []


async def test_a_killed_node_costs_a_second_or_two(site: Site, samples: Samples) -> None:
    """Of a PATCH that runs, another node knows all but the last bytes, and goes on there."""
    sample = samples.of(8 * MIB)
    job = tusjs.Job(endpoint=site.url, path=sample.path, retries=RETRIES)
    async with tusjs.TusJs([job]) as client:
        await asyncio.to_thread(wait_stored, site.upload_dir, PATCHED)
        for node in site.nodes:  # one of them receives it
            await asyncio.to_thread(node.end, signal.SIGKILL)
        for node in site.nodes:
            await asyncio.to_thread(node.start)
        report = await client.report()
    assert_went_on(report)
    went_on_at = next(ask.offset for ask in report.of("HEAD") if ask.offset is not None)
    assert went_on_at >= PATCHED - 2 * CLIENT_BYTES_PER_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
async def test_redis_is_restarted(
    site: Site, samples: Samples, note_figure: NoteFigure, number: signal.Signals
) -> None:
    """Uploads go on when Redis is back with its data, and no node has to be started again."""
    processes = [node.server.process for node in site.nodes]

    async def trouble(clients: tusjs.TusJs) -> None:
        for pause_s in DOWN_S:
            await asyncio.sleep(STEADY_S)
            await asyncio.to_thread(site.redis.stop, number)
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(site.redis.start)

    exchanges = await upload_everything(site, samples, trouble)
    refused = sum((exchange.status or 500) >= 400 for exchange in exchanges)
    note_figure(f"{refused} of {len(exchanges)} requests were refused")
    assert [process.poll() for process in processes] == [None] * len(processes)
