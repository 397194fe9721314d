"""The servers that are compared: how each is found, started and ended."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import tusd_py
from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server

from .load import FOLDER, compile_program

ROOT = FOLDER.parents[1]
_START_S = 20.0
_STOP_S = 10.0

OURS, OURS_ALL_CORES, OURS_REDIS = "ours-none", "ours-none-auto", "ours-redis"
LIMIT, BARE = "limit", "bare"


class StartFailed(Exception):
    """A server did not start; the message is one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A server at work.

    Attributes:
        path: where uploads are created.
    """

    pid: int
    port: int
    path: str = "/files/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A server as it can be started.

    Attributes:
        start: takes the directory of uploads.
        missing: how to get it; None: it is there.
    """

    id: str
    name: str
    version: str
    durability: str
    processes: str
    start: Callable[[Path], AbstractContextManager[Running]]
    missing: str | None = None

    def facts(self) -> dict[str, str]:
        """Return what the results say about it."""
        return {
            "name": self.name,
            "version": self.version,
            "durability": self.durability,
            "processes": self.processes,
        }


def contestants(build_dir: Path) -> list[Contestant]:
    """Return every server, installed or not, in the order of the tables."""
    version = _our_version()
    return [
        *(_ours(version, *row) for row in _OUR_ROWS),
        _ours_with_redis(version),
        _tusd(),
        _node(build_dir / "node"),
        _tuspyserver(build_dir / "tuspyserver"),
        _rustus(),
        _bare(),
        _limit(build_dir),
    ]


_OUR_ROWS = (
    (OURS, "none", "1"),
    (OURS_ALL_CORES, "none", "auto"),
    ("ours-complete", "complete", "1"),
    ("ours-ack", "ack", "1"),
)
_NEVER = "none: never syncs"


def _ours(version: str, row: str, durability: str, workers: str) -> Contestant:
    @contextlib.contextmanager
    def start(directory: Path) -> Iterator[Running]:
        options = ("--durability", durability, "--workers", workers)
        with running_server(directory, *options) as server:
            _wait_all_accept(server, (os.cpu_count() or 1) if workers == "auto" else 1)
            path = urllib.parse.urlsplit(server.url).path
            try:
                yield Running(pid=server.process.pid, port=server.port, path=path)
            finally:
                server.stop()

    return Contestant(
        id=row,
        name="tusd-py" + (", all cores" if workers == "auto" else ""),
        version=version,
        durability=durability,
        processes="one per core" if workers == "auto" else "1",
        start=start,
    )


def _wait_all_accept(server: Server, workers: int) -> None:
    """Wait for the last worker: what connects before it accepts stays with the others."""
    until = time.monotonic() + _START_S
    while server.log.read_text().count('"Listening"') < workers:
        if time.monotonic() > until:
            raise StartFailed("not all workers have come")
        time.sleep(0.02)


def _ours_with_redis(version: str) -> Contestant:
    """Records in a Redis that never saves, as its peer never syncs; its own CPU is not ours."""

    @contextlib.contextmanager
    def start(directory: Path) -> Iterator[Running]:
        with running_redis("--save", "", "--appendonly", "no") as redis:
            options = ("--durability", "none", "--redis-url", redis.url)
            with running_server(directory, *options) as server:
                path = urllib.parse.urlsplit(server.url).path
                try:
                    yield Running(pid=server.process.pid, port=server.port, path=path)
                finally:
                    server.stop()

    return Contestant(
        id=OURS_REDIS,
        name="tusd-py, Redis",
        version=version,
        durability="none",
        processes="1",
        start=start,
        missing=None if shutil.which("redis-server") else "apt-get install redis-server",
    )


def _our_version() -> str:
    git = ("git", "describe", "--always", "--dirty", "--abbrev=8")
    commit = _output(git) if shutil.which("git") else ""
    return f"{tusd_py.__version__} {commit}".strip()


def _tusd() -> Contestant:
    binary = os.environ.get("TUSD_BINARY") or shutil.which("tusd") or ""
    found = bool(binary) and os.access(binary, os.X_OK)
    flags = ("-host", "127.0.0.1", "-verbose=false", "-show-greeting=false")
    return Contestant(
        id="tusd",
        name="tusd",
        version=_tusd_version(binary) if found else "",
        durability=_NEVER,
        processes="1, threads on all cores",
        start=_starter(
            lambda directory, port: (
                *(binary, *flags),
                *("-port", str(port), "-upload-dir", str(directory)),
            )
        ),
        missing=None if found else "put tusd on the PATH, or name it in TUSD_BINARY",
    )


def _tusd_version(binary: str) -> str:
    match = re.search(r"Version: (v\S+)", _output((binary, "-version")))
    if match is None and shutil.which("go"):  # a build of one's own does not know its version
        match = re.search(r"\tmod\t\S+\t(\S+)", _output(("go", "version", "-m", binary)))
    return match[1] if match else "unknown"


def _node(folder: Path) -> Contestant:
    package = folder / "node_modules/@tus/server/package.json"
    found = shutil.which("node") is not None and package.exists()
    script = FOLDER / "peers/server.mjs"
    return Contestant(
        id="node",
        name="@tus/server",
        version=f"{_json_version(package)} on Node {_output(('node', '--version'))}"
        if found
        else "",
        durability=_NEVER,
        processes="1",
        start=_starter(
            lambda directory, port: ("node", str(script), str(directory), str(port)), cwd=folder
        ),
        missing=None if found else "install Node.js 20 and npm, then `make bench` again",
    )


def _json_version(package: Path) -> str:
    match = re.search(r'"version": "([^"]+)"', package.read_text())
    return match[1] if match else "unknown"


def _tuspyserver(folder: Path) -> Contestant:
    python = folder / "bin/python"
    found = bool(list(folder.glob("lib/*/site-packages/tuspyserver")))
    script = FOLDER / "peers/tuspyserver_app.py"
    pins = dict(
        line.split("==")
        for line in (FOLDER / "peers/requirements.txt").read_text().split()
        if "==" in line
    )
    return Contestant(
        id="tuspyserver",
        name="tuspyserver",
        version=f"{pins['tuspyserver']} on uvicorn {pins['uvicorn']}",
        durability=_NEVER,
        processes="1",
        start=_starter(
            lambda directory, port: (str(python), str(script), str(directory), str(port))
        ),
        missing=None if found else "it comes from PyPI: `make bench` again, with a network",
    )


def _rustus() -> Contestant:
    binary = os.environ.get("RUSTUS_BINARY") or shutil.which("rustus") or ""
    found = bool(binary) and os.access(binary, os.X_OK)
    return Contestant(
        id="rustus",
        name="rustus",
        version=_output((binary, "--version")).removeprefix("rustus ") if found else "",
        durability=_NEVER,
        processes="1, a thread per core",
        start=_starter(
            lambda directory, port: (
                *(binary, "--host", "127.0.0.1", "--port", str(port), "--url", "/files/"),
                *("--data-dir", str(directory), "--info-dir", str(directory)),
                *("--log-level", "error"),
            )
        ),
        missing=None if found else "put rustus on the PATH, or name it in RUSTUS_BINARY",
    )


def _bare() -> Contestant:
    script = FOLDER / "peers/bare_aiohttp.py"
    return Contestant(
        id=BARE,
        name="aiohttp alone, writing two files",
        version=importlib.metadata.version("aiohttp"),
        durability=_NEVER,
        processes="one per core",
        start=_starter(
            lambda directory, port: (sys.executable, str(script), str(directory), str(port))
        ),
    )


def _limit(build_dir: Path) -> Contestant:
    program = build_dir / "limit"
    if shutil.which("cc"):
        compile_program("limit", build_dir)
    return Contestant(
        id=LIMIT,
        name="limit (C, one thread)",
        version="",
        durability=_NEVER,
        processes="1",
        start=_starter(lambda directory, port: (str(program), str(directory), str(port))),
    )


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip()


def _starter(
    command: Callable[[Path, int], Sequence[str]], cwd: Path | None = None
) -> Callable[[Path], AbstractContextManager[Running]]:
    """Return how to start a server that takes a directory and a port."""

    @contextlib.contextmanager
    def start(directory: Path) -> Iterator[Running]:
        directory.mkdir()
        port = _free_port()
        log = directory.with_name(directory.name + ".log")
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command(directory, port), cwd=cwd, stdout=output, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                _wait_listening(process, port, log)
                yield Running(pid=process.pid, port=port)
            finally:
                _end(process)

    return start


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise StartFailed(" ".join(log.read_text(errors="replace").split())[-300:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
