"""A server that is killed at any of its file system calls tells each thing once, and in order.

Nobody receives the events here: they stay in the outbox, where they can be read.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.redis_server import free_port
from tests.support.work import running_lanes
from tusd_py.config import Settings
from tusd_py.hooks.python import PythonHooks
from tusd_py.interfaces import EventState
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.model import UploadId
from tusd_py.service.announce import Announcer
from tusd_py.wiring import make_outbox

from .crash_script import Script, Sent
from .crashing import check, run
from .nursery import Nursery
from .shim import CHANGES, SYNCS, Action, Shim

LIFE = ["post-create", "post-finish", "post-terminate"]
_STRIDE = 6  # of all calls; where the first of them is differs from run to run
_MOST_POINTS = 3000


@pytest.mark.timeout(300)
async def test_a_crash_at_any_call_tells_nothing_twice(
    shim: Shim, nursery: Nursery, tmp_path: Path
) -> None:
    """What happened is told once, whatever was tried before; what did not happen is not told."""
    events = ("--hooks-enabled-events", ",".join(LIFE))
    nobody = ("--hooks-http", f"http://127.0.0.1:{free_port()}", "--hooks-http-retry", "1")
    first = random.randrange(_STRIDE)  # noqa: S311 - not secret
    for number in range(first, _MOST_POINTS, _STRIDE):
        directory = tmp_path / str(number) / "uploads"
        directory.parent.mkdir()
        script = Script()
        with shim.fault(Action.KILL_AFTER, CHANGES & ~SYNCS, path=directory, skip=number, times=1):
            ended = run(nursery, directory, script, *nobody, *events)
        await check(nursery, directory, script, *nobody, *events)
        _check_told(script, await _told(directory))
        shutil.rmtree(directory.parent)
        if ended:
            break
    assert number > 150, "some calls were not counted"


async def _told(directory: Path) -> dict[UploadId, list[str]]:
    """Settle what is unsettled, as a server does some seconds later; return what is to be told."""
    told = defaultdict(list)
    outbox = make_outbox(Settings(upload_dir=directory))
    hooks = PythonHooks(dict.fromkeys(LIFE, lambda _: None))
    async with running_lanes() as lanes:
        offsets = FileOffsets(directory, lanes)
        await outbox.open()
        await offsets.open()
        later = Announcer(hooks, outbox, lambda: time.time() + 60)
        await later.settle_abandoned(lambda upload_id: offsets.claim(upload_id, timeout_s=0))
        for entry in await outbox.entries(1000):
            assert entry.state is EventState.PENDING, entry
            told[entry.event.upload.id].append(entry.event.type.value)
        await offsets.close()
        await outbox.close()
    return told


def _check_told(script: Script, told: dict[UploadId, list[str]]) -> None:
    known = {UploadId(sent.name): sent for sent in script.uploads if sent.name is not None}
    for name, sent in known.items():
        assert told.pop(name, []) in _lives(sent), (name, sent.deleted)
    for name, events in told.items():  # their client was never told of them
        assert events in ([LIFE[0], LIFE[2]], LIFE), name


def _lives(sent: Sent) -> list[list[str]]:
    """What there may be to tell of an upload that its client knows."""
    if sent.deleted is None:
        return [LIFE[:2]]
    return [LIFE, [LIFE[0], LIFE[2]]]
