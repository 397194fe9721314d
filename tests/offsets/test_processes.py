"""Claims between real processes on one directory."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import holder
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.errors import UploadLocked
from tusd_py.protocol.model import Upload, UploadId

from .conftest import add, names_in

ID = UploadId("0123456789abcdef0123456789abcdef")
ROUNDS = 3
TYPICAL_S = 0.2
ALWAYS_S = 1.0


@contextlib.contextmanager
def another(directory: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    """Another process; it is killed at the end if it has not ended by itself."""
    process = holder.start(directory, ID, what)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def said(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process says the word."""
    async with asyncio.timeout(20):
        await asyncio.to_thread(holder.wait_said, process, word)


def check_took(times_s: list[float]) -> None:
    """Within a second at any time, and far below what retrying alone would take."""
    assert max(times_s) < ALWAYS_S
    assert statistics.median(times_s) < TYPICAL_S


async def test_the_holder_in_another_process_is_told(store: FileOffsets, directory: Path) -> None:
    """Asking for an upload that another process holds takes milliseconds."""
    await add(store, directory, Upload(id=ID, length=10))
    times_s = []
    for _ in range(ROUNDS):
        with another(directory, "leave") as process:
            await said(process, "claimed")
            began = time.monotonic()
            async with store.claim(ID, timeout_s=5):
                times_s.append(time.monotonic() - began)
            assert await asyncio.to_thread(process.wait, 10) == 0
    check_took(times_s)


async def test_we_are_told_by_another_process_and_tell_it(
    store: FileOffsets, directory: Path
) -> None:
    """A newcomer in another process is heard here, and hears at once that we have left."""
    await add(store, directory, Upload(id=ID, length=10))
    times_s = []
    for _ in range(ROUNDS):
        wanted = asyncio.Event()
        async with contextlib.AsyncExitStack() as holding:
            claim = await holding.enter_async_context(store.claim(ID, timeout_s=5))
            claim.on_wanted(wanted.set)
            with another(directory, "leave") as process:
                async with asyncio.timeout(20):
                    await wanted.wait()
                began = time.monotonic()
                await holding.aclose()
                await said(process, "claimed")
                times_s.append(time.monotonic() - began)
    check_took(times_s)


async def test_a_killed_holder_holds_nothing(store: FileOffsets, directory: Path) -> None:
    """The kernel frees the claim of a process that was killed: no lease, no PID file, no wait."""
    await add(store, directory, Upload(id=ID, length=10))
    with another(directory, "stay") as process:
        await said(process, "claimed")
        with pytest.raises(UploadLocked):
            async with store.claim(ID, timeout_s=0):
                pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        async with store.claim(ID, timeout_s=0):
            pass
    assert names_in(directory) == {".tusd_py", ID, f"{ID}.info"}
    await store._bell.ask_for(ID)
    assert names_in(directory / ".tusd_py/bells") == {store._bell.name}


async def test_a_holder_that_stays_is_waited_for_no_longer_than_asked(
    store: FileOffsets, directory: Path
) -> None:
    """A process that does not leave means UploadLocked in time."""
    await add(store, directory, Upload(id=ID, length=10))
    with another(directory, "stay") as process:
        await said(process, "claimed")
        began = time.monotonic()
        with pytest.raises(UploadLocked):
            async with store.claim(ID, timeout_s=0.4):
                pass
        assert 0.4 <= time.monotonic() - began < 0.4 + ALWAYS_S


async def test_processes_never_hold_it_together(store: FileOffsets, directory: Path) -> None:
    """Three processes that replace the record all the time count to three hundred."""
    await add(store, directory, Upload(id=ID, length=10))
    counter = directory.with_name("counter")
    counter.write_text("0")
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(another(directory, "count")) for _ in range(3)]
        for process in processes:
            assert await asyncio.to_thread(process.wait, 30) == 0
    assert counter.read_text() == str(3 * holder.ROUNDS)
    assert (await store.get(ID)).expires_at == 3 * holder.ROUNDS - 1
