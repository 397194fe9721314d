"""A server that runs out of files, threads, memory or a reader of its log goes on (F60 to F63)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cgroup import available, group
from tests.support.patient_client import PatientClient
from tests.support.raw_http import NoAnswer, RawConnection, request
from tests.support.server import Server, running_server
from tests.support.target import V, new_target
from tests.support.waiting import wait_until

from .conftest import needs

MIB = 1 << 20
FILES = 64


def open_files(server: Server) -> int:
    """Return how many descriptors the server has."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


async def upload_several(server: Server, count: int, **habits: float) -> None:
    """Let clients upload at once, each until all is stored and checked."""
    clients = [
        PatientClient(
            port=lambda: server.port,
            seed=number,
            size=int(habits.get("size", 300_000)) + number,
            piece_bytes=int(habits.get("piece_bytes", 64 * 1024)),
            pause_s=habits.get("pause_s", 0.0),
        )
        for number in range(count)
    ]
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run())


async def test_few_files_mean_few_connections(tmp_path: Path) -> None:
    """F61: with 64 descriptors so few connections are let in that every upload gets its files."""
    under = ("prlimit", f"--nofile={FILES}:{FILES}")
    with running_server(tmp_path / "data", "--no-log-requests", under=under) as server:
        await upload_several(server, 40, size=200_000, piece_bytes=20_000, pause_s=0.01)
        assert open_files(server) < FILES
        assert server.stop() == 0
    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["level"] for line in events} <= {"info", "warning"}
    assert len(events) < 10


def test_no_files_are_left(tmp_path: Path) -> None:
    """F61: when descriptors run out all the same, what is open goes on, and the rest recovers."""
    with running_server(tmp_path / "data") as server, contextlib.ExitStack() as stack:
        running = new_target(server, ("Upload-Length", "10"))
        idle = new_target(server, ("Upload-Length", "10"))
        first = stack.enter_context(running.connect())
        first.send(running.head_of_patch(("Content-Length", "7")) + b"de")
        second = stack.enter_context(idle.connect())
        second.send(request("HEAD", idle.path, V))
        assert second.answer("HEAD").status == 200
        record = running.path.rpartition("/")[2] + ".info"
        wait_until(lambda: record in names_of_open_files(server))
        # From now on there is not one more, but for what is open already.
        limit_files(server, open_files(server))
        with contextlib.ExitStack() as crowd:
            for _ in range(200):
                crowd.enter_context(RawConnection(server.port))
            second.send(request("HEAD", idle.path, V))
            answer = second.answer("HEAD")  # needs a file: told to wait, never "not found"
            assert answer.status == 423
            second.send(request("OPTIONS", "/files/", V))
            assert second.answer().status == 200
            second.send(request("POST", "/files/", V, ("Upload-Length", "5")))
            assert second.answer().status >= 500
            time.sleep(1)  # as long as a loop of errors would need to show in the log
        limit_files(server, 1024)
        first.send(b"fghij")
        assert first.answer().status == 204
        assert running.offset() == 10
        wait_until(lambda: creates(server))
        assert server.log.stat().st_size < 64 * 1024
        assert server.stop() == 0


def limit_files(server: Server, most: int) -> None:
    """Change how many descriptors the server may have, as it runs."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, hard))


def names_of_open_files(server: Server) -> list[str]:
    """Return the names of the files, without folders, that the server has open."""
    names = []
    folder = f"/proc/{server.process.pid}/fd"
    for descriptor in os.listdir(folder):
        with contextlib.suppress(OSError):
            names.append(os.path.basename(os.readlink(f"{folder}/{descriptor}")))
    return names


def creates(server: Server) -> bool:
    """Whether an upload can be created."""
    with contextlib.suppress(NoAnswer, OSError), RawConnection(server.port) as connection:
        connection.send(request("POST", "/files/", V, ("Upload-Length", "5")))
        return connection.answer().status == 201
    return False


async def test_no_thread_can_be_started(tmp_path: Path) -> None:
    """F62: all threads are there from the start, so uploads and downloads need no other."""
    needs(available("pids"), "needs the pids controller of cgroup v1, writable")
    with (
        group("pids") as limits,
        running_server(tmp_path / "data", "--durability", "ack") as server,
    ):
        limits.add(server.process.pid)
        limits.set("pids.max", limits.get("pids.current"))
        await upload_several(server, 8)
        assert server.stop() == 0
    assert '"level": "error"' not in server.log.read_text()


@pytest.mark.parametrize("most", [2, 5, 9])
def test_too_few_threads_to_begin_with(tmp_path: Path, most: int) -> None:
    """F62: a server that cannot have its threads says so and ends; it does not hang."""
    needs(available("pids"), "needs the pids controller of cgroup v1, writable")
    with group("pids") as limits:
        limits.set("pids.max", most)
        done = subprocess.run(
            [
                *limits.joining,
                *(sys.executable, "-m", "tusd_py", "serve", "--port", "0"),
                *("--host", "127.0.0.1", "--upload-dir", str(tmp_path)),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.endswith("tusd-py: cannot start: can't start new thread\n")


async def test_little_memory(tmp_path: Path) -> None:
    """F63: 200 slow uploads at once fit into 128 MiB, page cache and all; nobody is killed."""
    needs(available("memory"), "needs the memory controller of cgroup v1, writable")
    with group("memory") as limits:
        limits.set("memory.limit_in_bytes", 128 * MIB)
        with running_server(tmp_path / "data", under=limits.joining) as server:
            await upload_several(server, 200, size=1_000_000, piece_bytes=50_000, pause_s=0.2)
            assert "oom_kill 0" in limits.get("memory.oom_control")
            assert server.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_nobody_reads(tmp_path: Path, workers: str) -> None:
    """F60: when standard error is a full pipe the server serves on, and ends when told."""
    command = (sys.executable, "-m", "tusd_py", "serve", "--port", "0", "--host", "127.0.0.1")
    options = ("--upload-dir", str(tmp_path), "--verbose", "--workers", workers)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"." * 65536):
            pass
    os.set_blocking(writing, True)
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=writing, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split(":")[2].split("/")[0])
            for _ in range(300):  # some lines of the log each
                with RawConnection(port) as connection:
                    connection.send(b"NONSENSE\r\n\r\n")
                    assert connection.answer().status == 400
            with RawConnection(port) as connection:
                connection.send(request("POST", "/files/", V, ("Upload-Length", "5")))
                assert connection.answer().status == 201
            process.terminate()
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            os.close(reading)
            os.close(writing)
