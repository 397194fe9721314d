"""Requests by the thousand, and what is much too large: nothing grows with them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import RawConnection, head, request
from tests.support.server import Server, running_server
from tests.support.target import (
    MISSING,
    STORED,
    Target,
    V,
    assert_gives_back,
    descriptors_of,
    new_target,
)
from tests.support.waiting import wait_until

MIB = 1024 * 1024


def test_ten_thousand_empty_patches_cost_no_write(target: Target) -> None:
    """A12: empty PATCHes are answered without a file being written, and renew no expiry."""
    record = target.file.with_name(target.file.name + ".info")
    before = record.stat(), target.file.stat()
    expiry = target.inspect().headers["Upload-Expires"]
    data = target.head_of_patch(("Content-Length", "0"))
    with target.connect() as connection:
        for _ in range(200):
            connection.send(data * 50)
            for _ in range(50):
                answer = connection.answer()
                assert (answer.status, answer.headers["Upload-Expires"]) == (204, expiry)
    for was, now in zip(before, (record.stat(), target.file.stat()), strict=True):
        assert (now.st_ino, now.st_mtime_ns, now.st_size) == (
            was.st_ino,
            was.st_mtime_ns,
            was.st_size,
        )


def test_a_flood_of_pipelined_requests_is_answered_in_order(target: Target) -> None:
    """A85: of requests that are all sent before an answer is read, each gets its own, in order."""
    count = 2000
    data = b"".join(request("HEAD", f"{target.path}?{n % 2}", V) for n in range(count))
    before = target.server.resident_bytes()
    with target.connect() as connection:
        connection.send(data)
        for _ in range(count):
            assert connection.answer("HEAD").headers["Upload-Offset"] == "3"
    assert target.server.resident_bytes() - before < 16 * MIB


def test_a_flood_of_heads_leaves_every_byte(attacked: Server) -> None:
    """A8c: HEADs take an upload from its writer, who goes on; not a byte is lost or repeated."""
    upload = new_target(attacked)
    offset, cut = len(STORED), 0
    for _ in range(100):
        if offset == 10:
            break
        with upload.connect() as writer:
            writer.send(upload.head_of_patch(("Content-Length", str(10 - offset)), offset=offset))
            writer.send(MISSING[offset - 3 : offset - 2])
            offset = upload.offset()
            cut += 1
    assert upload.patch(body=MISSING[offset - 3 :], offset=offset).status == 204
    assert upload.file.read_bytes() == STORED + MISSING
    assert cut > 0
    upload.delete()


def test_a_declared_length_takes_no_room(tmp_path: Path) -> None:
    """A88: uploads of 900 TB that nobody sends take no more than their records."""
    with running_server(tmp_path / "data") as server:
        for _ in range(20):
            fields = (V, ("Upload-Length", str(9 * 10**14)))
            with RawConnection(server.port) as connection:
                connection.send(request("POST", "/files/", *fields))
                assert connection.answer().status == 201
        blocks = sum(path.stat().st_blocks for path in server.upload_dir.glob("*"))
    assert blocks * 512 < MIB


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a limit, on the faster parser."""
    with running_server(tmp_path_factory.mktemp("roomy") / "uploads") as server:
        yield server


@pytest.mark.parametrize("where", ["header", "trailer"])
def test_a_large_verified_body_takes_little_memory(roomy: Server, where: str) -> None:
    """A75: a checksummed body is hashed as it passes; memory does not grow with its size.

    A quarter of a gigabyte shows it as well as five would: what is held back is bounded by
    buffers that are far smaller, see docs/reference/limits.md.
    """
    size, piece = 256 * MIB, b"x" * MIB
    digest = hashlib.sha1(usedforsecurity=False)
    for _ in range(size // MIB):
        digest.update(piece)
    checksum = ("Upload-Checksum", "sha1 " + base64.b64encode(digest.digest()).decode())
    upload = new_target(roomy, ("Upload-Length", str(size)), body=b"")
    before, most = roomy.resident_bytes(), 0
    with upload.connect() as connection:
        if where == "header":
            fields = (checksum, ("Content-Length", str(size)))
        else:
            fields = (("Trailer", "Upload-Checksum"), ("Transfer-Encoding", "chunked"))
        connection.send(upload.head_of_patch(*fields, offset=0))
        for _ in range(size // MIB):
            connection.send(piece if where == "header" else b"100000\r\n" + piece + b"\r\n")
            most = max(most, roomy.resident_bytes())
        if where == "trailer":
            connection.send(b"0\r\nUpload-Checksum: " + checksum[1].encode() + b"\r\n\r\n")
        assert connection.answer().status == 204
    assert most - before < 48 * MIB
    upload.delete()


def test_a_log_line_is_one_line_whatever_was_sent(tmp_path: Path) -> None:
    """A46 and A8e: what clients send stands in the log escaped, and never as a line of its own."""
    evil = 'x\r\n{"level":"error","event":"Forged"}\x1b[31m\u202e'
    value = base64.b64encode(evil.encode()).decode()
    with running_server(tmp_path / "data", "--verbose") as server:
        for fields in (
            (V, ("Upload-Length", "1"), ("Upload-Metadata", f"filename {value}")),
            (V, ("Upload-Length", "1"), ("X-Request-ID", '"}\t{"event":"Forged"')),
        ):
            with RawConnection(server.port) as connection:
                connection.send(request("POST", "/files/", *fields))
                assert connection.answer().status == 201
        for path in ("/files/%0d%0aForged", "/files/\u202eForged", '/"},{"event":"Forged"'):
            with RawConnection(server.port) as connection:
                connection.send(head("GET", path))
                assert connection.answer("GET").status in (400, 404)
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert "Forged" not in {line["event"] for line in lines}
    assert server.log.read_text().isprintable() or "\x1b" not in server.log.read_text()


def test_refused_requests_leave_no_descriptor(attacked: Server) -> None:
    """Whatever is refused, cut or abandoned, its files and sockets are closed."""
    upload = new_target(attacked)
    before = descriptors_of(attacked)
    for n in range(100):
        connection = upload.connect()
        body = MISSING if n % 2 else b""
        connection.send(upload.head_of_patch(("Content-Length", "7"), offset=n % 5) + body[:3])
        connection.reset()
    assert_gives_back(attacked, before)
    wait_until(lambda: upload.inspect().status == 200)  # 423 while the last of them leave
    upload.delete()
