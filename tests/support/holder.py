"""Another process on an upload directory: ``python -m tests.support.holder DIRECTORY ID WHAT``.

WHAT is one of

- ``leave``: claim, say so on standard output, leave when wanted, and end;
- ``stay``: the same, but never leave;
- ``count``: claim a hundred times; each time read a number from a file beside the directory,
  write a new record, and write the number back, one higher.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.support.work import running_lanes
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.model import UploadId

ROUNDS = 100
_PATIENCE_S = 30.0


def start(directory: Path, upload_id: UploadId, what: str) -> subprocess.Popen[str]:
    """Start such a process."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(directory), upload_id, what],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def wait_said(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process says that word."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def _hold(store: FileOffsets, upload_id: UploadId, *, leave: bool) -> None:
    async with store.claim(upload_id, timeout_s=_PATIENCE_S) as claim:
        wanted = asyncio.Event()
        claim.on_wanted(wanted.set)
        _say("claimed")
        async with asyncio.timeout(_PATIENCE_S):
            await wanted.wait()
            if not leave:
                await asyncio.Event().wait()
    _say("left")


def _read(counter: Path) -> int:
    return int(counter.read_text())


def _write(counter: Path, number: int) -> None:
    counter.write_text(str(number))


async def _count(store: FileOffsets, upload_id: UploadId, counter: Path) -> None:
    for _ in range(ROUNDS):
        async with store.claim(upload_id, timeout_s=_PATIENCE_S) as claim:
            number = _read(counter)
            await claim.save(replace(claim.upload, expires_at=float(number)))
            _write(counter, number + 1)


async def _main(directory: Path, upload_id: UploadId, what: str) -> None:
    async with running_lanes() as run:
        store = FileOffsets(directory, run)
        await store.open()
        if what == "count":
            await _count(store, upload_id, directory.with_name("counter"))
        else:
            await _hold(store, upload_id, leave=what == "leave")
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("upload_id", type=UploadId)
    parser.add_argument("what", choices=["leave", "stay", "count"])
    options = parser.parse_args()
    asyncio.run(_main(options.directory, options.upload_id, options.what))
