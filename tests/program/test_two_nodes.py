"""Two server processes on one Redis and one directory; one is stopped or killed at work."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.raw_http import Answer, NoAnswer, RawConnection, exchange, head, request
from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server
from tests.support.waiting import wait_until
from tests.support.work import running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.redis_client.address import RedisAddress, RedisOptions

LEASE_S = 1
_MOMENT_S = 0.3
KIB, MIB = 1024, 1024 * 1024
TUS = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", "application/offset+octet-stream")

Fields = tuple[str, str]


@dataclass(frozen=True)
class Pair:
    """Two nodes, and what they share."""

    a: Server
    b: Server
    redis_url: str
    directory: Path

    def files(self) -> set[str]:
        """What lies in the upload directory."""
        return {entry.name for entry in os.scandir(self.directory) if entry.is_file()}

    async def sweep(self) -> None:
        """Remove what crashes have left, like the janitor a day later."""
        soon = time.time() + 60
        options = RedisOptions(address=RedisAddress(self.redis_url))
        async with running_lanes() as run:
            data = DiskData(self.directory, run, fenced=True)
            store = RedisOffsets(options, run, copies=Copies(self.directory))
            await data.open()
            await store.open()
            for one in (data, store):
                async for _ in one.orphans(soon):
                    pass
            await store.close()

    async def check(self, path: str, content: bytes) -> None:
        """Both nodes say that the upload is complete, and it is, and nothing else is there."""
        for server in (self.a, self.b):
            assert offset_of(server, path) == len(content)
            got = exchange(server.port, request("GET", path), "GET")
            assert (got.status, got.body == content) == (200, True)
        await self.sweep()
        upload_id = path.rpartition("/")[2]
        data = {name for name in self.files() if not name.endswith(".info")}
        assert len(data) == 1
        assert {name.partition(",")[0] for name in data} == {upload_id}
        assert self.files() == data | {f"{upload_id}.info"}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two nodes with a short lease."""
    directory = tmp_path / "uploads"
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        options = ("--redis-url", redis.url, "--redis-lease", str(LEASE_S))
        a, b = (stack.enter_context(running_server(directory, *options)) for _ in range(2))
        yield Pair(a, b, redis.url, directory)
        a.process.send_signal(signal.SIGCONT)


def create(server: Server, length: int, body: bytes = b"") -> str:
    """POST; return the path of the upload."""
    fields: tuple[Fields, ...] = (TUS, ("Upload-Length", str(length)), *([TYPE] if body else []))
    answer = exchange(server.port, request("POST", "/files/", *fields, body=body))
    assert answer.status == 201
    return "/files/" + answer.headers["Location"].rpartition("/")[2]


def offset_of(server: Server, path: str) -> int:
    """HEAD."""
    answer = exchange(server.port, request("HEAD", path, TUS), "HEAD")
    assert answer.status == 200
    return int(answer.headers["Upload-Offset"])


def patch(server: Server, path: str, offset: int, body: bytes) -> Answer:
    """PATCH, in one go."""
    fields = (TUS, TYPE, ("Upload-Offset", str(offset)))
    return exchange(server.port, request("PATCH", path, *fields, body=body), "PATCH")


def start_patch(
    server: Server, path: str, offset: int, length: int, *more: Fields
) -> RawConnection:
    """Send the head of a PATCH."""
    connection = RawConnection(server.port)
    fields = (TUS, TYPE, ("Upload-Offset", str(offset)), ("Content-Length", str(length)), *more)
    connection.send(head("PATCH", path, *fields))
    return connection


def wait_stored(pair: Pair, path: str, size: int) -> None:
    """Wait until so many bytes are in the file, and a bit longer."""
    file = pair.directory / path.rpartition("/")[2]
    wait_until(lambda: file.stat().st_size >= size)
    time.sleep(_MOMENT_S)


def refused(connection: RawConnection) -> bool:
    """Whether the client gets anything but success; if it is an answer, one to retry after."""
    try:
        answer = connection.answer("PATCH")
    except NoAnswer:
        return True
    assert answer.status in (423, 503), answer
    return True


CHECKSUM = (
    "Upload-Checksum",
    "sha1 "
    + base64.b64encode(hashlib.sha1(b"A" * 8 * MIB, usedforsecurity=False).digest()).decode(),
)


@pytest.mark.parametrize(
    ("first", "sent", "verified"),
    [
        (0, 0, False),
        (0, 100 * KIB, False),
        (300 * KIB, 3 * MIB, False),
        (300 * KIB, 3 * MIB, True),
        (300 * KIB, 0, True),
    ],
)
async def test_a_stopped_node_changes_nothing_when_it_wakes(
    pair: Pair, first: int, sent: int, *, verified: bool
) -> None:
    """Stopped in the middle of a PATCH, past its lease: what the next client sent is what is kept.

    Its own client is told to try again, although it sent all its bytes.
    """
    length = first + 8 * MIB
    path = create(pair.a, length)
    if first:
        assert patch(pair.a, path, 0, b"1" * first).status == 204
    more = (CHECKSUM,) if verified else ()
    with start_patch(pair.a, path, first, 8 * MIB, *more) as connection:
        connection.send(b"A" * sent)
        wait_stored(pair, path, first + (MIB if sent > MIB else 0))
        pair.a.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert offset_of(pair.b, path) == first
        assert time.monotonic() - began < LEASE_S + 1
        half = 4 * MIB
        assert patch(pair.b, path, first, b"B" * half).status == 204
        pair.a.process.send_signal(signal.SIGCONT)
        connection.send(b"A" * (8 * MIB - sent))
        answer = patch(pair.b, path, first + half, b"C" * half)
        assert answer.status == 204
        assert refused(connection)
    await pair.check(path, b"1" * first + b"B" * half + b"C" * half)


async def test_a_killed_node_costs_no_saved_byte(pair: Pair) -> None:
    """Killed in the middle of a PATCH: another node goes on from the offset that it tells."""
    content = os.urandom(6 * MIB)
    path = create(pair.a, len(content))
    assert patch(pair.a, path, 0, content[:MIB]).status == 204
    with start_patch(pair.a, path, MIB, 5 * MIB) as connection:
        connection.send(content[MIB : 4 * MIB])
        wait_stored(pair, path, 2 * MIB)
        pair.a.process.send_signal(signal.SIGKILL)
        offset = offset_of(pair.b, path)
        assert offset >= MIB
        assert patch(pair.b, path, offset, content[offset:]).status == 204
    with running_server(
        pair.directory, "--redis-url", pair.redis_url, "--redis-lease", str(LEASE_S)
    ) as again:
        await Pair(again, pair.b, pair.redis_url, pair.directory).check(path, content)


@pytest.mark.parametrize("sent", [0, 3 * MIB])
async def test_a_stopped_node_cannot_bring_an_upload_back(pair: Pair, sent: int) -> None:
    """Terminated at another node meanwhile, it stays gone, and nothing of it is left."""
    path = create(pair.a, 8 * MIB)
    with start_patch(pair.a, path, 0, 8 * MIB) as connection:
        connection.send(b"A" * sent)
        wait_stored(pair, path, min(MIB, sent))
        pair.a.process.send_signal(signal.SIGSTOP)
        answer = exchange(pair.b.port, request("DELETE", path, TUS), "DELETE")
        assert answer.status == 204
        pair.a.process.send_signal(signal.SIGCONT)
        connection.send(b"A" * (8 * MIB - sent))
        assert refused(connection)
    for server in (pair.a, pair.b):
        assert exchange(server.port, request("HEAD", path, TUS), "HEAD").status == 404
    await pair.sweep()
    assert pair.files() == set()


async def test_a_whole_upload_through_two_nodes_needs_no_other_name(pair: Pair) -> None:
    """Nodes that give uploads back take nothing away from each other."""
    path = create(pair.a, 3 * MIB, b"x" * MIB)
    assert patch(pair.b, path, MIB, b"y" * MIB).status == 204
    assert patch(pair.a, path, 2 * MIB, b"z" * MIB).status == 204
    await pair.check(path, b"x" * MIB + b"y" * MIB + b"z" * MIB)
    assert path.rpartition("/")[2] in pair.files()
    small = create(pair.b, 3, b"abc")
    assert exchange(pair.a.port, request("GET", small), "GET").body == b"abc"
