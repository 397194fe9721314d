"""Taking bytes away from a writer that may be paused, and wake up at any time. All of it blocks.

Where claims are leases, a holder can lose its claim without knowing: its process was stopped, or
cut off. No lease keeps it from writing when it wakes. So whoever comes after such a holder gives
the bytes a name that nobody had before, and a writer makes sure, under a lock on the file, that
the file still has the name by which the writer knows it. See docs/explanation/redis.md.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time

from ..filesystem.calls import (
    OpenFile,
    create_file,
    mapped_os_errors,
    open_regular,
    sync_directory,
    write_all,
)
from ..filesystem.seized_names import UNFINISHED, fence_of, newest_seized
from ..protocol.errors import (
    BytesBusy,
    ClaimLost,
    StoreUnavailable,
    UploadDamaged,
    UploadNotFound,
)

# Somebody who only looks whether he may write is done sooner than this, unless he is stopped.
_LOCK_PATIENCE_S = 0.5
_LOCK_PAUSE_S = 0.005
_COPY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_NO_COPY_IN_KERNEL = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def lock_for_writing(file: OpenFile, path: str) -> None:
    """Make sure that nobody else writes to the open file, until it is closed.

    To be called before anything is cut off or written.

    Raises:
        ClaimLost: the bytes have another name by now, or none.
        BytesBusy: somebody else has them open for writing: only one without a claim can.
    """
    with mapped_os_errors():
        if not _try_lock(file, _LOCK_PATIENCE_S):
            raise BytesBusy
        if not _is_named(file, path):
            raise ClaimLost


def is_taken_away(fd: int) -> bool:
    """Whether the open file has no name any more: what was written to it belongs to nobody."""
    return os.fstat(fd).st_nlink == 0


def seize(old: str, new: str, offset: int, *, has_names: bool = False) -> None:
    """Give the first `offset` bytes of `old` the name `new`, out of reach of earlier writers.

    If nobody has the file open for writing now, it is renamed: a writer that opened it before
    and has not locked it yet finds that its name is gone. Else the bytes are copied, and the
    writer is left alone with a file that has no name.

    Also finds the bytes when an earlier seizure was cut short by a crash.

    Args:
        old: where the record says that they are.
        new: a name from `seized_path`, with the fence of the claim.
        offset: how many bytes have been committed.
        has_names: the file may have other names, which are not those of other files.

    Raises:
        ClaimLost: somebody with a later claim has seized them already.
        UploadNotFound: there is no file, and it need not have a byte.
        UploadDamaged: there are fewer bytes.
        InsufficientStorage, StoreUnavailable: the bytes are still where they were.
    """
    with mapped_os_errors():
        while True:
            place = _find(old, new)
            if place is None:
                raise UploadDamaged if offset else UploadNotFound
            with contextlib.suppress(FileNotFoundError), open_regular(place, os.O_RDWR) as file:
                planted = file.found.st_nlink > 1 and not has_names
                if file.found.st_size < offset or planted:
                    raise UploadDamaged  # bytes are missing, or it is somebody else's file, too
                if not _try_lock(file, 0):
                    _copy(file, new, offset)
                    _unlink_if_same(file, place)
                elif _is_named(file, place):
                    if file.found.st_size > offset:  # never committed, and maybe never written
                        os.ftruncate(file.fd, offset)
                    os.rename(place, new)
                else:
                    continue  # somebody else seized it in between: look for it again
                sync_directory(os.path.dirname(new))
                return


def _find(old: str, new: str) -> str | None:
    """Return where the bytes are: where the record says, or where a crash left them."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if stat.S_ISREG(os.lstat(old).st_mode):
            return old
        raise UploadDamaged  # planted: nothing of ours
    newest = newest_seized(old)
    if newest is not None and fence_of(newest) >= fence_of(new):
        raise ClaimLost  # it is we who came too late
    return newest


def _copy(file: OpenFile, new: str, count: int) -> None:
    """Copy the first bytes of a file that somebody else may be writing behind them."""
    unfinished = new + UNFINISHED
    mode = stat.S_IMODE(os.fstat(file.fd).st_mode)
    with create_file(unfinished, mode) as target:
        try:
            _copy_bytes(file.fd, target.fd, count)
            # What was on disk before has to be there still.
            os.fdatasync(target.fd)
            os.rename(unfinished, new)
        except BaseException:
            os.unlink(unfinished)
            raise


def _copy_bytes(source: int, target: int, count: int) -> None:
    done = 0
    while done < count:
        copied = _copy_step(source, target, done, min(count - done, _COPY_BYTES))
        if not copied:
            raise StoreUnavailable  # cut by the writer under our hands
        done += copied


def _copy_step(source: int, target: int, start: int, count: int) -> int:
    """Copy inside the kernel, by reference where the file system can."""
    try:
        return os.copy_file_range(source, target, count, start, start)
    except OSError as error:
        if error.errno not in _NO_COPY_IN_KERNEL:
            raise
    chunk = os.pread(source, min(count, _READ_BYTES), start)
    return sum(write_all(target, [chunk], start))


def _try_lock(file: OpenFile, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True


def _is_named(file: OpenFile, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fd), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _unlink_if_same(file: OpenFile, path: str) -> None:
    if _is_named(file, path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
