"""Many bytes: socket -> file inside the kernel, and file -> hash. Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Generator, Iterator

from ..interfaces import Unread
from ..protocol.checksum import Digest
from ..protocol.errors import UploadDamaged
from .calls import OpenFile, mapped_os_errors, write_all

_CAN_SPLICE = hasattr(os, "splice")  # on Linux
# What the kernel lets anybody have. Bytes only pass through.
_PIPE_BYTES = 1024 * 1024
_BUFFER_BYTES = 2 * 1024 * 1024
# What is read and used at once stays in the cache of a core.
_CACHED_BYTES = 256 * 1024


class _Pipe:
    """A pipe that is empty between two moves."""

    def __init__(self) -> None:
        source, sink = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.source, self.sink = OpenFile(source), OpenFile(sink)
        with contextlib.suppress(OSError):  # then it is smaller
            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def close(self) -> None:
        self.source.close()
        self.sink.close()


class _OfThread(threading.local):
    """What each thread uses again and again."""

    pipe: _Pipe | None = None
    buffer: memoryview | None = None


_mine = _OfThread()


def own_buffer() -> memoryview:
    """Return the buffer of this thread: memory that was never used is dear."""
    if _mine.buffer is None:
        _mine.buffer = memoryview(bytearray(_BUFFER_BYTES))
    return _mine.buffer


def store_unread(unread: Unread, fd: int, offset: int) -> Iterator[int]:
    """Write what is unread at `offset`, as far as it comes; yield the bytes of every step.

    Raises:
        InsufficientStorage, StoreUnavailable: some may have been taken and not been stored.
    """
    before = offset - unread.taken
    spliced = yield from _splice(unread, fd, offset)
    if not spliced:
        yield from _copy(unread, fd, before + unread.taken)


def read_some(unread: Unread, buffer: memoryview) -> int:
    """Read into the buffer and return how many bytes that were; 0: no more for now."""
    with contextlib.suppress(OSError):  # whoever reads the body next is told so
        return unread.read_into(buffer)
    return 0


def _splice(unread: Unread, fd: int, offset: int) -> Generator[int, None, bool]:
    """Return False if that cannot be done here."""
    if not _CAN_SPLICE:
        return False
    try:
        pipe = _mine.pipe = _mine.pipe or _Pipe()
        while came := unread.splice_into(pipe.sink.fd):
            for moved in _drain(pipe, came, fd, offset):
                yield moved
                offset += moved
    except OSError:  # there is no room for a pipe, or such sockets are not for it
        return False
    return True


def _drain(pipe: _Pipe, count: int, fd: int, offset: int) -> Iterator[int]:
    """Write what is in the pipe; it is closed if that fails, or nobody asks for it."""
    left = count
    try:
        while left:
            with mapped_os_errors():
                for moved in _write_from(pipe, left, fd, offset):
                    left -= moved
                    offset += moved
                    yield moved
    finally:
        if left:
            pipe.close()
            _mine.pipe = None


def _write_from(pipe: _Pipe, left: int, fd: int, offset: int) -> Iterator[int]:
    try:
        moved = os.splice(pipe.source.fd, fd, left, offset_dst=offset)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do it
            raise
        yield from write_all(fd, [os.read(pipe.source.fd, left)], offset)
    else:
        yield moved


def _copy(unread: Unread, fd: int, offset: int) -> Iterator[int]:
    buffer = own_buffer()[:_CACHED_BYTES]
    while count := read_some(unread, buffer):
        with mapped_os_errors():
            for written in write_all(fd, [buffer[:count]], offset):
                yield written
                offset += written


def feed_digest(fd: int, start: int, stop: int, digest: Digest) -> None:
    """Hash the bytes of a file from `start` to `stop`.

    Raises:
        UploadDamaged: there are fewer.
        StoreUnavailable
    """
    buffer = own_buffer()[:_CACHED_BYTES]
    with mapped_os_errors():
        while start < stop:
            count = os.preadv(fd, [buffer[: stop - start]], start)
            if not count:
                raise UploadDamaged
            digest.update(buffer[:count])
            start += count
