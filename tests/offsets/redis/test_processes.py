"""Nodes that are killed, stopped and woken, and what becomes of bytes and records."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import redis_holder
from tests.support.redis_server import RedisServer
from tusd_py.data.seizing import lock_for_writing, seize
from tusd_py.filesystem.calls import open_regular
from tusd_py.filesystem.seized_names import seized_path
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_claims import RedisClaim
from tusd_py.protocol.errors import UploadLocked
from tusd_py.protocol.model import Upload

from .conftest import HAND_OVER_S, ID, KEY, StartNode, add

LEASE_S = 0.6
STARTED = len(redis_holder.PIECE) * 10


@contextlib.contextmanager
def another(
    server: RedisServer, directory: Path, what: str, *, lease_s: float = 30, pause: str = "nothing"
) -> Iterator[subprocess.Popen[str]]:
    """Another node; it is killed at the end if it has not ended by itself."""
    process = redis_holder.start(server.url, directory, ID, (what, str(lease_s), pause))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


async def said(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process says the word."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await asyncio.to_thread(process.stdout.readline)).strip() == word


def wake(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for a line go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def test_nodes_hand_over_within_a_second(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Asking for what another process holds, and being asked by one, take milliseconds."""
    store = await start()
    await add(store, directory)
    with another(server, directory, "leave") as process:
        await said(process, "claimed")
        began = time.monotonic()
        async with store.claim(ID, timeout_s=5):
            assert time.monotonic() - began < HAND_OVER_S
        assert await asyncio.to_thread(process.wait, 10) == 0
    wanted = asyncio.Event()
    async with contextlib.AsyncExitStack() as holding:
        claim = await holding.enter_async_context(store.claim(ID, timeout_s=5))
        claim.on_wanted(wanted.set)
        with another(server, directory, "leave") as process:
            async with asyncio.timeout(20):
                await wanted.wait()
            began = time.monotonic()
            await holding.aclose()
            await said(process, "claimed")
            assert time.monotonic() - began < HAND_OVER_S


async def test_a_killed_holder_is_waited_for_no_longer_than_its_lease(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F22, F32: after SIGKILL the upload is locked until the lease ends, then free, but seized."""
    store = await start()
    await add(store, directory)
    with another(server, directory, "stay", lease_s=LEASE_S) as process:
        await said(process, "claimed")
        process.send_signal(signal.SIGKILL)
        process.wait()
        began = time.monotonic()
        with pytest.raises(UploadLocked):
            async with store.claim(ID, timeout_s=0):
                pass
        async with store.claim(ID, timeout_s=5) as claim:
            assert claim.seized
            assert time.monotonic() - began < LEASE_S + HAND_OVER_S


async def test_nodes_never_hold_it_together(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Three processes that replace the record all the time count to three hundred."""
    store = await start()
    await add(store, directory)
    counter = directory.with_name("counter")
    counter.write_text("0")
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(another(server, directory, "count")) for _ in range(3)]
        for process in processes:
            assert await asyncio.to_thread(process.wait, 40) == 0
    assert counter.read_text() == str(3 * redis_holder.ROUNDS)
    assert (await store.get(ID)).expires_at == 3 * redis_holder.ROUNDS - 1


async def take_over(claim: RedisClaim, piece: bytes) -> Upload:
    """Do what a node does that comes after a holder that never left: seize, save, write, save."""
    assert claim.seized
    upload = claim.upload
    old = upload.storage["Path"]
    new = seized_path(old, claim.fence)
    await asyncio.to_thread(seize, old, new, upload.offset)
    await claim.save(replace(upload, storage={**upload.storage, "Path": new}))
    with open_regular(new, os.O_RDWR) as file:
        await asyncio.to_thread(lock_for_writing, file, new)
        os.ftruncate(file.fd, upload.offset)
        os.pwrite(file.fd, piece, upload.offset)
    await claim.save(replace(claim.upload, offset=upload.offset + len(piece)))
    return claim.upload


async def check_bytes(store: RedisOffsets, directory: Path, upload: Upload, data: bytes) -> None:
    """The record and the bytes are those of the last holder, and no other file is left."""
    assert await store.get(ID) == upload
    assert upload.offset == len(data)
    names = {entry.name for entry in os.scandir(directory) if entry.is_file()}
    assert names == {f"{ID}.info", Path(upload.storage["Path"]).name}
    assert (directory / Path(upload.storage["Path"]).name).read_bytes() == data


@pytest.mark.parametrize(
    "stopped",
    [
        ("write", "open", 0),
        ("write", "lock", 0),
        ("write", "write", STARTED - len(redis_holder.PIECE)),
        ("delete", "delete", 0),
    ],
)
async def test_a_holder_that_wakes_after_its_lease_changes_nothing(
    start: StartNode, server: RedisServer, directory: Path, stopped: tuple[str, str, int]
) -> None:
    """F10: wherever it was stopped, neither bytes nor record are changed, and it learns of it."""
    what, pause, committed = stopped
    store = await start()
    await add(store, directory, Upload(id=ID, length=10**9))
    with another(server, directory, what, lease_s=LEASE_S, pause=pause) as process:
        await said(process, pause)
        async with store.claim(ID, timeout_s=10) as claim:
            assert claim.upload.offset == committed
            upload = await take_over(claim, b"b" * 5000)
            wake(process)
            await said(process, "lost")
            await claim.save(replace(claim.upload, owner="me"))
    await check_bytes(store, directory, replace(upload, owner="me"), b"a" * committed + b"b" * 5000)


async def test_a_stopped_process_changes_nothing_when_it_goes_on(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F10: SIGSTOP in the middle of writing, past the lease, then SIGCONT under the next holder."""
    store = await start()
    await add(store, directory, Upload(id=ID, length=10**9))
    with another(server, directory, "write", lease_s=LEASE_S) as process:
        await said(process, "claimed")
        process.send_signal(signal.SIGSTOP)
        async with store.claim(ID, timeout_s=10) as claim:
            committed = claim.upload.offset
            upload = await take_over(claim, b"b" * 5000)
            process.send_signal(signal.SIGCONT)
            await said(process, "lost")
    await check_bytes(store, directory, upload, b"a" * committed + b"b" * 5000)


async def test_two_that_seize_one_after_the_other(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A node that dies between seizing the bytes and saving that leaves them to the next one."""
    first, second = await start(), await start()
    await add(first, directory, Upload(id=ID, length=10**9, offset=3), data=b"123")
    async with first.claim(ID, timeout_s=0):
        server.ask("DEL", f"{KEY}:claim")
        async with second.claim(ID, timeout_s=0) as dying:
            old = dying.upload.storage["Path"]
            seize(old, seized_path(old, dying.fence), 3)
            server.ask("DEL", f"{KEY}:claim")
            async with (await start()).claim(ID, timeout_s=0) as claim:
                upload = await take_over(claim, b"45")
    await check_bytes(first, directory, upload, b"12345")
