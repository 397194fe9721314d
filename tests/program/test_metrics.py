"""Metrics of a real server, compared with what was done to it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server

from .test_admin import admin_of, fetch

V = {"Tus-Resumable": "1.0.0"}
PATCH = V | {"Content-Type": "application/offset+octet-stream"}
SOON_S = 15.0
Numbers = dict[tuple[str, ...], float]


def numbers_of(page: str) -> Numbers:
    """Every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def scrape(admin: str) -> Numbers:
    """What Prometheus would get."""
    status, page = fetch(f"{admin}metrics")
    assert status == 200
    return numbers_of(page)


def scraped(admin: str, wanted: Callable[[Numbers], bool]) -> Numbers:
    """The first numbers that are as wanted; or the last before patience ends."""
    deadline = time.monotonic() + SOON_S
    while not wanted(numbers := scrape(admin)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return numbers


def ask(server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
    """Status of a request on a connection of its own; `path` is below the creation URL."""
    return send(server, method, path, headers, body)[0]


def send(
    server: Server, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, str]:
    """Status and the id in Location."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request(method, urlsplit(server.url).path + path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, (answer.getheader("Location") or "").rpartition("/")[2]
    finally:
        connection.close()


def create(server: Server, length: int) -> str:
    """Id of a new upload."""
    status, upload_id = send(server, "POST", "", V | {"Upload-Length": str(length)})
    assert status == 201
    return upload_id


def do_known_work(server: Server) -> None:
    """Three uploads: one in two pieces, one whole with its creation, one cancelled; and errors."""
    first = create(server, 10)
    assert ask(server, "PATCH", first, PATCH | {"Upload-Offset": "0"}, b"abcd") == 204
    wrong = base64.b64encode(hashlib.sha1(b"other").digest()).decode()  # noqa: S324 - tus has it
    checksum = {"Upload-Offset": "4", "Upload-Checksum": f"sha1 {wrong}"}
    assert ask(server, "PATCH", first, PATCH | checksum, b"xyz") == 460
    assert ask(server, "PATCH", first, PATCH | {"Upload-Offset": "4"}, b"efghij") == 204
    whole = PATCH | {"Upload-Length": "3"}
    assert ask(server, "POST", "", whole, b"abc") == 201
    cancelled = create(server, 5)
    assert ask(server, "DELETE", cancelled, V) == 204
    assert ask(server, "HEAD", cancelled, V) == 404
    assert ask(server, "PATCH", first, PATCH | {"Upload-Offset": "3"}, b"x") in (403, 409)
    assert ask(server, "GET", first, {}) == 200
    assert ask(server, "PUT", first, V) == 405


def truth(times: int) -> Numbers:
    """What `do_known_work`, done so many times, has to be counted as."""
    return {
        name: float(times * number)
        for name, number in {
            ("tusd_requests_total", "POST"): 3,
            ("tusd_requests_total", "PATCH"): 4,
            ("tusd_requests_total", "HEAD"): 1,
            ("tusd_requests_total", "GET"): 1,
            ("tusd_requests_total", "DELETE"): 1,
            ("tusd_requests_total", "OPTIONS"): 0,
            ("tusd_requests_total", "other"): 1,
            ("tusd_errors_total", "ERR_CHECKSUM_MISMATCH", "460"): 1,
            ("tusd_errors_total", "ERR_UPLOAD_NOT_FOUND", "404"): 1,
            ("tusd_errors_total", "ERR_METHOD_NOT_ALLOWED", "405"): 1,
            ("tusd_bytes_received",): 4 + 3 + 6 + 3,
            ("tusd_uploads_created",): 3,
            ("tusd_uploads_finished",): 2,
            ("tusd_uploads_terminated",): 1,
            ("tusd_py_uploads_cancelled_total",): 1,
            ("tusd_py_uploads_expired_total",): 0,
            ("tusd_py_checksum_mismatches_total",): 1,
            ("tusd_py_resumptions_total",): 1,
            ("tusd_py_bodies_total", "ok"): 3,
            ("tusd_py_bodies_total", "ERR_CHECKSUM_MISMATCH"): 1,
            ("tusd_py_upload_size_bytes_sum",): 13,
            ("tusd_py_upload_size_bytes_count",): 2,
            ("tusd_py_upload_resumptions_sum",): 1,
            ("tusd_py_upload_duration_seconds_count",): 2,
            ("tusd_py_request_duration_seconds_count", "PATCH"): 4,
            ("tusd_py_request_duration_seconds_bucket", "+Inf", "POST"): 3,
            ("tusd_py_claim_wait_seconds_count", "no"): 0,
        }.items()
    }


def of_interest(numbers: Numbers, wanted: Numbers) -> Numbers:
    """Those numbers that there is a truth about."""
    return {name: numbers.get(name, -1.0) for name in wanted}


def counted(admin: str, wanted: Numbers) -> Numbers:
    """The numbers once they are as wanted: a download counts a moment after its last byte."""
    return scraped(admin, lambda numbers: of_interest(numbers, wanted) == wanted)


def test_every_number_is_true(tmp_path: Path) -> None:
    """After known work each counter has counted exactly that."""
    with running_server(tmp_path / "uploads", "--admin-listen", "127.0.0.1:0") as server:
        admin = admin_of(server)
        before = scrape(admin)
        assert {before.get(name, 0.0) for name in truth(1)} == {0.0}
        do_known_work(server)
        wanted = truth(1)
        numbers = scraped(admin, lambda n: n[("tusd_py_bodies_running",)] == 0)
        assert of_interest(numbers, wanted) == wanted
        assert numbers[("tusd_py_workers",)] == 1
        assert numbers[("process_resident_memory_bytes",)] > 0
        assert numbers[("tusd_py_file_work_seconds_count", "short")] > 0


def test_two_workers_count_as_one_and_a_killed_one_is_not_forgotten(tmp_path: Path) -> None:
    """Whoever answers tells the numbers of all; those of the dead stay, but not its gauges."""
    options = ("--admin-listen", "127.0.0.1:0", "--workers", "2")
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        scraped(admin, lambda n: n[("tusd_py_workers",)] == 2)
        do_known_work(server)
        do_known_work(server)
        wanted = truth(2)
        # How often an upload was resumed is known to one process only.
        by_process = {("tusd_py_resumptions_total",), ("tusd_py_upload_resumptions_sum",)}
        wanted = {name: n for name, n in wanted.items() if name not in by_process}
        assert of_interest(counted(admin, wanted), wanted) == wanted
        workers = psutil.Process(server.process.pid).children()
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        numbers = scraped(admin, lambda n: n[("tusd_py_workers",)] == 2)
        assert of_interest(numbers, wanted) == wanted
        do_known_work(server)
        wanted = {name: n for name, n in truth(3).items() if name in wanted}
        assert of_interest(counted(admin, wanted), wanted) == wanted
        assert server.stop() == 0


def test_a_running_body_and_an_interrupted_one_are_seen(tmp_path: Path) -> None:
    """As a gauge while it runs, as an error of its cause when it was cut, as a resumption then."""
    with running_server(tmp_path / "uploads", "--admin-listen", "127.0.0.1:0") as server:
        admin = admin_of(server)
        upload_id = create(server, 8)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("PATCH", urlsplit(server.url).path + upload_id)
        for name, value in (PATCH | {"Upload-Offset": "0", "Content-Length": "8"}).items():
            connection.putheader(name, value)
        connection.endheaders(b"abcd")
        running = scraped(admin, lambda n: n[("tusd_py_bodies_running",)] == 1)
        assert running[("tusd_py_bodies_running",)] == 1
        assert running[("tusd_connections_open",)] == 1
        connection.close()
        cut = ("tusd_py_bodies_total", "ERR_UNEXPECTED_EOF")
        numbers = scraped(admin, lambda n: n[cut] == 1 and n[("tusd_connections_open",)] == 0)
        assert (numbers[cut], numbers[("tusd_connections_open",)]) == (1, 0)
        assert numbers[("tusd_py_bodies_running",)] == 0
        assert ask(server, "PATCH", upload_id, PATCH | {"Upload-Offset": "4"}, b"efgh") == 204
        numbers = scrape(admin)
        assert numbers[("tusd_py_resumptions_total",)] == 1
        assert numbers[("tusd_py_upload_resumptions_sum",)] == 1


@pytest.mark.parametrize(
    ("options", "path", "status"),
    [
        ((), "/metrics", 404),
        (("--expose-metrics",), "/metrics", 200),
        (("--expose-metrics", "--metrics-path", "/numbers"), "/numbers", 200),
        (("--expose-metrics", "--base-path", "/"), "/metrics", 200),
    ],
)
def test_the_port_of_uploads_shows_metrics_only_when_asked(
    tmp_path: Path, options: tuple[str, ...], path: str, status: int
) -> None:
    """As tusd does by default, and we do not."""
    with running_server(tmp_path / "uploads", *options) as server:
        found, page = fetch(f"http://127.0.0.1:{server.port}{path}")
        assert found == status
        assert ("tusd_requests_total" in page) is (status == 200)
        do_known_work(server)


def test_openmetrics_is_spoken_to_who_asks_for_it(tmp_path: Path) -> None:
    """Prometheus prefers that format; the numbers are the same."""
    with running_server(tmp_path / "uploads", "--admin-listen", "127.0.0.1:0") as server:
        parts = urlsplit(admin_of(server))
        connection = http.client.HTTPConnection(parts.netloc, timeout=20)
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        connection.request("GET", "/metrics", headers=accept)
        answer = connection.getresponse()
        page = answer.read().decode()
        connection.close()
        assert (answer.getheader("Content-Type") or "").startswith("application/openmetrics-text")
        assert page.endswith("# EOF\n")


def test_redis_and_what_expires_are_seen(tmp_path: Path) -> None:
    """How long answers of Redis took, and uploads that the janitor removed."""
    with running_redis() as redis:
        options = ("--admin-listen", "127.0.0.1:0", "--redis-url", redis.url)
        with running_server(tmp_path / "uploads", *options, "--expire-after", "1s") as server:
            admin = admin_of(server)
            create(server, 3)
            numbers = scraped(admin, lambda n: n[("tusd_py_uploads_expired_total",)] == 1)
            assert numbers[("tusd_py_uploads_expired_total",)] == 1
            assert numbers[("tusd_py_redis_seconds_count",)] > 0
            assert numbers[("tusd_py_redis_claims_total", "lost")] == 0


def test_hooks_are_counted(tmp_path: Path) -> None:
    """Those that are asked and those that are told; and events that could not be told wait."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name, code in (("pre-create", 0), ("post-create", 1)):
        (hooks / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (hooks / name).chmod(0o755)
    options = ("--admin-listen", "127.0.0.1:0", "--hooks-dir", str(hooks))
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        create(server, 3)
        failed = ("tusd_hook_errors_total", "post-create")
        numbers = scraped(admin, lambda n: n[failed] >= 1)
        assert numbers[failed] >= 1
        assert numbers[("tusd_hook_invocations_total", "pre-create")] == 1
        assert numbers[("tusd_hook_errors_total", "pre-create")] == 0
        assert numbers[("tusd_py_hook_duration_seconds_count", "pre-create")] == 1
