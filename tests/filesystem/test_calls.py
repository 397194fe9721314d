"""File system calls with the care that uploads need."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tusd_py.filesystem.calls import (
    OpenFile,
    boot_id,
    create_file,
    make_folders,
    mapped_os_errors,
    open_regular,
    sync_directory,
    sync_parents,
    write_all,
)
from tusd_py.protocol.errors import InsufficientStorage, StoreUnavailable

# A process may not lower its own limit on file sizes and raise it again for others, so the
# short write happens in one of its own: 1000 bytes fit, 3000 are written.
WRITE_TOO_MUCH = """
import resource, sys, os
from tusd_py.filesystem.calls import write_all
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
steps = []
try:
    for step in write_all(fd, [b"a" * 300, b"b" * 500, b"c" * 2200], 0):
        steps.append(step)
except OSError as error:
    print(sum(steps), error.errno)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file may be made."""
    return tmp_path / "file"


def write(path: Path, buffers: list[bytes | memoryview], offset: int) -> list[int]:
    """Write to a file; return the steps."""
    with OpenFile(os.open(path, os.O_RDWR | os.O_CREAT, 0o600)) as file:
        return list(write_all(file.fd, buffers, offset))


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1500])
def test_all_buffers_are_written(path: Path, count: int) -> None:
    """More buffers than one call can take are written all the same, in order."""
    buffers: list[bytes | memoryview] = [bytes([n % 251]) * (n % 7) for n in range(count)]
    assert sum(write(path, buffers, 0)) == sum(map(len, buffers))
    assert path.read_bytes() == b"".join(buffers)


def test_nothing_is_written_as_nothing(path: Path) -> None:
    """No buffer, or empty ones, write no byte and end."""
    assert sum(write(path, [], 0)) == 0
    assert sum(write(path, [b"", memoryview(b"")], 0)) == 0
    assert path.read_bytes() == b""


def test_the_offset_is_where_it_begins(path: Path) -> None:
    """What lies before the offset is left alone."""
    path.write_bytes(b"0123456789")
    write(path, [b"ab", b"", memoryview(b"cd")], 4)
    assert path.read_bytes() == b"0123abcd89"


def test_short_writes_are_counted_and_gone_on_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that takes three bytes at a time gets all of them in the end."""
    pwritev = os.pwritev

    def stingy(fd: int, buffers: list[memoryview], offset: int) -> int:
        return pwritev(fd, [buffers[0][:3]], offset)

    monkeypatch.setattr(os, "pwritev", stingy)
    assert write(path, [b"01234567", b"89", b"abc"], 0) == [3, 3, 2, 2, 3]
    assert path.read_bytes() == b"0123456789abc"


def test_what_was_written_before_the_limit_is_known(path: Path) -> None:
    """Where no more fits, the steps so far add up to the size of the file, and no more."""
    said = subprocess.run(
        [sys.executable, "-c", WRITE_TOO_MUCH, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=30,
    )
    assert said.stdout.split() == ["1000", str(errno.EFBIG)]
    assert path.read_bytes() == b"a" * 300 + b"b" * 500 + b"c" * 200


# --- opening


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
@pytest.mark.parametrize("what", ["symlink", "dangling", "fifo", "directory", "device"])
def test_only_regular_files_are_opened(path: Path, what: str, flags: int) -> None:
    """Links, FIFOs, directories and devices are refused at once, without waiting or leaking."""
    match what:
        case "symlink":
            target = path.with_name("target")
            target.touch()
            path.symlink_to(target)
        case "dangling":
            path.symlink_to("nothing")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "device":
            path = Path("/dev/null")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r".") as caught:
        open_regular(path, flags)
    assert not isinstance(caught.value, FileNotFoundError)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_is_not_written_through(path: Path) -> None:
    """Creating a file where a link is planted touches nothing elsewhere."""
    target = path.with_name("target")
    path.symlink_to(target)
    with pytest.raises(FileExistsError):
        create_file(path, 0o600)
    assert not target.exists()


def test_a_new_file_has_the_mode_that_was_asked_for(path: Path) -> None:
    """The mode applies to new files, less the umask."""
    before = os.umask(0o022)
    try:
        create_file(path, 0o664).close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_descriptors_are_not_inherited(path: Path) -> None:
    """A hook's process must not keep a lock or a deleted file alive."""
    path.touch()
    with open_regular(path, os.O_RDONLY) as file:
        assert not os.get_inheritable(file.fd)


def is_open(fd: int) -> bool:
    """Whether the number is an open descriptor."""
    return os.path.exists(f"/proc/self/fd/{fd}")


def test_an_open_file_is_closed_once(path: Path) -> None:
    """Leaving the context closes it; closing again does not close somebody else's file."""
    path.touch()
    with OpenFile(os.open(path, os.O_RDONLY)) as file:
        fd = file.fd
        assert is_open(fd)
    assert not is_open(fd)
    somebody = os.open(path, os.O_RDONLY)
    try:
        assert somebody == fd
        file.close()
        assert is_open(fd)
    finally:
        os.close(somebody)


def test_an_open_file_that_is_forgotten_is_closed(path: Path) -> None:
    """What nobody refers to any more is closed, and with it goes its lock."""
    path.touch()
    file = OpenFile(os.open(path, os.O_RDONLY))
    fd = file.fd
    del file
    assert not is_open(fd)


# --- errors and syncs


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, InsufficientStorage),
        (errno.EDQUOT, InsufficientStorage),
        (errno.EFBIG, InsufficientStorage),
        (errno.EIO, StoreUnavailable),
        (errno.EACCES, StoreUnavailable),
        (errno.EROFS, StoreUnavailable),
        (errno.EMFILE, StoreUnavailable),
        (errno.ENOENT, StoreUnavailable),
    ],
)
def test_a_fault_of_the_system_is_never_the_clients(number: int, error: type[Exception]) -> None:
    """No room is 507 and all else 503, never 'not found'; the cause is kept for the log."""
    with pytest.raises(error) as caught, mapped_os_errors():
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that are synced, in order."""
    seen: list[str] = []
    sync = os.fsync

    def noted(fd: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    return seen


def test_parents_are_synced_up_to_the_root(tmp_path: Path, synced: list[str]) -> None:
    """Directories that an id with slashes made are synced too, and none above the root."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    sync_parents(folder / "file", tmp_path)
    assert synced == [str(folder), str(tmp_path / "a"), str(tmp_path)]
    synced.clear()
    sync_parents(tmp_path / "file", tmp_path)
    assert synced == [str(tmp_path)]


def test_outside_of_the_root_one_parent_is_synced(tmp_path: Path, synced: list[str]) -> None:
    """For a file that lies elsewhere its own directory is enough."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sync_parents(elsewhere / "file", tmp_path / "uploads")
    assert synced == [str(elsewhere)]


def test_folders_that_are_made_survive_a_power_cut(tmp_path: Path, synced: list[str]) -> None:
    """Each new one is synced into the one above it, and those that were there are left alone."""
    make_folders(tmp_path / "a" / "b", 0o775)
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    synced.clear()
    make_folders(tmp_path / "a" / "b", 0o775)
    assert synced == []


def test_only_a_directory_is_synced_as_one(path: Path) -> None:
    """A file in its place is an error."""
    path.touch()
    with pytest.raises(NotADirectoryError):
        sync_directory(path)


def test_the_boot_has_a_name() -> None:
    """The kernel names its run, always the same."""
    assert boot_id() == boot_id()
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_folder_that_became_a_link_is_not_followed(tmp_path: Path, depth: int) -> None:
    """A29: a link anywhere on the way is refused; nothing is opened or made behind it."""
    folder = tmp_path.joinpath(*["a"] * depth)
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x")
    with open_regular(folder / "file", os.O_RDONLY) as file:
        assert os.read(file.fd, 9) == b"x"
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("b")
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(folder / "file", os.O_RDONLY)
    with pytest.raises(OSError, match="symbolic links"):
        create_file(folder / "new", 0o600)
    assert not (folder / "new").exists()
