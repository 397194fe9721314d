"""``tusd-py hooks``: an operator sees what was not delivered, and has it delivered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.program.test_cli import tusd_py
from tusd_py.config import Settings
from tusd_py.interfaces import Entry, EventState, HookEvent, HookType, Outbox
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.wiring import make_outbox

T = TypeVar("T")
AT = 1_700_000_000.0


def with_outbox(directory: Path, work: Callable[[Outbox], Awaitable[T]]) -> T:
    """Do something with the outbox of a directory."""

    async def run() -> T:
        outbox = make_outbox(Settings(upload_dir=directory))
        await outbox.open()
        try:
            return await work(outbox)
        finally:
            await outbox.close()

    return asyncio.run(run())


@pytest.fixture
def events(tmp_path: Path) -> list[HookEvent]:
    """Two events in the outbox: one was given up, one waits."""
    made = [
        HookEvent(
            type=HookType.POST_FINISH,
            upload=Upload(id=UploadId(name), length=1),
            request=None,
            at=AT,
        )
        for name in "ab"
    ]

    async def put(outbox: Outbox) -> None:
        for event in made:
            await outbox.prepare([Entry(event=event, receiver="http")], AT)
            await outbox.confirm([event])
        (first, _) = await outbox.lease(AT, 1, 10)
        await outbox.give_up(first, error="503")

    with_outbox(tmp_path, put)
    return made


def test_list_shows_what_waits(events: list[HookEvent], tmp_path: Path) -> None:
    """A line for each, with what to name it by and why it is still here."""
    done = tusd_py("hooks", "list", "--upload-dir", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{events[0].id} post-finish of a for http: given up, 1 failed: 503",
        f"{events[1].id} post-finish of b for http: pending",
    ]


def test_list_as_json(events: list[HookEvent], tmp_path: Path) -> None:
    """An object a line, for programs."""
    done = tusd_py("hooks", "list", "--json", "--limit", "1", "--upload-dir", str(tmp_path))
    (fields,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert fields == {
        "event": events[0].id,
        "type": "post-finish",
        "upload": "a",
        "receiver": "http",
        "state": "given up",
        "happened": "2023-11-14T22:13:20+00:00",
        "attempts": 1,
        "due": "1970-01-01T00:00:00+00:00",
        "error": "503",
    }


def test_retry_makes_an_event_due(events: list[HookEvent], tmp_path: Path) -> None:
    """The one that was given up; the other has not failed."""
    place = ("--upload-dir", str(tmp_path))
    done = tusd_py("hooks", "retry", events[0].id, *place)
    assert (done.returncode, done.stdout) == (0, "1 due now\n")
    entries = with_outbox(tmp_path, lambda outbox: outbox.entries(10))
    assert [entry.state for entry in entries] == [EventState.PENDING] * 2
    assert tusd_py("hooks", "retry", "--all", *place).stdout == "1 due now\n"
    unknown = tusd_py("hooks", "retry", "x", *place)
    assert (unknown.returncode, unknown.stdout) == (1, "nothing that has failed\n")


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    """Neither or both, and a directory that is none: nothing is made there."""
    for arguments in (["hooks", "retry"], ["hooks", "retry", "x", "--all"]):
        done = tusd_py(*arguments)
        assert (done.returncode, done.stderr) == (2, "tusd-py: name one EVENT, or --all\n")
    missing = tmp_path / "missing"
    done = tusd_py("hooks", "list", "--upload-dir", str(missing))
    assert done.returncode == 1
    assert done.stderr.startswith("tusd-py: there is no directory")
    assert not missing.exists()


def test_an_empty_outbox_says_so(tmp_path: Path) -> None:
    """Rather than nothing at all."""
    assert tusd_py("hooks", "list", "--upload-dir", str(tmp_path)).stdout == "nothing is waiting\n"
