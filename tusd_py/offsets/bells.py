"""How processes on one directory ask each other for uploads: each has a FIFO, its bell.

A kernel lock tells a newcomer that somebody holds the upload, but not the holder that
somebody waits. So the newcomer rings at every other process, and the holder rings back when
it has left. A lost ring costs a retry, never safety: the lock alone decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from ..filesystem.work import FileWork
from ..protocol.model import UploadId, parse_upload_id

_WANT = "want"
_FREE = "free"
_READ_BYTES = 65536


class Bell:
    """This process' bell, and the means to ring those of others.

    Args:
        directory: where the bells of all processes hang.
        run: for file work.
        wanted: called with the id and the asker's bell when somebody wants an upload.
        freed: called with the id when somebody has left an upload that was asked for here.
    """

    def __init__(
        self,
        directory: Path,
        run: FileWork,
        *,
        wanted: Callable[[UploadId, str], None],
        freed: Callable[[UploadId], None],
    ) -> None:
        self._directory = directory
        self._run = run
        self._wanted = wanted
        self._freed = freed
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._fd = -1
        self._rest = b""

    async def open(self) -> None:
        """Hang up the bell."""
        self._fd = await self._run(self._make)
        asyncio.get_running_loop().add_reader(self._fd, self._listen)

    async def close(self) -> None:
        """Take it down."""
        asyncio.get_running_loop().remove_reader(self._fd)
        await self._run(self._unmake)

    async def ask_for(self, upload_id: UploadId) -> None:
        """Tell every other process that the upload is wanted here."""
        await self._run(self._ring_others, f"{_WANT} {upload_id} {self.name}\n".encode())

    async def tell_free(self, upload_id: UploadId, askers: Iterable[str]) -> None:
        """Tell those who asked that the upload is free now."""
        message = f"{_FREE} {upload_id} {self.name}\n".encode()
        for asker in askers:
            await self._run(self._ring, asker, message)

    def _make(self) -> int:
        self._directory.mkdir(parents=True, exist_ok=True)
        unheard = self._directory / f".{self.name}"
        os.mkfifo(unheard, 0o600)
        # Opened for writing too, so that it never reads an end of file between two rings.
        fd = os.open(unheard, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        # Hung up only now: a bell that nobody listens to is taken down by whoever rings it.
        os.rename(unheard, self._directory / self.name)
        return fd

    def _unmake(self) -> None:
        (self._directory / self.name).unlink(missing_ok=True)
        os.close(self._fd)

    def _ring_others(self, message: bytes) -> None:
        for name in os.listdir(self._directory):
            if name != self.name and not name.startswith("."):
                self._ring(name, message)

    def _ring(self, name: str, message: bytes) -> None:
        if "/" in name:
            return
        path = self._directory / name
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody listens: its process is dead
                path.unlink(missing_ok=True)
            return
        # A full pipe is a process that does not listen just now; the asker tries again.
        # A message is below PIPE_BUF, so it arrives whole or not at all.
        with contextlib.suppress(OSError):
            os.write(fd, message)
        os.close(fd)

    def _listen(self) -> None:
        try:
            heard = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            match line.decode(errors="replace").split(" "):
                case [kind, text, sender] if upload_id := parse_upload_id(text):
                    self._hear(kind, upload_id, sender)

    def _hear(self, kind: str, upload_id: UploadId, sender: str) -> None:
        if kind == _WANT:
            self._wanted(upload_id, sender)
        elif kind == _FREE:
            self._freed(upload_id)
