"""Requests leave nothing behind that only a garbage collector would find.

A full collection stops the server for as long as it takes to look at every object there is. With
thousands of uploads open that is long enough to be felt, so a worker puts it off; it may, because
there is next to nothing to be found. These tests see to that, but for paths that nobody serves:
aiohttp makes a route for each that refers to itself.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ..support.raw_http import RawConnection, chunked, head
from ..support.raw_http import request as whole_request
from ..support.redis_server import running_redis
from ..support.waiting import wait_until

_SERVE = """
import gc, signal, sys
from tusd_py.cli import main

def look(*_):
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = sorted({type(one).__name__ for one in gc.garbage})
    gc.garbage.clear()
    gc.collect()
    print("found", *found, flush=True)

signal.signal(signal.SIGUSR2, look)
gc.disable()
sys.argv[1:1] = ["serve", "--host", "127.0.0.1", "--port", "0", "--upload-dir", "uploads"]
main()
"""

SOON_S = 20.0
MIB = 1024 * 1024
TUS = ("Tus-Resumable", "1.0.0")
STREAM = ("Content-Type", "application/offset+octet-stream")


class Watched:
    """A server that collects garbage when it is asked to.

    Args:
        directory: where it works.
        options: of ``tusd-py serve``.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *options],
            cwd=directory,
            stdout=subprocess.PIPE,
            text=True,
        )
        match = re.search(r":(\d+)/", self._line())
        assert match is not None
        self.port = int(match[1])

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(SOON_S)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def garbage(self) -> set[str]:
        """The types of what nobody refers to any more, once all connections have ended."""
        wait_until(lambda: not self._connections())
        with self.connected() as late:  # the loop has had a turn since the last one ended
            late.send(whole_request("OPTIONS", "/files/"))
            assert late.answer().status == 200
            self._process.send_signal(signal.SIGUSR2)
            return set(self._line().split()[1:])

    def connected(self) -> RawConnection:
        """A connection to it."""
        return RawConnection(self.port)

    def ask(self, message: bytes, method: str = "POST") -> tuple[int, str]:
        """Status of a request on a connection of its own, and Location."""
        with self.connected() as connection:
            connection.send(message)
            answer = connection.answer(method)
            return answer.status, answer.headers.get("Location", "")

    def made(self, length: int) -> str:
        """The path of a new upload."""
        status, location = self.ask(
            whole_request("POST", "/files/", TUS, ("Upload-Length", str(length)), body=b"")
        )
        assert status == 201
        return location.removeprefix("http://server")

    def _connections(self) -> bool:
        found = psutil.Process(self._process.pid).net_connections("tcp")
        return any(
            one.laddr.port == self.port and one.status != psutil.CONN_LISTEN for one in found
        )

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module", params=["files", "redis"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A server whose garbage nobody collects unasked."""
    with contextlib.ExitStack() as running:
        options = []
        if request.param == "redis":
            options = ["--redis-url", running.enter_context(running_redis()).url]
        watched = Watched(tmp_path_factory.mktemp("served"), *options)
        running.callback(watched.stop)
        yield watched


def patch(path: str, length: int, *fields: tuple[str, str], offset: int = 0) -> bytes:
    """The head of a PATCH."""
    told = ("Content-Length", str(length))
    return head("PATCH", path, TUS, STREAM, ("Upload-Offset", str(offset)), told, *fields)


def _whole(server: Watched) -> None:
    message = whole_request("POST", "/files/", TUS, STREAM, ("Upload-Length", "5"), body=b"bytes")
    assert server.ask(message)[0] == 201


def _large(server: Watched) -> None:
    path = server.made(2 * MIB)
    assert server.ask(patch(path, 2 * MIB) + os.urandom(2 * MIB))[0] == 204
    assert server.ask(whole_request("HEAD", path, TUS), "HEAD")[0] == 200
    assert server.ask(whole_request("GET", path), "GET")[0] == 200
    assert server.ask(whole_request("DELETE", path, TUS))[0] == 204


def _in_chunks(server: Watched) -> None:
    sha = base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()
    fields = (("Upload-Offset", "0"), ("Transfer-Encoding", "chunked"))
    announced = ("Trailer", "Upload-Checksum")
    message = head("PATCH", server.made(5), TUS, STREAM, *fields, announced)
    message += chunked(b"by", b"tes", trailers=[("Upload-Checksum", f"sha256 {sha}")])
    assert server.ask(message)[0] == 204


def _wrong_checksum(server: Watched) -> None:
    sha = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    message = patch(server.made(5), 5, ("Upload-Checksum", f"sha256 {sha}")) + b"bytes"
    assert server.ask(message)[0] == 460


def _wrong_offset(server: Watched) -> None:
    assert server.ask(patch(server.made(5), 2, offset=3) + b"es")[0] == 409


def _unknown(server: Watched) -> None:
    assert server.ask(whole_request("HEAD", "/files/unknown", TUS), "HEAD")[0] == 404
    assert server.ask(patch("/files/unknown", 5) + b"bytes")[0] == 404


def _not_http(server: Watched) -> None:
    assert server.ask(b"hello\r\n\r\n")[0] == 400


def _cut(server: Watched) -> None:
    for length in (100_000, MIB):  # on one lane and on the other
        path = server.made(2 * MIB)
        with server.connected() as connection:
            connection.send(patch(path, length) + b"some")
        with server.connected() as connection:
            connection.send(patch(path, length, offset=4) + b"bytes")
            connection.reset()


def _taken_over(server: Watched) -> None:
    for length in (100_000, MIB):
        path = server.made(2 * MIB)
        with server.connected() as connection:
            connection.send(patch(path, length) + b"some")
            assert server.ask(whole_request("HEAD", path, TUS), "HEAD")[0] == 200
            assert connection.answer().status == 423


def _silent(server: Watched) -> None:
    with server.connected() as connection:
        connection.send(b"POST /files/ HTTP/1.1\r\nHost: ")


@pytest.mark.parametrize(
    "happens",
    [
        *(_whole, _large, _in_chunks, _wrong_checksum, _wrong_offset, _unknown, _not_http),
        *(_cut, _taken_over, _silent),
    ],
    ids=lambda happens: happens.__name__.strip("_"),
)
def test_nothing_is_left_to_the_garbage_collector(
    server: Watched, happens: Callable[[Watched], None]
) -> None:
    """When its connection has ended, all that a request needed is gone."""
    happens(server)
    server.garbage()  # what is made once, when something happens for the first time
    happens(server)
    assert server.garbage() == set()
