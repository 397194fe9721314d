"""A whole server and mutated requests: whatever comes, it answers or closes, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from tests.support.raw_http import chunked, head, request
from tests.support.server import running_server
from tests.support.target import (
    MISSING,
    STORED,
    TYPE,
    Target,
    V,
    assert_gives_back,
    descriptors_of,
    errors_in,
    new_target,
)
from tests.web.conftest import PARSERS
from tests.web.serving import connected, memory_app, serving

# No answer takes this long, whatever was sent; what is incomplete is ended by the sender.
HANG_S = 2.0
# A client's own fault, although it begins with a 5.
REFUSALS = {501, 505}

CHUNKED = ("Transfer-Encoding", "chunked")
SPICES = [
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"%", b"/", b".."),
    *(b"\xff", b"\x0b", b"-1", b"0", b"9" * 20, b"0\r\n\r\n", b"ffffffffffffffff\r\n"),
    *(b"HTTP/1.0", b"HTTP/2.0", b"Expect: 100-continue\r\n", b"Content-Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Trailer: Upload-Checksum\r\n", b"Upgrade: h2c\r\n"),
    *(b"X-HTTP-Method-Override: DELETE\r\n", b"Upload-Concat: final;/files/x\r\n"),
    *(b"Upload-Checksum: sha1 AAAA\r\n", b"Upload-Defer-Length: 1\r\n", b"Range: bytes=0-\r\n"),
]


def requests_about(path: str) -> list[bytes]:
    """Return one good request of each kind; what they do is nobody's concern."""
    patch = (V, TYPE, ("Upload-Offset", "3"))
    created = (V, TYPE, ("Upload-Length", "7"), ("Upload-Metadata", "filename YQ=="))
    return [
        request("POST", "/files/", *created, body=MISSING),
        head("POST", "/files/", *created, CHUNKED) + chunked(MISSING),
        request("POST", "/files/", V, ("Upload-Concat", f"final;{path}")),
        request("PATCH", path, *patch, body=MISSING),
        head("PATCH", path, *patch, CHUNKED) + chunked(b"de", b"fghij"),
        request("HEAD", path, V),
        request("GET", path),
        request("DELETE", path, V),
        request("OPTIONS", path),
    ]


def mutated(chance: random.Random, path: str) -> list[bytes]:
    """Return a few requests, changed here and there, in segments cut anywhere."""
    data = b"".join(chance.choice(requests_about(path)) for _ in range(chance.randint(1, 3)))
    for _ in range(chance.randint(0, 6)):
        at = chance.randint(0, len(data))
        to = min(len(data), at + chance.randint(0, 12))
        match chance.randint(0, 4):
            case 0:
                data = data[:at] + chance.choice(SPICES) + data[at:]
            case 1:
                data = data[:at] + data[to:]
            case 2:
                data = data[:at] + data[at:to] * chance.randint(2, 40) + data[to:]
            case 3:
                data = data[:at] + chance.choice(SPICES) + data[to:]
            case _:
                data = data[:at] + bytes([chance.randint(0, 255)]) + data[at + 1 :]
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 4)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def statuses_of(answers: bytes) -> list[int]:
    """Return the statuses of all answers; bodies of ours have no such line."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answers)]


def fire(port: int, pieces: list[bytes]) -> bytes:
    """Send everything, end the sending side, and return all that comes back until the close."""
    answers = b""
    with socket.create_connection(("127.0.0.1", port), HANG_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # it closed already; TimeoutError is a hang
            for piece in pieces:
                sock.sendall(piece)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := sock.recv(1 << 16):
                answers += more
    return answers


@pytest.fixture(scope="module", params=PARSERS)
def victim(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """An upload that no request is about, on a server that is looked at in the end."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "canary").write_text("nobody may touch this")
    options = ("--max-size", "1000000", "--durability", "none")
    with running_server(folder / "uploads", *options, env=PARSERS[request.param]) as server:
        victim = new_target(server)
        before = descriptors_of(server)
        yield victim
        assert_gives_back(server, before)
        assert victim.offset() == len(STORED)
        assert server.stop() == 0
        assert victim.file.read_bytes() == STORED
    assert {path.name for path in folder.iterdir()} == {"canary", "uploads", "uploads.log"}
    assert (folder / "canary").read_text() == "nobody may touch this"
    assert errors_in(server.log) == []


@given(chance=st.randoms(use_true_random=False))
def test_mutated_requests_are_answered_or_closed(victim: Target, chance: random.Random) -> None:
    """No 5xx, no hang, and the upload next door answers at once and is unchanged."""
    prey = new_target(victim.server)
    pieces = mutated(chance, prey.path)
    note(repr(pieces))
    answers = fire(victim.port, pieces)
    assert [s for s in statuses_of(answers) if s >= 500 and s not in REFUSALS] == []
    assert victim.offset() == len(STORED)


@given(data=st.binary(max_size=2000), cut=st.integers(0, 2000))
def test_random_bytes_are_answered_or_closed(victim: Target, data: bytes, cut: int) -> None:
    """What is no HTTP at all is 400, or nothing."""
    answers = fire(victim.port, [data[:cut], data[cut:]])
    assert set(statuses_of(answers)) <= {400, 404, 405, 431, 505}
    assert victim.offset() == len(STORED)


async def test_no_task_outlives_its_request(pytestconfig: pytest.Config) -> None:
    """When all connections are closed, the loop has no more tasks than before."""
    chance = random.Random(1)  # noqa: S311 - no secret
    count = pytestconfig.getoption("--fuzz-examples", 50)
    async with serving(memory_app(own_server=True)) as port:
        async with connected(port) as peer:
            peer.writer.write(request("OPTIONS", "/"))
            assert await peer.status() == 200
        before = len(asyncio.all_tasks())
        for _ in range(count):
            async with connected(port) as peer:
                for piece in mutated(chance, "/x"):
                    peer.writer.write(piece)
                    await asyncio.sleep(0)
                if chance.random() < 0.5:
                    with contextlib.suppress(OSError):  # the server may have closed it
                        peer.writer.write_eof()
                    await peer.rest()
        async with asyncio.timeout(HANG_S):
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0)
