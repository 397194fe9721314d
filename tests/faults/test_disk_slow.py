"""A disk that is slow slows down those who write to it, and nobody else (F09)."""

from __future__ import annotations

import concurrent.futures
from pathlib import Path

from tests.support import cgroup
from tests.support.server import running_server
from tests.support.slow_disk import slow_disk

from .needed import needs, needs_root
from .uploading import Uploading, some_bytes, whole

MIB = 1 << 20
SIZE = 24 * MIB
# Far below what a body is held back by in memory, if it were not for backpressure.
BYTES_A_SECOND = 4 * MIB
MOST_MORE_BYTES = 40 * MIB


def written(slowed: cgroup.Group) -> int:
    """How many bytes went through the limit."""
    figures = slowed.get("blkio.throttle.io_service_bytes").splitlines()
    return sum(int(line.split()[2]) for line in figures if line.split()[1] == "Write")


def test_a_slow_disk_holds_up_the_client_not_the_server(tmp_path: Path) -> None:
    """The body waits outside: memory stays, others are answered, and every byte is right."""
    needs_root()
    needs(cgroup.available("blkio"), "the blkio controller (cgroup v1) is missing")
    with (
        slow_disk(tmp_path, BYTES_A_SECOND) as (disk, slowed),
        running_server(disk / "uploads", "--durability", "ack", under=slowed.joining) as server,
    ):
        done = whole(server)
        upload = Uploading(server, some_bytes(SIZE))
        before = server.resident_bytes()
        most = answered = 0
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            patch = pool.submit(upload.patch, 0)
            while not patch.done():
                assert done.client.send("OPTIONS", "").status in (200, 204)
                assert done.offset == len(done.content)
                answered += 1
                most = max(most, server.resident_bytes())
            assert patch.result().status == 204
        assert answered > 0
        assert written(slowed) >= SIZE  # it did go through the narrow place
        assert most - before < MOST_MORE_BYTES
        upload.check_whole()
