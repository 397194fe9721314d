"""A server that is killed at any of its file system calls keeps every promise.

A process that dies loses nothing that the kernel has, so a sync makes no difference here; what
it is for is tested with power cuts.
"""

from __future__ import annotations

import copy
import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.redis_server import running_redis
from tests.support.tusd import Client

from .crash_script import KILLED, Script
from .crashing import check, run
from .nursery import Nursery
from .shim import CHANGES, SYNCS, Action, Call, Shim

_MOST_POINTS = 400
_VISIBLE = CHANGES & ~SYNCS
_WRITES = Call.WRITE | Call.COPY


@dataclass(frozen=True, kw_only=True)
class Crashes:
    """Where to kill.

    Attributes:
        least: there are at least that many such calls, or they are not all counted.
    """

    action: Action
    calls: Call
    level: str
    least: int


BEFORE = Crashes(action=Action.KILL_BEFORE, calls=CHANGES, level="ack", least=130)
AFTER = Crashes(action=Action.KILL_AFTER, calls=_VISIBLE, level="complete", least=80)
HALFWAY = Crashes(action=Action.TORN, calls=_WRITES, level="complete", least=20)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "crashes",
    [
        pytest.param(BEFORE, id="before-each"),
        pytest.param(AFTER, id="after-each"),
        pytest.param(HALFWAY, id="halfway-through-each-write"),
    ],
)
async def test_a_crash_at_any_call(
    shim: Shim, nursery: Nursery, tmp_path: Path, crashes: Crashes
) -> None:
    """What was acknowledged is there, the rest can be resumed, and nothing is left over."""
    for number in itertools.count():
        assert number < _MOST_POINTS
        directory = tmp_path / str(number) / "uploads"
        directory.parent.mkdir()
        script = Script()
        options = ("--durability", crashes.level)
        with shim.fault(crashes.action, crashes.calls, path=directory, skip=number, times=1):
            ended = run(nursery, directory, script, *options)
        await check(nursery, directory, script, *options)
        shutil.rmtree(directory.parent)
        if ended:
            break
    assert number >= crashes.least, "some calls were not counted"


@pytest.mark.timeout(300)
async def test_a_crash_at_any_call_of_the_recovery(
    shim: Shim, nursery: Nursery, tmp_path: Path
) -> None:
    """Of every twelfth crash: the server that comes after it dies as well, wherever it may."""
    for first in range(4, _MOST_POINTS, 12):
        directory = tmp_path / str(first)
        script = Script()
        with shim.fault(Action.KILL_AFTER, _VISIBLE, path=directory, skip=first, times=1):
            if run(nursery, directory, script):
                break
        _age(directory)
        # Records name their data by an absolute path, so the place has to stay.
        crashed = directory.rename(tmp_path / "crashed")
        for second in itertools.count():
            assert second < _MOST_POINTS
            shutil.copytree(crashed, directory, ignore=shutil.ignore_patterns("bells"))
            again = copy.deepcopy(script)
            with shim.fault(Action.KILL_AFTER, _VISIBLE, path=directory, skip=second, times=1):
                ended = _recover(nursery, directory, again)
            await check(nursery, directory, again)
            shutil.rmtree(directory)
            if ended:
                break
        shutil.rmtree(crashed)
    assert first > 80, "some calls were not counted"


def _age(directory: Path) -> None:
    """Let the janitor of the next server take everything for old."""
    for path in directory.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


def _recover(nursery: Nursery, directory: Path, script: Script) -> bool:
    """Start a server and resume everything; return whether it came to the end."""
    url = nursery.start(directory)
    if url is None:
        return False
    try:
        script.check(Client(url), directory)
    except KILLED:
        nursery.wait_killed()
        return False
    nursery.kill()
    return True


@pytest.mark.timeout(240)
async def test_a_crash_with_records_in_redis(shim: Shim, nursery: Nursery, tmp_path: Path) -> None:
    """Of every eleventh crash: the same, once the lease of the dead server has ended."""
    with running_redis() as redis:
        for number in range(3, _MOST_POINTS, 11):
            directory = tmp_path / str(number)
            options = ("--redis-url", redis.url, "--redis-lease", "1s")
            script = Script()
            with shim.fault(Action.KILL_AFTER, _VISIBLE, path=directory, skip=number, times=1):
                ended = run(nursery, directory, script, *options)
            url = nursery.start(directory, *options)
            assert url is not None
            script.check(Client(url), directory, unknown=False)
            nursery.kill()
            if ended:
                break
        assert number > 80, "some calls were not counted"
