"""Clients that are too many, too slow, or never read: they end, and others notice nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificate import make_certificate
from tests.support.raw_http import NoAnswer, RawConnection, head, request
from tests.support.server import Server, running_server
from tests.support.target import STORED, TYPE, Target, V, assert_refused, new_target

TIMEOUT_S = 1.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without patience."""
    folder = tmp_path_factory.mktemp("impatient")
    options = ("--network-timeout", f"{TIMEOUT_S}s", "--min-body-rate", "1000")
    with running_server(folder / "data", *options) as running:
        yield running


def warnings_in(server: Server) -> list[str]:
    """Return the warnings that a server has logged, which has ended."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line["event"] for line in lines if line["level"] == "warning"]


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[RawConnection]]:
    """Open connections that the server has answered once, so that it has let them in."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(RawConnection(server.port))
            connection.send(request("OPTIONS", "/files/", V))
            assert connection.answer().status == 200
            opened.append(connection)
        yield opened


def test_too_many_connections_are_turned_away(tmp_path: Path) -> None:
    """A83: beyond the limit the answer is 503 with Retry-After, and those inside go on."""
    with running_server(tmp_path / "data", "--max-connections", "5") as server:
        upload = new_target(server)
        with connections(server, 5) as inside:
            for _ in range(40):
                with RawConnection(server.port) as late:
                    late.send(request("POST", "/files/", V, ("Upload-Length", "5")))
                    answer = late.answer()
                    assert_refused(answer, 503)
                    assert (answer.headers["Retry-After"], answer.closes) == ("1", True)
                    assert late.ended()
            inside[0].send(upload.head_of_patch(("Content-Length", "7")) + b"defghij")
            assert inside[0].answer().status == 204
            inside[1].send(request("GET", upload.path))
            assert inside[1].answer().body == b"abcdefghij"
        wait_until_let_in(server)
        assert server.stop() == 0
    assert warnings_in(server) == ["TooManyConnections"]


def test_a_head_that_is_turned_away_is_told_to_wait(tmp_path: Path) -> None:
    """HEAD gets 423, for after a 5xx tus-js-client would start over from byte 0."""
    with running_server(tmp_path / "data", "--max-connections", "1") as server:
        with connections(server, 1), RawConnection(server.port) as late:
            late.send(request("HEAD", "/files/x", V))
            answer = late.answer("HEAD")
        assert (answer.status, answer.headers["Retry-After"]) == (423, "1")


def test_silent_ones_are_turned_away_too(tmp_path: Path) -> None:
    """Connections that ask nothing are closed within moments, however many they are."""
    with running_server(tmp_path / "data", "--max-connections", "2") as server:
        with connections(server, 2), contextlib.ExitStack() as stack:
            silent = [stack.enter_context(RawConnection(server.port)) for _ in range(100)]
            assert all(connection.ended() for connection in silent)
        wait_until_let_in(server)


def test_one_address_cannot_take_all(tmp_path: Path) -> None:
    """With a limit for each address, one that has too many keeps nobody else out."""
    options = ("--max-connections-per-address", "3")
    with running_server(tmp_path / "data", *options) as server, connections(server, 3):
        with RawConnection(server.port) as fourth:
            fourth.send(request("OPTIONS", "/files/", V))
            assert fourth.answer().status == 503
        with socket.create_connection(
            ("127.0.0.1", server.port), 10, source_address=("127.0.0.9", 0)
        ) as other:
            other.sendall(request("OPTIONS", "/files/", V))
            assert other.recv(100).startswith(b"HTTP/1.1 200 ")


def wait_until_let_in(server: Server) -> None:
    """Wait until the server has noticed that connections have ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(NoAnswer), RawConnection(server.port) as connection:
            connection.send(request("OPTIONS", "/files/", V))
            if connection.answer().status == 200:
                return
    raise AssertionError("nobody is let in any more")


def test_slow_heads_have_a_deadline(server: Server) -> None:
    """A80: a head of which a line comes now and then is cut at the deadline, not extended."""
    started = time.monotonic()
    with RawConnection(server.port) as connection:
        connection.send(b"POST /files/ HTTP/1.1\r\nHost: x\r\n")
        while time.monotonic() - started < 10 * TIMEOUT_S:
            connection.send(b"X-Slow: 1\r\n")
            if connection.wait_ended(0.1):
                break
        else:
            pytest.fail("a slow head is never cut")
    assert time.monotonic() - started >= TIMEOUT_S


def test_a_body_that_trickles_is_cut(server: Server) -> None:
    """A81: a body that never falls silent but brings too little is ended; its bytes are kept."""
    upload = new_target(server, ("Upload-Length", str(MIB)))
    sent = 0
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(("Content-Length", str(MIB - 3))))
        deadline = time.monotonic() + 20 * TIMEOUT_S
        while not connection.readable(0.1):
            connection.send(b"x")
            sent += 1
            assert time.monotonic() < deadline, "a trickle is never cut"
        assert_refused(connection.answer(), 503)
    assert len(STORED) < upload.offset() <= len(STORED) + sent
    assert upload.offset() >= len(STORED) + sent - 3  # those that came when it had ended


def test_a_slow_body_is_not_cut(server: Server) -> None:
    """F35: whoever brings twice the least rate, in bursts, may take as long as it takes."""
    pieces = [b"x" * 1600] * 6  # one in 0.8 s: nearly as silent as may be
    size = sum(map(len, pieces))
    upload = new_target(server, ("Upload-Length", str(3 + size)))
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(("Content-Length", str(size))))
        for piece in pieces:
            assert not connection.readable(0.8 * TIMEOUT_S)
            connection.send(piece)
        assert connection.answer().status == 204


def test_one_that_never_reads_its_download_is_cut(server: Server) -> None:
    """A84: a download of which nothing is taken is broken off; one taken slowly is not."""
    upload = finished(server, 16 * MIB)
    with upload.connect() as never, upload.connect() as slow:
        for connection in (never, slow):
            connection.send(request("GET", upload.path))
        taken = 0
        for _ in range(30):  # three timeouts
            time.sleep(0.1)
            taken += len(slow.take(200_000))
        assert len(never.take_all()) < 16 * MIB
        taken += len(slow.take_all())
    assert taken > 16 * MIB


def test_one_that_never_reads_over_tls_is_cut(tmp_path: Path) -> None:
    """A84: the same where the server has to encrypt what it sends."""
    certificate, key = make_certificate(tmp_path)
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    context = ssl.create_default_context(cafile=str(certificate))
    options = (*tls, "--network-timeout", f"{TIMEOUT_S}s")
    with running_server(tmp_path / "data", *options) as server:
        size = 16 * MIB
        plain = socket.create_connection(("127.0.0.1", server.port), 10)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(
                head("POST", "/files/", V, TYPE, *lengths(size)) + b"x" * size,
            )
            path = client.recv(10_000).decode().partition("/files/")[2].partition("\r\n")[0]
            client.sendall(request("GET", f"/files/{path}"))
            time.sleep(4 * TIMEOUT_S)
            got = 0
            with contextlib.suppress(OSError):  # what is cut lacks TLS's own end
                while more := len(client.recv(MIB)):
                    got += more
            assert 0 < got < size
        assert server.stop() == 0
    assert '"level": "error"' not in server.log.read_text()


def lengths(size: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the fields of a creation that comes with all its bytes."""
    return ("Upload-Length", str(size)), ("Content-Length", str(size))


def test_one_that_never_reads_its_answers_is_cut(server: Server) -> None:
    """A85: requests without end, whose answers nobody reads, cost bounded memory and end."""
    upload = new_target(server)
    before = server.resident_bytes()
    flood = request("OPTIONS", "/files/", V) * 1000
    with RawConnection(server.port, receive_bytes=4096) as flooding:
        deadline = time.monotonic() + 30
        while not flooding.is_reset():
            flooding.send_until_stuck(flood, most_bytes=MIB, patience_s=0.05)
            assert upload.offset() == 3  # others are served meanwhile
            assert server.resident_bytes() - before < 32 * MIB
            assert time.monotonic() < deadline, "it is never cut"


def test_a_refused_body_is_read_away_within_bounds(server: Server) -> None:
    """A86: behind an early 409 an endless body is taken for a moment; then the connection ends."""
    upload = new_target(server, ("Upload-Length", str(1 << 40)))
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(("Content-Length", str(1 << 39)), offset=9))
        started = time.monotonic()
        sent = connection.send_until_stuck(b"x" * MIB, most_bytes=1 << 30, patience_s=3)
        assert sent < 64 * MIB
        assert time.monotonic() - started < 8
        assert connection.is_reset()


def finished(server: Server, size: int) -> Target:
    """Return a complete upload of that size."""
    upload = new_target(server, ("Upload-Length", str(size)), body=b"x" * 1000)
    with upload.connect() as connection:
        fields = (V, TYPE, ("Upload-Offset", "1000"), ("Content-Length", str(size - 1000)))
        connection.send(head("PATCH", upload.path, *fields) + b"x" * (size - 1000))
        assert connection.answer().status == 204
    return upload
