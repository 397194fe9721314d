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
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MOST_VECTORS = 512  # below every IOV_MAX
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class mapped_os_errors:  # noqa: N801 - used like a function; as a generator it costs five times
    """Turn what the operating system says into what the service understands.

    Never into 'not found': whoever expects a file to be missing catches that inside.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Raise the error of ours for the one of the system."""
        if isinstance(error, OSError):
            if error.errno in _NO_ROOM:
                raise InsufficientStorage from error
            raise StoreUnavailable from error


class OpenFile:
    """A file descriptor that is closed at the latest when nobody refers to it any more.

    A request that is cancelled while a thread opens its file never sees the result; the
    descriptor, and the lock it may carry, must not outlive that.
    """

    __slots__ = ("_found", "fd")

    def __init__(self, fd: int, found: os.stat_result | None = None) -> None:
        self.fd = fd
        self._found = found

    @property
    def found(self) -> os.stat_result:
        """What the file was like when it was opened."""
        assert self._found is not None
        return self._found

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
        """Close it, whatever the system says to that; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def close_written(self) -> None:
        """Close a file whose bytes matter; a second call does nothing.

        Raises:
            OSError: what was written since the last sync may be lost (NFS, quotas).
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def open_regular(path: str | Path, flags: int) -> OpenFile:
    """Open a regular file that exists, never through a symbolic link.

    Args:
        path: absolute; no folder in it is a link, unless somebody has put one there since.
        flags: for `os.open`.

    Raises:
        OSError: also for a directory, a FIFO or a device in its place.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    file = OpenFile(fd, found)
    _check_folder(file, path)
    return file


def create_file(path: str | Path, mode: int) -> OpenFile:
    """Make a new file for reading and writing.

    Raises:
        FileExistsError: there is something of that name, if only a link that leads nowhere.
        OSError: a folder on the way is a symbolic link by now; nothing was made.
    """
    file = OpenFile(os.open(path, _NEW, mode))
    try:
        _check_folder(file, path)
    except OSError:
        os.unlink(path)
        raise
    return file


def open_folder(path: str | Path) -> OpenFile:
    """Open a directory, to reach what is in it whatever becomes of the way to it.

    Raises:
        OSError: also if it, or a folder on the way, is a symbolic link by now.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = OpenFile(os.open(path, flags))
    _check_folder(folder, path)
    return folder


def create_in(folder: OpenFile, name: str, mode: int) -> OpenFile:
    """Make a new file for reading and writing in an open directory.

    Raises:
        FileExistsError: there is something of that name, if only a link that leads nowhere.
        OSError
    """
    return OpenFile(os.open(name, _NEW, mode, dir_fd=folder.fd))


def _check_folder(file: OpenFile, path: str | Path) -> None:
    """Make sure that no link on the way has led to another folder than that of the path.

    Asked of the open file, so that whoever swaps folders meanwhile gains nothing. The name of
    the file may have changed already; where /proc does not tell, nothing can be said.
    """
    try:
        real = os.readlink(f"/proc/self/fd/{file.fd}")
    except OSError:
        return
    folder = str(path).rpartition("/")[0]
    if real.startswith("/") and real.rpartition("/")[0] != folder:
        file.close()
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


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


def make_folders(path: Path, mode: int) -> None:
    """Make a directory and those above it, if they are missing, so that a power cut leaves them."""
    if path.is_dir():
        return
    make_folders(path.parent, mode)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode)
    sync_directory(path.parent)


def boot_id() -> str:
    """Return what names this run of the kernel; empty where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
