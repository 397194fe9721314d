"""A server that is killed at any of its file system calls tells each thing once, and in order.

Nobody receives the events here: they stay in the outbox, where they can be read.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.redis_server import free_port, running_redis
from tests.support.tusd import Client
from tusd_py.config import Settings
from tusd_py.hooks.python import PythonHooks
from tusd_py.interfaces import Entry, EventState
from tusd_py.protocol.model import UploadId
from tusd_py.service.announce import Announcer
from tusd_py.wiring.stores import Stores, make_stores

from .crash_script import Script, Sent
from .crashing import check, run
from .nursery import Nursery
from .shim import CHANGES, SYNCS, Action, Shim

LIFE = ["post-create", "post-finish", "post-terminate"]
# Of all calls, every so many-eth; where the first of them is differs from run to run.
STRIDE, STRIDE_WITH_REDIS = 6, 8
MOST_POINTS = 3000
SOON_S = 10.0


def options() -> list[str]:
    """Let a server keep what it tells, for there is nobody to take it."""
    nobody = f"http://127.0.0.1:{free_port()}"
    return [
        "--hooks-http",
        nobody,
        "--hooks-http-retry",
        "1",
        "--hooks-enabled-events",
        ",".join(LIFE),
    ]


def points(stride: int) -> range:
    """Where to kill."""
    return range(random.randrange(stride), MOST_POINTS, stride)  # noqa: S311 - not secret


@pytest.mark.timeout(300)
async def test_nothing_is_told_twice_after_a_crash(
    shim: Shim, nursery: Nursery, tmp_path: Path
) -> None:
    """What happened is told once, whatever was tried before; what did not happen is not told."""
    for number in points(STRIDE):
        directory = tmp_path / str(number) / "uploads"
        directory.parent.mkdir()
        script = Script()
        with shim.fault(Action.KILL_AFTER, CHANGES & ~SYNCS, path=directory, skip=number, times=1):
            ended = run(nursery, directory, script, *options())
        await check(nursery, directory, script, *options())
        _check_told(script, await _told(Settings(upload_dir=directory)))
        shutil.rmtree(directory.parent)
        if ended:
            break
    assert number > 150, "some calls were not counted"


@pytest.mark.timeout(300)
async def test_nothing_is_told_twice_with_redis(
    shim: Shim, nursery: Nursery, tmp_path: Path
) -> None:
    """The same with records and events in Redis, once the lease of the dead server has ended."""
    with running_redis() as redis:
        more = ("--redis-url", redis.url, "--redis-lease", "1s")
        for number in points(STRIDE_WITH_REDIS):
            directory = tmp_path / str(number)
            script = Script()
            with shim.fault(
                Action.KILL_AFTER, CHANGES & ~SYNCS, path=directory, skip=number, times=1
            ):
                ended = run(nursery, directory, script, *more, *options())
            url = nursery.start(directory, *more, *options())
            assert url is not None
            script.check(Client(url), directory, unknown=False)
            nursery.kill()
            _check_told(script, await _told(Settings(upload_dir=directory, redis_url=redis.url)))
            redis.ask("FLUSHALL")
            if ended:
                break
        assert number > 80, "some calls were not counted"


async def _told(settings: Settings) -> dict[UploadId, list[str]]:
    """Settle what is unsettled, as a server does in time; return what is to be told."""
    stores = make_stores(settings)
    assert stores.lanes is not None
    stores.lanes.start()
    await stores.outbox.open()
    await stores.offsets.open()
    told = defaultdict(list)
    for entry in await _settled(stores):
        told[entry.event.upload.id].append(entry.event.type.value)
    await stores.offsets.close()
    await stores.outbox.close()
    stores.lanes.stop()
    return told


async def _settled(stores: Stores) -> list[Entry]:
    hooks = PythonHooks(dict.fromkeys(LIFE, lambda _: None))
    later = Announcer(hooks, stores.outbox, lambda: time.time() + 60)
    async with asyncio.timeout(SOON_S):
        while True:
            async for _ in stores.offsets.orphans(before=1e12):
                pass  # a creation that was cut short is settled when its record is removed
            await later.settle_abandoned(lambda one: stores.offsets.claim(one, timeout_s=0))
            entries = await stores.outbox.entries(1000)
            if all(entry.state is EventState.PENDING for entry in entries):
                return list(entries)
            await asyncio.sleep(0.1)  # the lease of the dead has to end


def _check_told(script: Script, told: dict[UploadId, list[str]]) -> None:
    known = {UploadId(sent.name): sent for sent in script.uploads if sent.name is not None}
    for name, sent in known.items():
        assert told.pop(name, []) in _lives(sent), (name, sent.deleted)
    for name, events in told.items():  # their client was never told of them
        assert events == [one for one in LIFE if one in events], name
        assert LIFE[0] in events, name


def _lives(sent: Sent) -> list[list[str]]:
    """What there may be to tell of an upload that its client knows."""
    if sent.deleted is None:
        return [LIFE[:2]]
    return [LIFE, [LIFE[0], LIFE[2]]]
