"""Another node: ``python -m tests.support.redis_holder URL DIRECTORY ID WHAT LEASE_S PAUSE``.

WHAT is one of

- ``leave``: claim, say ``claimed``, leave when wanted, and end;
- ``stay``: the same, but never leave;
- ``count``: claim a hundred times; each time read a number from a file beside the directory,
  write a new record, and write the number back, one higher;
- ``write``: claim, and go on writing ``a`` to the upload and saving the offset for ever;
- ``delete``: claim, remove the bytes, and then the record.

Before the step that PAUSE names it says so and stops dead until a line comes on standard input:
``open``, ``lock``, ``write``, ``delete`` or ``nothing``. It ends with ``lost`` when it finds that
it holds the upload no more, whichever way.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.support.work import running_lanes
from tusd_py.data.seizing import lock_for_writing
from tusd_py.filesystem.calls import open_regular
from tusd_py.interfaces import Claim
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.protocol.errors import ClaimLost
from tusd_py.protocol.model import UploadId
from tusd_py.redis_client.address import RedisAddress, RedisOptions

ROUNDS = 100
PIECE = b"a" * 4096
_PATIENCE_S = 30.0


def start(
    url: str, directory: Path, upload_id: UploadId, how: tuple[str, str, str]
) -> subprocess.Popen[str]:
    """Start such a process; `how` is the rest of the command line."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, url, str(directory), upload_id, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


class _Node:
    def __init__(self, store: RedisOffsets, upload_id: UploadId, pause: str) -> None:
        self._store = store
        self._id = upload_id
        self._pause = pause

    def _before(self, step: str) -> None:
        """Stop dead, event loop and all, like a process that was stopped."""
        if step == self._pause:
            _say(step)
            sys.stdin.readline()

    async def hold(self, *, leave: bool) -> None:
        async with self._store.claim(self._id, timeout_s=_PATIENCE_S) as claim:
            wanted = asyncio.Event()
            claim.on_wanted(wanted.set)
            _say("claimed")
            await wanted.wait()
            if not leave:
                await asyncio.Event().wait()

    async def count(self, counter: Path) -> None:
        for _ in range(ROUNDS):
            async with self._store.claim(self._id, timeout_s=_PATIENCE_S) as claim:
                number = int(_read(counter))
                await claim.save(replace(claim.upload, expires_at=float(number)))
                _write(counter, str(number + 1))

    async def write(self) -> None:
        async with self._store.claim(self._id, timeout_s=_PATIENCE_S) as claim:
            await self._write_under(claim)

    async def _write_under(self, claim: Claim) -> None:
        path = claim.upload.storage["Path"]
        self._before("open")
        try:
            file = open_regular(path, os.O_RDWR)
        except FileNotFoundError:
            raise ClaimLost from None
        with file:
            self._before("lock")
            lock_for_writing(file, path)
            os.ftruncate(file.fd, claim.upload.offset)
            while True:
                offset = claim.upload.offset + os.pwrite(file.fd, PIECE, claim.upload.offset)
                if offset >= 10 * len(PIECE):
                    self._before("write")
                await claim.save(replace(claim.upload, offset=offset))
                if offset == 10 * len(PIECE):
                    _say("claimed")

    async def delete(self) -> None:
        async with self._store.claim(self._id, timeout_s=_PATIENCE_S) as claim:
            self._before("delete")
            Path(claim.upload.storage["Path"]).unlink(missing_ok=True)  # noqa: ASYNC240
            await claim.remove()


def _read(path: Path) -> str:
    return path.read_text()


def _write(path: Path, text: str) -> None:
    path.write_text(text)


async def _main(arguments: list[str]) -> None:
    url, folder, upload_id, what, lease_s, pause = arguments
    directory = Path(folder)
    options = RedisOptions(address=RedisAddress(url), lease_s=float(lease_s))
    async with running_lanes() as run:
        store = RedisOffsets(options, run, copies=Copies(directory))
        await store.open()
        node = _Node(store, UploadId(upload_id), pause)
        try:
            match what:
                case "count":
                    await node.count(directory.with_name("counter"))
                case "write":
                    await node.write()
                case "delete":
                    await node.delete()
                case _:
                    await node.hold(leave=what == "leave")
        except ClaimLost:
            _say("lost")
        await store.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
