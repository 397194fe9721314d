"""What the dashboard is told by a real server, compared with what was done to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.redis_server import free_port, running_redis
from tests.support.server import Server, running_server
from tusd_py import Settings, create_admin_app, create_app

from .test_admin import admin_of, fetch
from .test_metrics import PATCH, V, ask, create, send

ADMIN = ("--admin-listen", "127.0.0.1:0")
PERIODS = ("hour", "day", "week")
WRONG = "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="
SOON_S = 30.0
Stats = Mapping[str, Any]


def stats_of(admin: str, period: str = "hour") -> Stats:
    """What the dashboard shows of a period."""
    status, text = fetch(f"{admin}api/stats?period={period}")
    assert status == 200, text
    found: Stats = json.loads(text)
    return found


def told(admin: str, wanted: Stats, period: str = "hour") -> Stats:
    """The part of the statistics that there is a truth about, once it is told; or the last."""
    return _until(
        lambda: {name: stats_of(admin, period)[name] for name in wanted},
        lambda found: found == wanted,
    )


def live_of(admin: str) -> Stats:
    """What is being received."""
    status, text = fetch(f"{admin}api/live")
    assert status == 200, text
    found: Stats = json.loads(text)
    return found


def _until(look: Callable[[], Stats], good: Callable[[Stats], bool]) -> Stats:
    deadline = time.monotonic() + SOON_S
    while not good(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def begun_body(server: Server, upload_id: str, offset: int, body: bytes) -> Iterator[None]:
    """Send only these bytes of a longer body; break the connection at the end of the context."""
    path = urlsplit(server.url).path + upload_id
    head = "".join(f"{name}: {value}\r\n" for name, value in PATCH.items())
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{head}Upload-Offset: {offset}\r\n"
            f"Content-Length: {len(body) + 1}\r\n\r\n".encode()
            + body
        )
        yield


def send_in_pieces(server: Server, upload_id: str, *pieces: bytes) -> None:
    """Send them over one connection, as clients do."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        offset = 0
        for piece in pieces:
            headers = PATCH | {"Upload-Offset": str(offset)}
            connection.request("PATCH", urlsplit(server.url).path + upload_id, piece, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204
            offset += len(piece)
    finally:
        connection.close()


def patch(server: Server, upload_id: str, offset: int, body: bytes, **more: str) -> int:
    """Status of an ordinary piece."""
    headers = PATCH | {"Upload-Offset": str(offset)} | more
    return ask(server, "PATCH", upload_id, headers, body)


def break_off(server: Server, admin: str, upload_id: str, body: bytes) -> None:
    """Send the beginning of a body, and wait until it is known that no more will come."""

    def broken() -> Stats:
        return {"": stats_of(admin)["interrupted"].get("ERR_UNEXPECTED_EOF", 0)}

    before = broken()[""]
    with begun_body(server, upload_id, 0, body):
        arrived = [{"id": upload_id, "offset": len(body)}]
        assert (
            arrived
            == _until(
                lambda: {
                    "": [
                        {name: row[name] for name in ("id", "offset")}
                        for row in live_of(admin)["uploads"]
                    ]
                },
                lambda found: found[""] == arrived,
            )[""]
        )
    assert _until(broken, lambda found: found[""] == before + 1)


def do_known_work(server: Server, admin: str) -> None:
    """Six uploads: four finished, one of them deleted; one cancelled, one left alone."""
    assert send(server, "POST", "", PATCH | {"Upload-Length": "3"}, b"abc")[0] == 201
    large = create(server, 2_000_000)
    send_in_pieces(server, large, bytes(1_000_000), bytes(1_000_000))
    broken = create(server, 10)
    break_off(server, admin, broken, b"abcd")
    assert patch(server, broken, 4, b"xx", **{"Upload-Checksum": WRONG}) == 460
    assert patch(server, broken, 4, b"efghij") == 204
    cancelled = create(server, 5)
    assert ask(server, "DELETE", cancelled, V) == 204
    deleted = create(server, 0)
    assert ask(server, "DELETE", deleted, V) == 204
    create(server, 7)
    assert ask(server, "HEAD", "unknown", V) == 404
    assert ask(server, "POST", "", {}) == 412


def truth(times: int = 1, *, expired: int = 0) -> Stats:
    """What `do_known_work`, done so many times, and uploads that expired, count as."""
    return {
        "success_rate": 4 * times / (5 * times + expired),
        "totals": {
            "created": 6 * times + expired,
            "finished": 4 * times,
            "cancelled": times,
            "expired": expired,
            "resumed": 2 * times,
            "bytes": (3 + 2_000_000 + 4 + 2 + 6) * times,
            "deleted": times,
            "retired": 0,
            "bodies": 6 * times,
            "requests": 15 * times + expired,
            "lost": 0,
        },
        "interrupted": {"ERR_CHECKSUM_MISMATCH": times, "ERR_UNEXPECTED_EOF": times},
        "refused": {
            "ERR_CHECKSUM_MISMATCH": times,
            "ERR_UNEXPECTED_EOF": times,
            "ERR_UNSUPPORTED_VERSION": times,
            "ERR_UPLOAD_NOT_FOUND": times,
        },
        "sizes": {
            "up_to_bytes": [1024**2 * n for n in (1, 10, 100, 1024, 10240, 102400)],
            "uploads": [3 * times, times, 0, 0, 0, 0, 0],
            "mean_bytes": 2_000_013 / 4,
        },
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_number_is_true_and_survives_restarts(tmp_path: Path, workers: str) -> None:
    """For each period; also after the server was killed, and with what expires afterwards."""
    options = (*ADMIN, "--workers", workers)
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        do_known_work(server, admin)
        for period in PERIODS:
            assert told(admin, truth(), period) == truth()
        durations = stats_of(admin)["durations"]
        assert sum(durations["uploads"]) == 4
        assert durations["mean_s"] > 0
        server.stop(signal.SIGKILL)
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        assert told(admin, truth()) == truth()
        do_known_work(server, admin)
        assert server.stop() == 0  # what was not written down yet is, now
    with running_server(tmp_path / "uploads", *options, "--expire-after", "1s") as server:
        admin = admin_of(server)
        for _ in range(3):
            create(server, 9)
        for period in PERIODS:
            assert told(admin, truth(2, expired=3), period) == truth(2, expired=3)


def test_steps_are_where_the_time_is(tmp_path: Path) -> None:
    """The sums of the steps are the totals, and all of it happened in the last minutes."""
    with running_server(tmp_path / "uploads", *ADMIN) as server:
        admin = admin_of(server)
        do_known_work(server, admin)
        assert told(admin, truth()) == truth()
        for period, count in zip(PERIODS, (60, 144, 168), strict=True):
            stats = stats_of(admin, period)
            steps = stats["steps"]
            assert len(steps) == count
            assert steps[0]["at"] == stats["from"]
            assert steps[-1]["at"] <= stats["now"] < steps[-1]["at"] + stats["step_s"]
            for name in ("created", "finished", "cancelled", "bytes", "resumed"):
                assert sum(step[name] for step in steps) == stats["totals"][name]
            assert sum(step["interrupted"] for step in steps) == 2
            assert sum(step["created"] for step in steps[:-5]) == 0


def test_two_nodes_have_one_history(tmp_path: Path) -> None:
    """Each of them tells of both, and so does a third that comes later."""
    with running_redis() as redis:
        options = (*ADMIN, "--redis-url", redis.url)
        with (
            running_server(tmp_path / "uploads", *options) as one,
            running_server(tmp_path / "uploads", *options) as two,
        ):
            admins = admin_of(one), admin_of(two)
            for server, admin in zip((one, two), reversed(admins), strict=True):
                do_known_work(server, admin)  # what one does is seen at the other
            for admin in admins:
                assert told(admin, truth(2)) == truth(2)
        with running_server(tmp_path / "uploads", *options) as server:
            assert told(admin_of(server), truth(2)) == truth(2)


def test_a_history_that_cannot_be_written_holds_up_nothing(tmp_path: Path) -> None:
    """Without Redis the dashboard says so; once it is there again, nothing is missing."""
    with running_redis() as redis:
        options = (*ADMIN, "--redis-url", redis.url, "--redis-timeout", "0.2s")
        with running_server(tmp_path / "uploads", *options) as server:
            admin = admin_of(server)
            assert send(server, "POST", "", PATCH | {"Upload-Length": "3"}, b"abc")[0] == 201
            redis.kill()
            assert send(server, "POST", "", PATCH | {"Upload-Length": "3"}, b"abc")[0] == 503
            assert fetch(f"{admin}api/stats")[0] == 503
            assert live_of(admin)["whole"] is False
            redis.start()
            # What Redis had is lost with it here; what waited for it is not.
            wanted = {"ERR_STORE_UNAVAILABLE": 1}
            assert told(admin, {"refused": wanted}) == {"refused": wanted}
            assert live_of(admin)["whole"] is True


def test_every_worker_sees_what_all_receive(tmp_path: Path) -> None:
    """Whichever of them is asked; and nobody when it is over."""
    with running_server(tmp_path / "uploads", *ADMIN, "--workers", "2") as server:
        admin = admin_of(server)
        named = V | {"Upload-Length": "9", "Upload-Metadata": "filename Zmlsbd8="}
        ids = [send(server, "POST", "", named)[1] for _ in range(4)]
        with contextlib.ExitStack() as bodies:
            for upload_id in ids:
                bodies.enter_context(begun_body(server, upload_id, 0, b"abc"))
            told_all = {"count": 4, "offsets": [3] * 4, "ids": sorted(ids)}
            for _ in range(12):  # each on a connection of its own, so to either of them
                assert _until(lambda: seen_at(admin), lambda found: found == told_all) == told_all
            rows = [(9, None, None)] * 4
            assert (
                _until(lambda: {"": described(admin)}, lambda found: found[""] == rows)[""] == rows
            )
        assert _until(lambda: seen_at(admin), lambda found: found["count"] == 0)["ids"] == []


def seen_at(admin: str) -> Stats:
    """What is received, without what depends on the time."""
    live = live_of(admin)
    return {
        "count": live["count"],
        "offsets": [row["offset"] for row in live["uploads"]],
        "ids": sorted(row["id"] for row in live["uploads"]),
    }


def described(admin: str) -> list[tuple[object, ...]]:
    """What is told of each upload that is received."""
    return [(row["length"], row["owner"], row["name"]) for row in live_of(admin)["uploads"]]


def test_live_uploads_come_as_a_stream_of_events(tmp_path: Path) -> None:
    """Each of them is the whole picture; the stream does not hold up the end of the server."""
    with running_server(tmp_path / "uploads", *ADMIN) as server:
        admin = urlsplit(admin_of(server))
        connection = http.client.HTTPConnection(admin.netloc, timeout=20)
        connection.request("GET", "/api/live", headers={"Accept": "text/event-stream"})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        upload_id = create(server, 9)
        with begun_body(server, upload_id, 0, b"abc"):
            for _ in range(20):
                line = answer.readline()
                assert line.startswith(b"data: ")
                assert answer.readline() == b"\n"
                live = json.loads(line.removeprefix(b"data: "))
                if live["count"]:
                    break
            assert live["uploads"][0]["id"] == upload_id
            assert server.stop() == 0
        connection.close()


def test_hooks_that_fail_and_those_that_wait_are_told(tmp_path: Path) -> None:
    """By their type, and how many there are."""
    nobody = f"http://127.0.0.1:{free_port()}/"
    hooks = ("--hooks-http", nobody, "--hooks-enabled-events", "post-finish")
    with running_server(tmp_path / "uploads", *ADMIN, *hooks, "--hooks-http-retry", "1") as server:
        admin = admin_of(server)
        assert send(server, "POST", "", PATCH | {"Upload-Length": "3"}, b"abc")[0] == 201
        failed = _until(lambda: stats_of(admin)["hook_errors"], bool)
        assert list(failed) == ["post-finish"]
        outbox = json.loads(fetch(f"{admin}readyz")[1])["checks"]["outbox"]
        assert (outbox["pending"], outbox["given_up"]) == (1, 0)


def test_a_history_is_kept_if_it_is_wanted(tmp_path: Path) -> None:
    """Without an admin listener there is none, unless somebody wants it; and it can be off."""
    file = Path(".tusd_py", "history.sqlite")
    for name, options, kept in (
        ("a", (), False),
        ("b", ("--history", "on"), True),
        ("c", ADMIN, True),
        ("d", (*ADMIN, "--history", "off"), False),
    ):
        with running_server(tmp_path / name, *options) as server:
            create(server, 3)
            if options == (*ADMIN, "--history", "off"):
                assert fetch(f"{admin_of(server)}api/stats")[0] == 404
            assert server.stop() == 0
        assert (tmp_path / name / file).exists() is kept


def test_an_unknown_period_is_an_error(tmp_path: Path) -> None:
    """Told as every error is."""
    with running_server(tmp_path / "uploads", *ADMIN) as server:
        status, text = fetch(f"{admin_of(server)}api/stats?period=year")
        assert status == 400
        assert text == "ERR_BAD_REQUEST: period must be one of hour, day, week.\n"


async def test_an_application_of_ones_own_has_it_too(
    aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    """Where it is mounted, and if a history is wanted."""
    uploads = create_app(Settings(upload_dir=tmp_path / "uploads", history="on"))
    app = web.Application()
    app.add_subapp("/files/", uploads)
    app.add_subapp("/staff/uploads/", create_admin_app(uploads))
    client = await aiohttp_client(app)
    headers = PATCH | {"Upload-Length": "3"}
    async with client.post("/files/", headers=headers, data=b"abc") as answer:
        assert answer.status == 201
    async with client.get("/staff/uploads/api/stats") as answer:
        found = await answer.json()
    assert (found["totals"]["finished"], found["totals"]["bytes"]) == (1, 3)
