"""Limits as clients of real servers meet them: two owners, several workers, nodes, and crashes."""

from __future__ import annotations

import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.raw_http import Answer, RawConnection, exchange, head, request
from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server
from tests.support.waiting import wait_until

TUS = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", "application/offset+octet-stream")
KIB = 1024
TOKENS = """
[[token]]
owner = "anna"
token = "anna-anna-anna-anna"

[[token]]
owner = "berta"
token = "berta-berta-berta-berta"
open_uploads = 3
total_bytes = "1 KiB"
"""


def bears(name: str) -> tuple[str, str]:
    """The header with the token of an owner."""
    return ("Authorization", f"Bearer {'-'.join([name] * 4)}")


def create(server: Server, length: int, *fields: tuple[str, str], body: bytes = b"") -> Answer:
    """POST."""
    more = (TUS, ("Upload-Length", str(length)), *([TYPE] if body else []), *fields)
    return exchange(server.port, request("POST", "/files/", *more, body=body))


def path_of(answer: Answer) -> str:
    """The path of what was created."""
    assert answer.status == 201
    return "/files/" + answer.headers["Location"].rpartition("/")[2]


def patch(server: Server, path: str, body: bytes, *fields: tuple[str, str]) -> Answer:
    """PATCH from the beginning."""
    more = (TUS, TYPE, ("Upload-Offset", "0"), *fields)
    return exchange(server.port, request("PATCH", path, *more, body=body), "PATCH")


def storm(servers: list[Server], count: int, *fields: tuple[str, str]) -> list[int]:
    """Create as many uploads at once, on all servers; return the statuses."""
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda number: create(servers[number % len(servers)], 1, *fields).status, range(count)
        )
        return sorted(answers)


def test_two_owners(tmp_path: Path) -> None:
    """One has the server's limit, one their own; neither takes the other's room."""
    (tmp_path / "tokens.toml").write_text(TOKENS)
    tokens = ("--auth-tokens-file", str(tmp_path / "tokens.toml"))
    with running_server(tmp_path / "data", *tokens, "--owner-max-open-uploads", "1") as server:
        anna, berta = bears("anna"), bears("berta")
        mine = path_of(create(server, 3, anna))
        refused = create(server, 3, anna)
        assert (refused.status, refused.headers["Retry-After"]) == (423, "5")
        assert refused.text.startswith("ERR_TOO_MANY_UPLOADS: you have as many")
        assert [create(server, 100, berta).status for _ in range(4)] == [201, 201, 201, 423]
        assert patch(server, mine, b"abc", anna).status == 204
        assert create(server, 3, anna).status == 201
        assert storm([server], 8, anna) == [423] * 8


def test_bytes_are_refused_before_they_come(tmp_path: Path) -> None:
    """Without 100 Continue, in a POST as in a PATCH; HEAD and DELETE are as always."""
    with running_server(tmp_path / "data", "--owner-max-total-bytes", "1KiB") as server:
        waits = ("Expect", "100-continue")
        too_much = create(server, 2000, waits, body=b"x" * 100)
        assert (too_much.status, too_much.interim) == (413, ())
        assert too_much.text.startswith("ERR_QUOTA_EXCEEDED: your uploads may have 1024 more")
        fields = (TUS, ("Upload-Defer-Length", "1"))
        deferred = path_of(exchange(server.port, request("POST", "/files/", *fields)))
        too_much = patch(server, deferred, b"x" * 2000, waits)
        assert (too_much.status, too_much.interim) == (413, ())
        assert patch(server, deferred, b"x" * 1000).status == 204
        assert create(server, 100).status == 413
        found = exchange(server.port, request("HEAD", deferred, TUS), "HEAD")
        assert (found.status, found.headers["Upload-Offset"]) == (200, "1000")
        assert exchange(server.port, request("DELETE", deferred, TUS), "DELETE").status == 204
        assert create(server, 1024).status == 201


def test_a_full_volume(tmp_path: Path) -> None:
    """507 for what would take more of it; what is there can be asked for and removed."""
    data = tmp_path / "data"
    with running_server(data) as server:
        path = path_of(create(server, 3))
    with running_server(data, "--min-free-space", "1000TB") as server:
        for answer in (create(server, 3), patch(server, path, b"abc")):
            assert answer.status == 507
            assert answer.text.startswith("ERR_INSUFFICIENT_STORAGE: ")
        assert exchange(server.port, request("HEAD", path, TUS), "HEAD").status == 200
        assert exchange(server.port, request("DELETE", path, TUS), "DELETE").status == 204


def test_creations_a_minute(tmp_path: Path) -> None:
    """The answer says when there may be another one."""
    with running_server(tmp_path / "data", "--owner-max-uploads-per-minute", "2") as server:
        assert [create(server, 0).status for _ in range(2)] == [201, 201]
        refused = create(server, 0)
        assert refused.status == 423
        assert refused.text.startswith("ERR_TOO_MANY_CREATIONS: ")
        assert 1 <= int(refused.headers["Retry-After"]) <= 30


def test_workers_share_the_counts(tmp_path: Path) -> None:
    """A storm on two processes: as many get in as may."""
    options = ("--workers", "2", "--max-open-uploads", "5")
    with running_server(tmp_path / "data", *options) as server:
        assert storm([server], 40) == [201] * 5 + [423] * 35


def test_nodes_share_the_counts(tmp_path: Path) -> None:
    """A storm on two nodes with one Redis; what ends on one makes room on the other."""
    with running_redis() as redis:
        options = ("--redis-url", redis.url, "--owner-max-open-uploads", "5")
        with (
            running_server(tmp_path / "data", *options) as a,
            running_server(tmp_path / "data", *options) as b,
        ):
            assert storm([a, b], 40) == [201] * 5 + [423] * 35
            one = next(path for path in (tmp_path / "data").glob("*.info"))
            path = f"/files/{one.name.removesuffix('.info')}"
            assert exchange(a.port, request("DELETE", path, TUS), "DELETE").status == 204
            assert storm([b], 3) == [201, 423, 423]


def test_counts_are_right_after_a_crash(tmp_path: Path) -> None:
    """Whatever became of the ledger or the uploads meanwhile, the records say what counts."""
    data, options = tmp_path / "data", ("--owner-max-open-uploads", "1")
    with running_server(data, *options) as server:
        upload_id = path_of(create(server, 3)).rpartition("/")[2]
        server.stop(signal.SIGKILL)
    (ledger,) = data.glob("**/quotas.sqlite")
    for file in data.glob("**/quotas.sqlite*"):
        file.unlink()
    with running_server(data, *options) as server:
        wait_until(lambda: accounts(ledger) == [upload_id])
        assert create(server, 3).status == 423
        server.stop(signal.SIGKILL)
    for file in data.glob(f"{upload_id}*"):
        file.unlink()
    with sqlite3.connect(ledger) as connection:
        connection.execute("UPDATE accounts SET entered_at = 0")  # as if it were long ago
    connection.close()
    with running_server(data, *options) as server:
        wait_until(lambda: accounts(ledger) == [])
        assert create(server, 3).status == 201


def accounts(ledger: Path) -> list[str]:
    """What is counted."""
    connection = sqlite3.connect(ledger)
    try:
        return [upload_id for (upload_id,) in connection.execute("SELECT upload_id FROM accounts")]
    finally:
        connection.close()


def test_a_client_is_not_blamed_for_our_slowness(tmp_path: Path) -> None:
    """Its bytes wait for longer than it may be silent, and come far slower than it must be."""
    options = ["--upload-max-bytes-per-second", "256KiB", "--network-timeout", "1"]
    options += ["--min-body-rate", "100MiB"]
    assert_takes(tmp_path / "data", KIB * KIB, *options)


@pytest.mark.parametrize("rate", ["15MiB", "20MiB"])
def test_rates_on_both_lanes(tmp_path: Path, rate: str) -> None:
    """A high one leaves large bodies the fast lane; nothing is lost, nor out of order."""
    assert_takes(tmp_path / "data", 24 * KIB * KIB, "--max-bytes-per-second", rate)


def assert_takes(directory: Path, size: int, *options: str) -> None:
    """A body of that size comes whole."""
    content = os.urandom(size)
    with running_server(directory, *options) as server:
        path = path_of(create(server, size))
        assert patch(server, path, content).status == 204
        assert (directory / path.rpartition("/")[2]).read_bytes() == content


def test_a_slowed_body_gives_way(tmp_path: Path) -> None:
    """A HEAD does not wait until its bytes have had their time, and finds what has come."""
    options = ("--upload-max-bytes-per-second", "100")
    content = b"x" * 100 * KIB
    with running_server(tmp_path / "data", *options) as server:
        path = path_of(create(server, len(content)))
        with RawConnection(server.port) as connection:
            length = ("Content-Length", str(len(content)))
            fields = (TUS, TYPE, ("Upload-Offset", "0"), length, ("Expect", "100-continue"))
            connection.send(head("PATCH", path, *fields))
            assert connection._head()[1] == 100
            connection.send(content[:-1])
            found = exchange(server.port, request("HEAD", path, TUS), "HEAD")
            assert found.status == 200
            assert int(found.headers["Upload-Offset"]) > 0
            assert connection.answer("PATCH").status == 423
