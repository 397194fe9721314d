"""The running program: start, several workers, sockets, TLS, SIGTERM."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.support.server import Server, running_server
from tests.support.waiting import wait_until

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {**TUS, "Content-Type": "application/offset+octet-stream"}


def connect(server: Server) -> http.client.HTTPConnection:
    """Open a connection of its own."""
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)


def create(server: Server, length: int) -> str:
    """Create an upload and return its path."""
    connection = connect(server)
    connection.request("POST", "/files/", headers={**TUS, "Upload-Length": str(length)})
    response = connection.getresponse()
    assert response.status == 201
    connection.close()
    location = response.getheader("Location")
    assert location is not None
    return location[location.index("/files/") :]


def offset(server: Server, path: str) -> tuple[int, str | None]:
    """Return the status and the Upload-Offset of a HEAD."""
    connection = connect(server)
    connection.request("HEAD", path, headers=TUS)
    response = connection.getresponse()
    connection.close()
    return response.status, response.getheader("Upload-Offset")


def start_patch(server: Server, path: str, length: int, sent: bytes) -> socket.socket:
    """Send the head of a PATCH and the first bytes of its body, and leave it open."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    head = "".join(f"{name}: {value}\r\n" for name, value in BYTES.items())
    sock.sendall(
        f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{head}Upload-Offset: 0\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
        + sent
    )
    return sock


def wait_received(server: Server, path: str, size: int) -> None:
    """Wait until that many bytes have come; of those on their way only one worker knows."""
    deadline = time.monotonic() + 10
    status = server.url + path.rsplit("/", 1)[1] + "?status"
    while time.monotonic() < deadline:
        with urllib.request.urlopen(status, timeout=10) as answer:  # noqa: S310
            if json.load(answer)["offset"] == size:
                return
        time.sleep(0.01)
    raise AssertionError("the PATCH did not get to the server")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_keeps_what_arrived(tmp_path: Path, workers: str) -> None:
    """SIGTERM ends a running body: it is stored, answered 503, and the exit code is 0."""
    sent = os.urandom(300_000)
    with running_server(tmp_path / "data", "--workers", workers) as server:
        path = create(server, 1_000_000)
        with start_patch(server, path, 1_000_000, sent) as sock:
            wait_received(server, path, len(sent))
            started = time.monotonic()
            server.process.terminate()
            answer = sock.recv(65536).decode()
        code = server.process.wait(timeout=30)
    took = time.monotonic() - started

    assert answer.startswith("HTTP/1.1 503 ")
    assert "ERR_SERVER_SHUTDOWN: " in answer
    assert code == 0
    assert took < 10
    assert (tmp_path / "data" / path.rsplit("/", 1)[1]).read_bytes() == sent


def test_uploads_go_on_after_a_restart(tmp_path: Path) -> None:
    """An upload that a killed server left is continued where it stood."""
    content = os.urandom(200_000)
    with running_server(tmp_path / "data") as server:
        path = create(server, len(content))
        with start_patch(server, path, len(content), content[:150_000]):
            wait_received(server, path, 150_000)
            # A HEAD ends the PATCH, so that all it received is written.
            assert offset(server, path) == (200, "150000")
        server.stop(signal.SIGKILL)
    with running_server(tmp_path / "data") as server:
        status, there = offset(server, path)
        assert (status, there) == (200, "150000")
        connection = connect(server)
        connection.request("PATCH", path, content[150_000:], {**BYTES, "Upload-Offset": "150000"})
        assert connection.getresponse().status == 204
        connection.close()
        with urllib.request.urlopen(server.url + path.rsplit("/", 1)[1]) as download:  # noqa: S310
            got = download.read()

    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()


def test_hand_over_between_workers(tmp_path: Path) -> None:
    """A HEAD at any worker ends a PATCH at any other within a second and counts its bytes."""
    sent = os.urandom(100_000)
    slowest = 0.0
    with running_server(tmp_path / "data", "--workers", "2") as server:
        for _ in range(8):  # the kernel spreads connections: some meet the other worker
            path = create(server, 1_000_000)
            with start_patch(server, path, 1_000_000, sent) as sock:
                wait_received(server, path, len(sent))
                started = time.monotonic()
                status, there = offset(server, path)
                slowest = max(slowest, time.monotonic() - started)
                answer = sock.recv(65536).decode()

            assert (status, there) == (200, str(len(sent)))
            assert answer.startswith("HTTP/1.1 423 ")
            assert "ERR_UPLOAD_INTERRUPTED" in answer

    assert slowest < 1.0


def test_dead_worker_is_replaced(tmp_path: Path) -> None:
    """When a worker is killed, another takes its place and uploads go on."""
    with running_server(tmp_path / "data", "--workers", "2") as server:
        path = create(server, 5)
        victim = psutil.Process(server.process.pid).children()[0]
        victim.kill()
        psutil.wait_procs([victim], timeout=5)
        wait_until(lambda: len(psutil.Process(server.process.pid).children()) == 2)
        assert offset(server, path) == (200, "0")
        assert server.stop() == 0


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    """When the first process is killed, its workers store what they have and end by themselves."""
    sent = os.urandom(100_000)
    with running_server(tmp_path / "data", "--workers", "2") as server:
        path = create(server, 1_000_000)
        workers = psutil.Process(server.process.pid).children()
        with start_patch(server, path, 1_000_000, sent) as sock:
            wait_received(server, path, len(sent))
            server.stop(signal.SIGKILL)
            answer = sock.recv(65536)
        _, alive = psutil.wait_procs(workers, timeout=10)

    assert alive == []
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert (tmp_path / "data" / path.rsplit("/", 1)[1]).read_bytes() == sent


def test_unix_socket(tmp_path: Path) -> None:
    """With --unix-sock the server listens there, takes uploads, and removes it at its end."""
    path = tmp_path / "tusd.sock"
    content = os.urandom(3_000_000)
    with running_server(tmp_path / "data", "--unix-sock", str(path)) as server:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(b"OPTIONS /files/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = sock.makefile("rb").read()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            fields = BYTES | {"Upload-Length": f"{len(content)}", "Connection": "close"}
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            sock.sendall(
                f"POST /files/ HTTP/1.1\r\nHost: x\r\n{head}"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
                + content
            )
            created = sock.makefile("rb").read().decode()
        code = server.stop()

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert created.startswith("HTTP/1.1 201 Created")
    name = created.partition("/files/")[2][:32]
    assert (tmp_path / "data" / name).read_bytes() == content
    assert code == 0
    assert not path.exists()


def test_socket_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    """A socket file that nobody listens on any more does not keep the server from starting."""
    path = tmp_path / "tusd.sock"
    with running_server(tmp_path / "data", "--unix-sock", str(path)) as server:
        server.stop(signal.SIGKILL)
    assert path.exists()

    with running_server(tmp_path / "data", "--unix-sock", str(path)) as server:
        assert server.process.poll() is None


def test_tls(tmp_path: Path) -> None:
    """With a certificate the server speaks TLS, and Location says so; downloads work too."""
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    content = os.urandom(700_000)
    context = ssl.create_default_context(cafile=str(certificate))
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with running_server(tmp_path / "data", *options) as server:
        request = urllib.request.Request(  # noqa: S310
            server.url, content, {**BYTES, "Upload-Length": str(len(content))}, method="POST"
        )
        with urllib.request.urlopen(request, context=context) as created:  # noqa: S310
            location = created.headers["Location"]
            assert created.headers["Upload-Offset"] == str(len(content))
        assert location.startswith(server.url)
        assert location.startswith("https://127.0.0.1:")
        with urllib.request.urlopen(location, context=context) as download:  # noqa: S310
            assert download.read() == content


def test_log_is_json_off_a_terminal(tmp_path: Path) -> None:
    """Each line of the log is one JSON object when it does not go to a terminal."""
    with running_server(tmp_path / "data", "--no-pages") as server:  # which may not be built
        server.stop()
        lines = server.log.read_text().splitlines()

    events = [json.loads(line)["event"] for line in lines]
    assert events == ["Listening", "ShuttingDown"]
