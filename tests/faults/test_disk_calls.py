"""A disk that fails at any call, once or from then on, costs nobody a byte."""

from __future__ import annotations

import contextlib
import errno
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tusd import Client

from .crash_script import KILLED, Refused, Script, stored_names
from .nursery import Nursery
from .shim import ALWAYS, CHANGES, Action, Call, Shim
from .sweeping import sweep

_MOST_POINTS = 600
_FILLING = Call.CREATE | Call.WRITE | Call.MKDIR | Call.LINK | Call.RENAME | Call.COPY


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Which calls fail.

    Attributes:
        times: how many, from each on.
        step: from each n-th on.
        least: there are at least that many such calls, or they are not all counted.
    """

    calls: Call
    error: int = errno.EIO
    times: int = ALWAYS
    step: int = 1
    least: int


ONCE = Failures(calls=CHANGES | Call.OPEN, times=1, least=130)
READS = Failures(calls=Call.READ | Call.CLOSE, times=1, least=50)
BROKEN = Failures(calls=CHANGES, step=3, least=100)
FULL = Failures(calls=_FILLING, error=errno.ENOSPC, least=60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "failures",
    [
        pytest.param(ONCE, id="each-call-once"),
        pytest.param(READS, id="each-read-and-close-once"),
        pytest.param(BROKEN, id="every-third-and-all-later"),
        pytest.param(FULL, id="full-from-each-call-on"),
    ],
)
async def test_a_disk_that_fails_at_any_call(
    shim: Shim, nursery: Nursery, tmp_path: Path, failures: Failures
) -> None:
    """The client is told to try again, never that it is to blame; and then it can."""
    directory = tmp_path / "uploads"
    url = nursery.start(directory, "--durability", "ack")
    assert url is not None
    client = Client(url)
    scripts: list[Script] = []
    for number in itertools.count(step=failures.step):
        assert number < _MOST_POINTS
        script = Script(others=frozenset(stored_names(directory)))
        scripts.append(script)
        fault = shim.fault(
            Action.FAIL,
            failures.calls,
            path=directory,
            skip=number,
            times=failures.times,
            error=failures.error,
        )
        with fault:
            _run(script, client)
        met = shim.met
        script.check(client, directory)
        if not met:
            break
    assert number >= failures.least, "some calls were not counted"
    await sweep(directory)
    for script in scripts:
        script.others = frozenset(stored_names(directory))
        script.check_again(client, directory)
    nursery.kill()


def _run(script: Script, client: Client) -> None:
    """Run it until the disk makes itself felt."""
    with contextlib.suppress(Refused):
        try:
            script.run(client)
        except KILLED:  # nobody was killed, and only a download may be broken off
            assert script.downloading
