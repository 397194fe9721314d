"""Three nodes, one Redis and stubborn clients, while all of them are hit at random.

``STORM_SEED`` in the environment chooses another storm than the usual one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.nodes import Node, running_nodes
from tests.support.raw_http import Answer, NoAnswer, RawConnection, exchange, head, request
from tests.support.redis_server import RedisServer, running_redis
from tests.support.target import TYPE, V, errors_in

SEED = int(os.environ.get("STORM_SEED", "1"))
NODES = 3
UPLOADS = 3
RIVALS = 2  # clients of each upload
LEASE_S = 1.0
STORM_S = 8.0
CALM_S = 0.3  # between two blows
PATIENCE_S = 60.0  # after the storm
CLIENT_TIMEOUT_S = 1.5  # then a client turns to another node
KIB = 1024
LONGEST = 512 * KIB  # of what a client sends at once
PIECE = 16 * KIB
PACE_S = 0.004  # between pieces
FAULTS_OF_NOBODY = {200, 204, 409, 423, 503}  # what clients may be told


@dataclass(frozen=True, slots=True)
class Told:
    """An offset that a client was told, by a request that ran from `began` to `ended`."""

    began: float
    ended: float
    offset: int


@dataclass(slots=True)
class Shared:
    """An upload, and all that its clients were told."""

    path: str
    content: bytes
    history: list[Told] = field(default_factory=list)
    statuses: Counter[int | None] = field(default_factory=Counter)

    def check(self) -> None:
        """Check that no offset is lower than any that was told before it was asked for."""
        by_end = sorted(self.history, key=lambda told: told.ended)
        acknowledged, before = 0, iter(by_end)
        nearest = next(before, None)
        for told in sorted(self.history, key=lambda told: told.began):
            while nearest is not None and nearest.ended < told.began:
                acknowledged = max(acknowledged, nearest.offset)
                nearest = next(before, None)
            assert told.offset >= acknowledged, f"{self.path} went back to {told} "
        assert set(self.statuses) <= FAULTS_OF_NOBODY | {None}, self.statuses


class Client:
    """Appends to an upload through any node, and asks for the offset when it is in doubt."""

    def __init__(
        self, shared: Shared, ports: Sequence[int], chance: random.Random, slowly: threading.Event
    ) -> None:
        self._shared = shared
        self._ports = ports
        self._chance = chance
        self._slowly = slowly
        self._offset: int | None = None

    def run(self, deadline: float) -> None:
        """Upload all of it, whatever happens."""
        while self._offset != len(self._shared.content):
            assert time.monotonic() < deadline, f"{self._shared.path} stands at {self._offset}"
            if self._offset is None:
                self._told(self._ask, "HEAD", {200})
            else:
                self._told(self._append, "PATCH", {204})
            if self._offset is None:
                time.sleep(0.02)

    def _told(self, send: Callable[[RawConnection], None], method: str, good: set[int]) -> None:
        began = time.monotonic()
        answer = self._exchange(send, method)
        self._offset = None
        self._shared.statuses[None if answer is None else answer.status] += 1
        if answer is not None and answer.status in good:
            self._offset = int(answer.headers["Upload-Offset"])
            self._shared.history.append(Told(began, time.monotonic(), self._offset))

    def _exchange(self, send: Callable[[RawConnection], None], method: str) -> Answer | None:
        try:
            port = self._chance.choice(self._ports)
            with RawConnection(port, timeout_s=CLIENT_TIMEOUT_S) as connection:
                send(connection)
                return connection.answer(method)
        except (NoAnswer, OSError):  # dead, or silent
            return None

    def _ask(self, connection: RawConnection) -> None:
        connection.send(request("HEAD", self._shared.path, V))

    def _append(self, connection: RawConnection) -> None:
        begin = self._offset or 0
        body = self._shared.content[begin : begin + self._chance.randint(1, LONGEST)]
        fields = (V, TYPE, ("Upload-Offset", str(begin)), ("Content-Length", str(len(body))))
        connection.send(head("PATCH", self._shared.path, *fields))
        breaks_off = self._chance.random() < 0.1
        for start in range(0, len(body), PIECE):
            if breaks_off and start > len(body) // 2:
                raise NoAnswer
            connection.send(body[start : start + PIECE])
            if self._slowly.is_set():
                time.sleep(PACE_S)


class Storm:
    """Hits nodes and Redis, one at a time, and lets all of them live at the end."""

    def __init__(self, nodes: Sequence[Node], redis: RedisServer, chance: random.Random) -> None:
        self._nodes = nodes
        self._redis = redis
        self._chance = chance
        self.blows: list[str] = []

    def run(self) -> None:
        """Rage."""
        blows = [self._pause_node] * 3 + [self._kill_node] * 3
        blows += [self._pause_redis] * 2 + [self._restart_redis, self._empty_redis]
        end = time.monotonic() + STORM_S
        while time.monotonic() < end:
            blow = self._chance.choice(blows)
            self.blows.append(blow.__name__.strip("_"))
            blow()
            time.sleep(CALM_S)

    def _pause_node(self) -> None:
        node = self._chance.choice(self._nodes)
        node.pause()
        time.sleep(LEASE_S * self._chance.uniform(1.2, 2))
        node.resume()

    def _kill_node(self) -> None:
        node = self._chance.choice(self._nodes)
        node.end(self._chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        node.start()

    def _pause_redis(self) -> None:
        self._redis.pause()
        time.sleep(self._chance.uniform(0.1, 1.5 * LEASE_S))
        self._redis.resume()

    def _restart_redis(self) -> None:
        self._redis.kill()
        self._redis.start()

    def _empty_redis(self) -> None:
        self._redis.ask("FLUSHALL")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis as the documentation wants it."""
    with running_redis("--appendonly", "yes") as server:
        yield server


def create(node: Node, content: bytes) -> Shared:
    """Create an upload."""
    answer = exchange(
        node.server.port, request("POST", "/files/", V, ("Upload-Length", str(len(content))))
    )
    assert answer.status == 201
    return Shared("/files/" + answer.headers["Location"].rpartition("/")[2], content)


def test_no_acknowledged_byte_is_lost_in_a_storm(tmp_path: Path, redis: RedisServer) -> None:
    """I1 to I5: nodes stopped past their lease, killed, restarted, Redis silent or empty.

    No client is ever told a lower offset than somebody was told before, nor anything that makes
    clients start over; and what arrives at the end is what was sent.
    """
    sys.stdout.write(f"STORM_SEED={SEED}\n")
    chance = random.Random(SEED)  # noqa: S311 - repeatable
    options = ["--redis-lease", str(LEASE_S), "--redis-timeout", "0.5", "--shutdown-timeout", "1"]
    slowly = threading.Event()
    slowly.set()
    uploads_dir = tmp_path / "uploads"
    with running_nodes(uploads_dir, redis.url, *options, count=NODES) as nodes:
        uploads = [create(nodes[0], chance.randbytes(12 * 1024 * KIB + n)) for n in range(UPLOADS)]
        ports = [node.port for node in nodes]
        deadline = time.monotonic() + STORM_S + PATIENCE_S
        storm = Storm(nodes, redis, chance)
        clients = [
            Client(one, ports, random.Random(f"{SEED} {n}"), slowly)  # noqa: S311 - repeatable
            for n, one in enumerate(uploads * RIVALS)
        ]
        with ThreadPoolExecutor(len(clients)) as pool:
            running = [pool.submit(client.run, deadline) for client in clients]
            try:
                storm.run()
            finally:
                slowly.clear()
                sys.stdout.write(f"{storm.blows}\n")
                for ended in running:
                    ended.result()
        for one in uploads:
            sys.stdout.write(f"{one.statuses}\n")
            one.check()
            for node in nodes:
                got = exchange(node.server.port, request("GET", one.path), "GET")
                digests = [hashlib.sha256(data).digest() for data in (got.body, one.content)]
                assert (got.status, digests[0]) == (200, digests[1])
    with contextlib.suppress(FileNotFoundError):
        assert errors_in(uploads_dir.with_name("uploads.log")) == []
