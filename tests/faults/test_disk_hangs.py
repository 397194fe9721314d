"""A disk that hangs holds up those who need it, and nobody else."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

from .shim import CHANGES, SYNCS, Action, Call, Shim
from .uploading import Uploading, some_bytes, whole

MIB = 1 << 20
# More uploads than the server has threads.
_MANY = 8


def _patch(upload: Uploading) -> int:
    return upload.patch(0, len(upload.content) // 2).status


@contextlib.contextmanager
def _hanging(shim: Shim, server: Server, fault: Hanging, count: int) -> Iterator[None]:
    """Have that many PATCHes hang, and afterwards see that each was stored."""
    uploads = [Uploading(server, some_bytes(2 * fault.size)) for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        with shim.fault(Action.HANG, fault.calls, path=server.upload_dir):
            patches = []
            for number, upload in enumerate(uploads, 1):
                patches.append(pool.submit(_patch, upload))
                shim.wait_hung(min(number, fault.threads))
            yield
            assert not any(patch.done() for patch in patches), "acknowledged before it is stored"
        assert [patch.result(timeout=30) for patch in patches] == [204] * count
    for upload in uploads:
        upload.resume()


@dataclass(frozen=True, kw_only=True)
class Hanging:
    """Which calls hang.

    Attributes:
        size: of the bodies, each half of an upload.
        threads: how many the server has for that.
    """

    calls: Call
    size: int
    threads: int
    level: str = "complete"


EVERYTHING = CHANGES & ~(Call.LINK | Call.UNLINK)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Hanging(calls=SYNCS, size=MIB, threads=4, level="ack"), id="syncs"),
        pytest.param(Hanging(calls=Call.WRITE, size=MIB, threads=4), id="long-writes"),
        pytest.param(Hanging(calls=Call.WRITE, size=2_000, threads=5), id="short-writes"),
        pytest.param(Hanging(calls=EVERYTHING, size=2_000, threads=5), id="everything"),
    ],
)
@pytest.mark.parametrize("count", [1, _MANY])
def test_who_needs_no_writing_is_answered_meanwhile(
    shim: Shim, tmp_path: Path, fault: Hanging, count: int
) -> None:
    """OPTIONS, and HEAD and GET of what is finished, while any number of PATCHes hang."""
    options = ("--durability", fault.level)
    with running_server(tmp_path / "uploads", *options, env=shim.env) as server:
        done, idle = whole(server), Uploading(server, some_bytes(10))
        with _hanging(shim, server, fault, count):
            assert done.client.send("OPTIONS", "").status in (200, 204)
            done.check_whole()
            assert done.client.head("0" * 32).status == 404
            assert idle.offset == 0
