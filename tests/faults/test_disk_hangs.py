"""A disk that hangs holds up those who need it, and nobody else."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

from .shim import SYNCS, Action, Call, Shim
from .uploading import Uploading, some_bytes, whole

MIB = 1 << 20
# That many calls can hang at once.
_THREADS = 4
_MORE_THAN_THREADS = 12


def _patch(upload: Uploading) -> int:
    return upload.patch(0).status


@contextlib.contextmanager
def _hanging(
    shim: Shim, server: Server, calls: Call, size: int, count: int
) -> Iterator[tuple[list[Uploading], list[concurrent.futures.Future[int]]]]:
    """Have that many PATCHes hang, and afterwards see that each was stored."""
    uploads = [Uploading(server, some_bytes(size)) for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        with shim.fault(Action.HANG, calls, path=server.upload_dir):
            patches = [pool.submit(_patch, upload) for upload in uploads]
            shim.wait_hung(min(count, _THREADS))
            yield uploads, patches
            assert not any(patch.done() for patch in patches), "acknowledged before it is stored"
        assert [patch.result(timeout=30) for patch in patches] == [204] * count
    for upload in uploads:
        upload.check_whole()


@pytest.mark.parametrize(
    ("calls", "size"),
    [
        pytest.param(SYNCS, MIB, id="syncs"),
        pytest.param(Call.WRITE, MIB, id="long-writes"),
        pytest.param(Call.WRITE, 2_000, id="short-writes"),
        pytest.param(SYNCS | Call.WRITE | Call.CREATE | Call.RENAME, 2_000, id="everything"),
    ],
)
@pytest.mark.parametrize("count", [1, _MORE_THAN_THREADS])
def test_who_needs_no_writing_is_answered_meanwhile(
    shim: Shim, tmp_path: Path, calls: Call, size: int, count: int
) -> None:
    """OPTIONS, and HEAD and GET of what is finished, while any number of PATCHes hang."""
    with running_server(tmp_path / "uploads", env=shim.env) as server:
        done = whole(server)
        with _hanging(shim, server, calls, size, count):
            assert done.client.send("OPTIONS", "").status in (200, 204)
            done.check_whole()
            assert done.client.head("0" * 32).status == 404
