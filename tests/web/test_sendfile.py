"""Bytes from a file to a socket in a thread: whoever is cancelled waits for it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from pathlib import Path

import pytest

from tusd_py.web.sendfile import _send_all

PATIENCE_S = 5.0


@pytest.mark.parametrize("error", [None, BrokenPipeError()], ids=["sent", "broken"])
async def test_a_cancelled_download_waits_for_its_thread(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: OSError | None,
) -> None:
    """Neither end is closed under the thread: their numbers would be given to others."""
    loop, begun, let_go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    ended: list[int] = []

    def slow(out: int, file: int, start: int, count: int) -> int:
        loop.call_soon_threadsafe(begun.set)
        assert let_go.wait(PATIENCE_S)
        os.fstat(out)
        ended.append(len(os.pread(file, count, start)))
        if error is not None:
            raise error
        return count

    monkeypatch.setattr(os, "sendfile", slow)
    (tmp_path / "file").write_bytes(b"12345")
    ours, theirs = socket.socketpair()

    async def download() -> None:
        with ours, (tmp_path / "file").open("rb") as file:
            await _send_all(ours, file.fileno(), 0, 5, stall_s=PATIENCE_S)

    with theirs:
        task = asyncio.create_task(download())
        await begun.wait()
        for _ in range(3):  # however often it is told
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        let_go.set()
        await asyncio.wait([task], timeout=PATIENCE_S)
        assert task.cancelled()
    assert ended == [5]
    del task
    gc.collect()
    assert caplog.records == []
