"""Redis fails in every way it can, under a server that goes on by itself when it is back."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis.exceptions

from tests.support.raw_http import Answer, exchange, request
from tests.support.redis_server import RedisServer, running_redis
from tests.support.server import Server, running_server
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.target import TYPE, V

from .conftest import needs_root

DISK_BYTES = 8 * 1024 * 1024
PATIENCE_S = 20.0
CONTENT = b"0123456789"
ACKNOWLEDGED = 4
CUT_BYTES = 7


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server, its Redis, and the disk that Redis writes to."""

    server: Server
    redis: RedisServer
    disk: SmallDisk

    def ask(self, method: str, path: str, *fields: tuple[str, str], body: bytes = b"") -> Answer:
        """Send a request; return the answer."""
        data = request(method, path, V, *fields, body=body)
        return exchange(self.server.port, data, method)

    def create(self) -> str:
        """POST; return the path."""
        answer = self.ask("POST", "/files/", ("Upload-Length", str(len(CONTENT))))
        assert answer.status == 201
        return "/files/" + answer.headers["Location"].rpartition("/")[2]

    def patch(self, path: str, start: int, stop: int) -> Answer:
        """PATCH some of the content."""
        return self.ask(
            "PATCH", path, TYPE, ("Upload-Offset", str(start)), body=CONTENT[start:stop]
        )

    @property
    def journal(self) -> Path:
        """The append-only file."""
        return max((self.disk.path / "appendonlydir").glob("*.incr.aof"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose Redis keeps its data as the documentation wants it."""
    needs_root()
    folder = tmp_path_factory.mktemp("site")
    with (
        small_disk(folder / "disk", DISK_BYTES) as disk,
        running_redis("--appendonly", "yes", "--dir", str(disk.path)) as redis,
        running_server(
            folder / "uploads", "--redis-url", redis.url, "--redis-timeout", "0.2"
        ) as server,
    ):
        yield Site(server=server, redis=redis, disk=disk)


# --- what may happen to Redis, and what makes it good; see docs/howto/redis-trouble.md


def wait_refused(site: Site, word: str) -> None:
    """Write until Redis refuses it with this word."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            site.redis.ask("SET", "other", "x")
        except redis.exceptions.RedisError as error:
            assert word in str(error)  # noqa: PT017 - the last of many
            return
        time.sleep(0.02)
    raise AssertionError(f"Redis never said {word}")


def settings(**values: str | int) -> Callable[[Site], None]:
    """Return what sets settings of Redis."""

    def change(site: Site) -> None:
        for name, value in values.items():
            site.redis.ask("CONFIG", "SET", name.replace("_", "-"), value)

    return change


def command(*words: str | int) -> Callable[[Site], None]:
    """Return what sends Redis a command."""

    def send(site: Site) -> None:
        site.redis.ask(*words)

    return send


def kill(site: Site) -> None:
    """As the kernel does when there is no memory."""
    site.redis.kill()


def start(site: Site) -> None:
    """Start it with what is on its disk."""
    site.redis.start()


def fill_under_journal(site: Site) -> None:
    """Nothing can be written into the append-only file."""
    site.disk.fill()
    wait_refused(site, "MISCONF")


def fill_under_snapshot(site: Site) -> None:
    """No snapshot can be written."""
    settings(save="3600 1", appendonly="no")(site)
    site.disk.fill()
    with contextlib.suppress(redis.exceptions.ResponseError):
        site.redis.ask("BGSAVE")
    wait_refused(site, "MISCONF")


def free_under_snapshot(site: Site) -> None:
    """Snapshots can be written again, and one is."""
    site.disk.free()
    site.redis.ask("SAVE")
    settings(save="", appendonly="yes")(site)


def free(site: Site) -> None:
    """There is room again."""
    site.disk.free()


def fill_and_give_up(site: Site) -> None:
    """With ``appendfsync always`` Redis ends itself when it cannot write."""
    settings(appendfsync="always")(site)
    site.disk.fill()
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(redis.exceptions.RedisError):
        while time.monotonic() < deadline:
            site.redis.ask("SET", "other", "x" * 4096)
    site.redis.wait()


def start_with_room(site: Site) -> None:
    """Start it after that."""
    site.disk.free()
    site.redis.start()


def cut_tail(site: Site) -> None:
    """A crash has kept the end of the append-only file from the disk."""
    site.redis.kill()
    with site.journal.open("r+b") as file:
        file.truncate(site.journal.stat().st_size - CUT_BYTES)


def damage_middle(site: Site) -> None:
    """Redis does not start any more."""
    site.redis.kill()
    content = site.journal.read_bytes()
    begin = content.index(b"\r\n*", len(content) // 2) + 2  # of a command
    site.journal.write_bytes(content[:begin] + b"\xff" * 64 + content[begin + 64 :])
    with pytest.raises(AssertionError, match="redis-check-aof --fix"):
        site.redis.start()


def fix_journal(site: Site) -> None:
    """As the runbook says."""
    (manifest,) = (site.disk.path / "appendonlydir").glob("*.manifest")
    check = ["redis-check-aof", "--fix", str(manifest)]
    subprocess.run(check, input="y\n", text=True, check=True, capture_output=True)
    site.redis.start()


def start_empty(site: Site) -> None:
    """As the runbook says when that does not help."""
    shutil.rmtree(site.disk.path / "appendonlydir")
    site.redis.start()


Step = Callable[[Site], None]

FAULTS: dict[str, tuple[Step, Step]] = {
    "killed": (kill, start),
    "hanging": (lambda site: site.redis.pause(), lambda site: site.redis.resume()),
    "journal without room": (fill_under_journal, free),
    "snapshot without room": (fill_under_snapshot, free_under_snapshot),
    "gave up without room": (fill_and_give_up, start_with_room),
    "no memory": (settings(maxmemory=1), settings(maxmemory=0)),
    "no replicas": (settings(min_replicas_to_write=1), settings(min_replicas_to_write=0)),
    "read-only": (command("REPLICAOF", "127.0.0.1", 1), command("REPLICAOF", "NO", "ONE")),
    "forbidden": (
        command("ACL", "SETUSER", "default", "-evalsha", "-eval"),
        command("ACL", "SETUSER", "default", "+@all"),
    ),
    "tail lost": (cut_tail, start),
    "middle damaged": (damage_middle, fix_journal),
    "beyond repair": (damage_middle, start_empty),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_redis_fails(site: Site, fault: str) -> None:
    """F40, F45, F49: 503, and 423 for HEAD; when Redis is back all is there, and goes on."""
    begin, end = FAULTS[fault]
    whole, path = site.create(), site.create()
    assert site.patch(whole, 0, len(CONTENT)).status == 204
    assert site.patch(path, 0, ACKNOWLEDGED).status == 204
    try:
        begin(site)
        assert site.ask("HEAD", path).status == 423
        assert site.patch(path, ACKNOWLEDGED, len(CONTENT)).status == 503
        assert site.ask("POST", "/files/", ("Upload-Length", "10")).status == 503
        assert site.ask("POST", "/files/", TYPE, ("Upload-Length", "3"), body=b"abc").status == 503
        assert site.ask("DELETE", path).status == 503
        assert site.ask("HEAD", whole).status in (200, 423)
        assert site.ask("GET", whole).status in (200, 503)
    finally:
        end(site)
    assert_goes_on(site, path)
    assert site.ask("GET", whole).body == CONTENT


def assert_goes_on(site: Site, path: str) -> None:
    """What was acknowledged is there as soon as there is an answer, and the rest can follow."""
    deadline = time.monotonic() + PATIENCE_S
    while (asked := site.ask("HEAD", path)).status == 423:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (asked.status, asked.headers["Upload-Offset"]) == (200, str(ACKNOWLEDGED))
    assert site.patch(path, ACKNOWLEDGED, len(CONTENT)).status == 204
    assert site.ask("GET", path).body == CONTENT
    assert site.server.process.poll() is None


def test_another_program_uses_the_key(site: Site) -> None:
    """F45: WRONGTYPE concerns one upload; without the foreign key its record is rebuilt."""
    path, other = site.create(), site.create()
    assert site.patch(path, 0, ACKNOWLEDGED).status == 204
    key = f"tusd-py:{{{path.rpartition('/')[2]}}}"
    site.redis.ask("DEL", key)
    site.redis.ask("SET", key, "mine")
    assert site.ask("HEAD", path).status == 423
    assert site.patch(path, ACKNOWLEDGED, len(CONTENT)).status == 503
    assert site.ask("DELETE", path).status == 503
    assert site.patch(other, 0, len(CONTENT)).status == 204
    site.redis.ask("DEL", key)
    assert_goes_on(site, path)


def test_nothing_is_left_of_what_failed(site: Site) -> None:
    """Small uploads that were refused above have left neither bytes nor records."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        names = {path.name for path in site.server.upload_dir.iterdir() if path.is_file()}
        ids = {re.split(r"[.,]", name)[0] for name in names}
        known = {key[len("tusd-py:{") : -1] for key in site.redis.ask("KEYS", "tusd-py:{[^,]*}")}
        without_bytes = {one for one in ids if not names & {one} and f"{one}," not in str(names)}
        if not without_bytes and known <= ids:
            return
        assert time.monotonic() < deadline, (without_bytes, known - ids)
        time.sleep(0.05)
