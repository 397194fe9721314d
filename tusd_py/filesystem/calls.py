"""File system calls with the care that uploads need. Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from ..protocol.errors import InsufficientStorage, StoreUnavailable

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MOST_VECTORS = 512  # below every IOV_MAX
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def mapped_os_errors() -> Iterator[None]:
    """Turn what the operating system says into what the service understands.

    Never into 'not found': whoever expects a file to be missing catches that inside.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise InsufficientStorage from error
        raise StoreUnavailable from error


class OpenFile:
    """A file descriptor that is closed at the latest when nobody refers to it any more.

    A request that is cancelled while a thread opens its file never sees the result; the
    descriptor, and the lock it may carry, must not outlive that.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def detach(self) -> int:
        """Return the descriptor, which the caller closes from now on."""
        fd, self.fd = self.fd, -1
        return fd

    def close(self) -> None:
        """Close it; a second call does nothing."""
        fd = self.detach()
        if fd >= 0:
            os.close(fd)


def open_regular(path: str | Path, flags: int, mode: int = 0o600) -> int:
    """Open a regular file, never through a symbolic link in its last component.

    Raises:
        OSError: also for a directory, a FIFO or a device in its place.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return fd


def write_all(fd: int, buffers: Sequence[bytes | memoryview], offset: int) -> Iterator[int]:
    """Write the buffers at `offset`; yield the number of bytes after every short write too.

    A full disk shows first as a short write, so the count must be right at every step.
    """
    rest = [memoryview(buffer) for buffer in buffers]
    while rest:
        written = os.pwritev(fd, rest[:_MOST_VECTORS], offset)
        yield written
        offset += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest and written:
            rest[0] = rest[0][written:]


def sync_directory(path: str | Path) -> None:
    """Make the names in a directory survive a power cut; fsync of the files does not."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_parents(path: Path, root: Path) -> None:
    """Sync the directory of `path` and those above it up to `root`, in case they are new."""
    for parent in path.parents:
        sync_directory(parent)
        if parent in (root, parent.parent) or root not in parent.parents:
            break


def boot_id() -> str:
    """Return what names this run of the kernel; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
