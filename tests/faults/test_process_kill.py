"""The server's process is killed, ended, or held up at any moment, while clients upload (F32)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from tests.support.nodes import Node
from tests.support.patient_client import PatientClient
from tests.support.redis_server import free_port
from tests.support.server import running_server

CLIENTS = 6
SIZE = 2_000_000
# Slow enough that no upload is complete before the last of them.
PAUSE_S = 0.04
PIECE_BYTES = 24 * 1024


def clients(port: Callable[[], int], count: int = CLIENTS) -> list[PatientClient]:
    """Return clients of different habits: small requests and large ones."""
    return [
        PatientClient(
            port=port,
            seed=number,
            size=SIZE + number * 1117,
            request_bytes=(200_000, 1_000_000, 1 << 30)[number % 3],
            piece_bytes=PIECE_BYTES,
            pause_s=PAUSE_S,
        )
        for number in range(count)
    ]


@contextlib.asynccontextmanager
async def uploading(all_clients: list[PatientClient]) -> AsyncIterator[None]:
    """Let all clients upload; afterwards wait for them, and see that all went well."""
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        for client in all_clients:
            tasks.create_task(client.run())
        yield
    for client in all_clients:
        assert client.acknowledged == sorted(client.acknowledged)
        assert client.acknowledged[-1] == client.size


async def some_progress(all_clients: list[PatientClient], chance: random.Random) -> None:
    """Wait for a random time, and until somebody has got an offset since."""
    before = sum(len(client.acknowledged) for client in all_clients)
    await asyncio.sleep(chance.uniform(0.05, 0.6))
    while sum(len(client.acknowledged) for client in all_clients) == before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "durability", "times"),
    [(signal.SIGKILL, "complete", 6), (signal.SIGKILL, "ack", 3), (signal.SIGTERM, "complete", 3)],
    ids=["kill", "kill, every offset synced", "term"],
)
async def test_ended_again_and_again(
    tmp_path: Path, number: signal.Signals, durability: str, times: int
) -> None:
    """However often the server ends, no acknowledged byte is lost and all files come out right."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    node = Node(tmp_path / "data", "--durability", durability)
    node.start()
    try:
        everybody = clients(lambda: node.port)
        async with uploading(everybody):
            for _ in range(times):
                await some_progress(everybody, chance)
                await asyncio.to_thread(node.end, number)
                if number is signal.SIGTERM:
                    assert node.server.process.returncode == 0
                node.start()
        assert sum(client.interruptions for client in everybody) >= times
    finally:
        node.end(signal.SIGKILL)


async def test_a_worker_is_killed_again_and_again(tmp_path: Path) -> None:
    """With two workers, the death of one costs its requests only; another takes its place."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    with running_server(tmp_path / "data", "--workers", "2") as server:
        supervisor = psutil.Process(server.process.pid)
        everybody = clients(lambda: server.port)
        async with uploading(everybody):
            for _ in range(3):
                await some_progress(everybody, chance)
                victim = chance.choice(await children(supervisor, 2))
                victim.kill()
                await asyncio.to_thread(psutil.wait_procs, [victim], 5)
        assert len(await children(supervisor, 2)) == 2
        assert server.stop() == 0


async def children(process: psutil.Process, count: int) -> list[psutil.Process]:
    """Wait until a process has that many children."""
    async with asyncio.timeout(10):
        while len(found := process.children()) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    return found


async def test_stopped_past_every_timeout(tmp_path: Path) -> None:
    """A server that stood still for longer than all its timeouts goes on as if nothing had been."""
    timeouts = ("--network-timeout", "1s", "--acquire-lock-timeout", "1s")
    node = Node(tmp_path / "data", *timeouts)
    node.start()
    try:
        everybody = clients(lambda: node.port, 4)
        chance = random.Random(3)  # noqa: S311 - repeatable, not secret
        async with uploading(everybody):
            for _ in range(2):
                await some_progress(everybody, chance)
                node.pause()
                await asyncio.sleep(2.5)
                node.resume()
        node.end(signal.SIGTERM)
        assert node.server.process.returncode == 0
    finally:
        if node.runs:
            node.end(signal.SIGKILL)


async def test_two_servers_on_one_directory(tmp_path: Path) -> None:
    """F68: a second server started by mistake shares the claims; clients may use both at once."""
    with (
        running_server(tmp_path / "data") as one,
        running_server(tmp_path / "data", "--port", str(free_port())) as other,
    ):
        turns = iter(range(1_000_000))
        everybody = clients(lambda: (one, other)[next(turns) % 2].port)
        async with uploading(everybody):
            pass
        started = time.monotonic()
        for client in everybody:
            assert await client.offset() == client.size
        assert time.monotonic() - started < 10
