"""Networks that lose, delay, cut and repeat what they carry (F20, F34 to F39)."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.own_network import available, own_network, rule, run
from tests.support.patient_client import PatientClient
from tests.support.server import Server, running_server
from tests.support.target import assert_refused, new_target

from .conftest import needs

HAND_OVER_S = 1.0
MIB = 1 << 20
LOSS = ("-m", "statistic", "--mode", "random", "--probability", "0.3", "-j", "DROP")
SLOW_LINE = ("tbf", "rate", "1mbit", "burst", "16kb", "latency", "300ms")


@pytest.fixture
def network() -> Iterator[None]:
    """A network of this test's own, which the server and all its clients live in."""
    tools = all(shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") for tool in ("ip", "tc"))
    needs(tools, "ip and tc are missing: make tools")
    needs(shutil.which("iptables", path="/usr/sbin:/sbin"), "iptables is missing: make tools")
    needs(available(), "needs root, to make a network namespace")
    with own_network():
        yield


@pytest.fixture
def server(network: None, tmp_path: Path) -> Iterator[Server]:
    """A server in that network; a client may be silent for five seconds."""
    with running_server(tmp_path / "data", "--network-timeout", "5s") as running:
        yield running


def clients(server: Server, count: int, size: int, **habits: float) -> list[PatientClient]:
    """Return clients of the server."""
    return [
        PatientClient(
            port=lambda: server.port,
            seed=number,
            size=size + number,
            request_bytes=int(habits.get("request_bytes", 1 << 30)),
            piece_bytes=8 * 1024,
            pause_s=habits.get("pause_s", 0.0),
        )
        for number in range(count)
    ]


def start(everybody: list[PatientClient]) -> asyncio.Task[list[None]]:
    """Let all of them upload; whoever waits for it learns whether all went well."""

    async def all_of_them() -> list[None]:
        async with asyncio.timeout(90):
            return await asyncio.gather(*(client.run() for client in everybody))

    return asyncio.create_task(all_of_them())


async def has_begun(client: PatientClient) -> None:
    """Wait until a client has its upload."""
    async with asyncio.timeout(20):
        while not client.acknowledged:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


def test_a_client_that_vanishes_is_followed_at_once(server: Server) -> None:
    """F20: nothing tells of the end of a dead connection; whoever comes next need not wait."""
    upload = new_target(server, ("Upload-Length", "1003"))
    with upload.connect() as vanished:
        vanished.send(upload.head_of_patch(("Content-Length", "1000")) + b"x" * 600)
        assert not vanished.readable(0.3)
        port = str(vanished.port)
        with (
            rule("INPUT", "-p", "tcp", "--sport", port, "-j", "DROP"),
            rule("INPUT", "-p", "tcp", "--dport", port, "-j", "DROP"),
        ):
            started = time.monotonic()
            assert upload.offset() == 603
            assert time.monotonic() - started < HAND_OVER_S
            assert upload.patch(offset=603, body=b"y" * 400).status == 204
            vanished.send(b"z" * 100)  # which never arrives, and must not count if it does
    assert upload.file.read_bytes() == b"abc" + b"x" * 600 + b"y" * 400


async def test_every_third_packet_is_lost(server: Server) -> None:
    """F34: with 30 % of all packets to the server lost, uploads take longer; that is all."""
    everybody = clients(server, 3, 80_000, request_bytes=40_000)
    with rule("INPUT", "-p", "tcp", "--dport", str(server.port), *LOSS):
        await start(everybody)


async def test_answers_are_lost(server: Server) -> None:
    """F34, the other way: acknowledgements that get lost never make a byte come twice."""
    everybody = clients(server, 3, 80_000, request_bytes=40_000)
    with rule("INPUT", "-p", "tcp", "--sport", str(server.port), *LOSS):
        await start(everybody)


async def test_a_slow_line_is_not_too_slow(network: None, tmp_path: Path) -> None:
    """F35: four clients share 1 Mbit/s, with a least rate in force; none of them is cut."""
    rate = ("--network-timeout", "3s", "--min-body-rate", "5000")
    with running_server(tmp_path / "data", *rate) as server:
        run("tc", "qdisc", "add", "dev", "lo", "root", *SLOW_LINE)
        everybody = clients(server, 4, 200_000)
        await start(everybody)
        assert sum(client.interruptions for client in everybody) == 0
        assert server.stop() == 0


async def test_connections_are_reset_from_outside(server: Server) -> None:
    """F36: a firewall that resets everything now and then costs a new try each time."""
    everybody = clients(server, 4, MIB, pause_s=0.02)
    uploading = start(everybody)
    to_us = ("-p", "tcp", "--dport", str(server.port))
    for _ in range(3):
        await asyncio.sleep(0.5)
        with rule("INPUT", *to_us, "-j", "REJECT", "--reject-with", "tcp-reset"):
            await asyncio.sleep(0.1)
    await uploading
    assert all(client.interruptions for client in everybody)


async def test_a_line_that_is_dead_for_a_while(server: Server) -> None:
    """F37: after seconds without a network everybody goes on; nothing acknowledged is gone."""
    everybody = clients(server, 4, MIB, pause_s=0.02)
    uploading = start(everybody)
    await has_begun(everybody[0])
    with rule("INPUT", "-i", "lo", "-j", "DROP"):
        await asyncio.sleep(3)
    await uploading


@pytest.mark.parametrize("meanwhile", ["idle", "running", "complete"])
def test_an_old_request_comes_again_late(tmp_path: Path, meanwhile: str) -> None:
    """F39: a proxy sends an old PATCH again when the client has gone on: 409, and no byte twice."""
    with running_server(tmp_path / "data") as server:
        upload = new_target(server)
        old = upload.head_of_patch(("Content-Length", "4")) + b"defg"
        assert upload.send(old).status == 204
        with upload.connect() as newer:
            if meanwhile == "running":
                newer.send(upload.head_of_patch(("Content-Length", "3"), offset=7) + b"h")
                assert not newer.readable(0.2)
            elif meanwhile == "complete":
                assert upload.patch(offset=7, body=b"hij").status == 204
            answer = upload.send(old)
            assert_refused(answer, 409)
            if meanwhile == "running":
                assert newer.answer().status == 423  # and asks, and goes on
        offset = upload.offset()
        assert offset == {"idle": 7, "running": 8, "complete": 10}[meanwhile]
        if offset < 10:
            assert upload.patch(offset=offset, body=b"abcdefghij"[offset:]).status == 204
        assert upload.file.read_bytes() == b"abcdefghij"
