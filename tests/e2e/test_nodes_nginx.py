"""Hand-over between nodes, and what the nginx of the documentation adds to a server."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.nginx import EXAMPLE, Nginx, Tls, running_nginx
from tests.support.nodes import Node, running_nodes
from tests.support.raw_http import exchange, request
from tests.support.redis_server import free_port, running_redis
from tests.support.server import Server
from tests.support.target import TYPE, V
from tusd_py import load_settings

from . import tusjs
from .conftest import StartServer
from .samples import MB, MIB, Samples
from .stored import assert_stored, get_sha256, head, id_of

FOLDER = Path(__file__).parent
POINT = 12_345_678
HAND_OVER_S = 1.0
IN_NGINX = MIB  # what nginx may have received and not passed on yet


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Sequence[Node]]:
    """Two nodes with one Redis and one directory."""
    with (
        running_redis() as redis,
        running_nodes(tmp_path / "uploads", redis.url, count=2) as nodes,
    ):
        yield nodes


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server that believes its proxy."""
    return start_server("--behind-proxy")


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[Nginx]:
    """The nginx before that server."""
    with running_nginx(tmp_path / "nginx", [server.port]) as nginx:
        yield nginx


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """A certificate that nobody has to trust."""
    made = Tls(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.mark.usefixtures("tus_js")
async def test_nodes_hand_over(nodes: Sequence[Node], samples: Samples) -> None:
    """What a silent PATCH has brought to one node, another one tells, and goes on, in a second."""
    first, second = nodes
    sample = samples.of(20 * MB)
    async with ChaosProxy(first.port, [Cut(after_bytes=POINT, ending=Ending.SILENCE)]) as proxy:
        job = tusjs.Job(endpoint=proxy.url_of(first.url), path=sample.path)
        async with tusjs.TusJs([job]) as client:
            url = second.url + id_of((await proxy.wait_cut_offs()).request.path)
            for ask in (url, first.url + id_of(url)):
                since = time.monotonic()
                state = await head(ask)
                assert (state.status, state.offset) == (200, POINT)
                assert time.monotonic() - since < HAND_OVER_S
            await client.kill()
    resuming = tusjs.Job(endpoint=second.url, path=sample.path, options={"uploadUrl": url})
    (report,) = await tusjs.run(resuming)
    assert report.methods == ["HEAD", "PATCH"]
    for node in nodes:
        await assert_stored(node.server, url, sample)


@pytest.mark.usefixtures("tus_js")
async def test_nodes_hand_over_behind_nginx(
    nodes: Sequence[Node], samples: Samples, tmp_path: Path
) -> None:
    """A client whose network has died is let go on in a second, whichever node it comes to."""
    sample = samples.of(20 * MB)
    cuts = [Cut(after_bytes=POINT, ending=Ending.SILENCE)] * 2
    with running_nginx(tmp_path / "nginx", [node.port for node in nodes]) as nginx:
        async with ChaosProxy(nginx.port, cuts) as proxy:
            job = tusjs.Job(endpoint=f"http://127.0.0.1:{proxy.port}/files/", path=sample.path)
            async with tusjs.TusJs([job, job]) as clients:
                await proxy.wait_cut_offs(2)
                await clients.tell("resume")
                reports = await clients.reports()
    for report in reports:
        assert report.outcome == "success", report.error
        assert report.methods == ["POST", "PATCH", "HEAD", "PATCH"]
        (asked,) = report.of("HEAD")
        assert POINT - IN_NGINX < (asked.offset or 0) <= POINT
        assert (asked.took_s or HAND_OVER_S) < HAND_OVER_S
        await assert_stored(nodes[0].server, report.url, sample)


def test_clients_cannot_say_where_the_server_is(nginx: Nginx) -> None:
    """Location is what nginx was asked for, and no header of a client changes that."""
    lies = [
        ("Forwarded", "host=evil.example;proto=https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/evil"),
    ]
    created = exchange(nginx.port, request("POST", "/files/", V, ("Upload-Length", "3"), *lies))
    assert created.status == 201
    assert created.headers["Location"].startswith("http://server/files/")


def test_a_refusal_reaches_who_still_sends(nginx: Nginx) -> None:
    """Although the body is not wanted, its sender gets the answer, not a reset."""
    created = exchange(nginx.port, request("POST", "/files/", V, ("Upload-Length", str(8 * MIB))))
    path = created.headers["Location"].removeprefix("http://server")
    offset = ("Upload-Offset", "5")
    answer = exchange(
        nginx.port, request("PATCH", path, V, TYPE, offset, body=bytes(8 * MIB)), "PATCH"
    )
    assert answer.status == 409
    assert answer.text.startswith("ERR_")


def test_without_a_node_clients_wait(tmp_path: Path) -> None:
    """As long as no node is there, HEAD gives no client a reason to start over."""
    with running_nginx(tmp_path / "nginx", [free_port(), free_port()]) as nginx:
        for _ in range(3):
            asked = exchange(nginx.port, request("HEAD", "/files/a", V), "HEAD")
            assert (asked.status, asked.headers["Tus-Resumable"]) == (423, "1.0.0")
            created = exchange(nginx.port, request("POST", "/files/", V, ("Upload-Length", "3")))
            assert created.status == 503


def test_compose_file_fits() -> None:
    """Its nodes are those that nginx knows, and its settings are settings."""
    text = EXAMPLE.with_name("compose.yaml").read_text()
    names = re.findall(r"^ *server (\w+):", EXAMPLE.read_text(), re.MULTILINE)
    assert re.findall(r"^  (\w+): \*node$", text, re.MULTILINE) == names
    said = dict(re.findall(r'^ *(TUSD_PY_\w+): "?([^"\n]+)', text, re.MULTILINE))
    settings = load_settings({}, environ=said)
    assert settings.behind_proxy
    assert settings.redis_url == "redis://redis:6379"


async def test_http2(server: Server, tls: Tls, samples: Samples, tmp_path: Path) -> None:
    """On one HTTP/2 connection, HEAD counts what a silent PATCH has brought, in a second."""
    sample = samples.of(20 * MB)
    with running_nginx(tmp_path / "nginx", [server.port], tls=tls) as nginx:
        process = await asyncio.create_subprocess_exec(
            *("node", "http2.mjs", f"https://127.0.0.1:{nginx.port}", str(sample.path)),
            cwd=FOLDER,
            stdout=subprocess.PIPE,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 30)
    went = json.loads(said)
    location = went["created"]["location"]
    assert location.startswith(f"https://127.0.0.1:{nginx.port}/files/")
    assert went["asked"]["status"] == 200
    assert went["half"] - 2 * IN_NGINX < went["asked"]["offset"] <= went["half"]
    assert went["asked"]["took_s"] < HAND_OVER_S
    assert went["second"] == {"status": 204, "offset": sample.size}
    direct = server.url + id_of(location)
    assert await get_sha256(direct) == (sample.size, sample.sha256)
