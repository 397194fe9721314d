"""Faults of the file system under a real server: the Python side of ``shim.c``."""

from __future__ import annotations

import contextlib
import enum
import mmap
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from .needed import needs

_SOURCE = Path(__file__).with_name("shim.c")
_LAYOUT = struct.Struct("=4Ii3I512s")
_SEEN, _MET, _HUNG = 20, 24, 28
ALWAYS = 0xFFFFFFFF
_PATIENCE_S = 20.0


class Action(enum.IntEnum):
    """What a call meets."""

    OFF = 0
    FAIL = 1
    KILL_BEFORE = 2
    KILL_AFTER = 3
    TORN = 4  # half of it is written, then the process is killed
    SHORT = 5  # half of it is written
    HANG = 6  # until the fault is lifted; then it goes on


class Call(enum.IntFlag):
    """Kinds of calls."""

    OPEN = 1  # of what exists
    CREATE = 2
    WRITE = 4
    READ = 8
    FDATASYNC = 16
    FSYNC = 32
    RENAME = 64
    LINK = 128
    UNLINK = 256
    TRUNCATE = 512
    MKDIR = 1024
    CLOSE = 2048
    COPY = 4096


SYNCS = Call.FDATASYNC | Call.FSYNC
NAMES = Call.CREATE | Call.RENAME | Call.LINK | Call.UNLINK | Call.MKDIR
CHANGES = NAMES | SYNCS | Call.WRITE | Call.TRUNCATE | Call.COPY
"""Every call that leaves the disk different, or makes sure of what was changed."""


class Shim:
    """The faults of one server, or of several that share them.

    Args:
        folder: for the library and the shared memory.
    """

    def __init__(self, folder: Path) -> None:
        needs(
            sys.platform == "linux" and shutil.which("cc"),
            "needs Linux and a C compiler: apt-get install gcc libc6-dev",
        )
        self._library = folder / "shim.so"
        if not self._library.exists():
            command = ("cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE))
            subprocess.run((*command, "-ldl"), check=True, timeout=60)
        self._control = folder / "control"
        self._control.write_bytes(bytes(_LAYOUT.size))
        with self._control.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _LAYOUT.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.lift()
        self._memory.close()

    @property
    def env(self) -> dict[str, str]:
        """What a server needs in its environment."""
        return {"LD_PRELOAD": str(self._library), "FAULTS_CONTROL": str(self._control)}

    def set(
        self,
        action: Action,
        calls: Call,
        *,
        path: str | Path,
        skip: int = 0,
        times: int = ALWAYS,
        error: int = 0,
    ) -> None:
        """Let calls on paths that contain `path` meet `action`.

        Args:
            skip: how many pass before.
            times: how many meet it then.
            error: the errno of `Action.FAIL`.
        """
        self.lift()
        _LAYOUT.pack_into(
            self._memory, 0, 0, calls, skip, times, error, 0, 0, 0, str(path).encode()
        )
        self._put_action(action)

    def lift(self) -> None:
        """End the fault; what hangs goes on."""
        self._put_action(Action.OFF)

    @contextlib.contextmanager
    def fault(
        self,
        action: Action,
        calls: Call,
        *,
        path: str | Path,
        skip: int = 0,
        times: int = ALWAYS,
        error: int = 0,
    ) -> Iterator[None]:
        """`set`, and `lift` at the end of the context."""
        self.set(action, calls, path=path, skip=skip, times=times, error=error)
        try:
            yield
        finally:
            self.lift()

    @property
    def seen(self) -> int:
        """How many calls of the kind there were since `set`."""
        return self._number(_SEEN)

    @property
    def met(self) -> int:
        """How many of them met the action."""
        return self._number(_MET)

    def wait_hung(self, count: int = 1) -> None:
        """Wait until that many calls hang."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._number(_HUNG) < count:
            assert time.monotonic() < deadline, "no call has hung"
            time.sleep(0.001)  # another process tells by shared memory; there is no event

    def _number(self, place: int) -> int:
        number: int = struct.unpack_from("=I", self._memory, place)[0]
        return number

    def _put_action(self, action: Action) -> None:
        struct.pack_into("=I", self._memory, 0, action)
