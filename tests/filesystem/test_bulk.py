"""Many bytes go from where they lie into a file, whatever the system can do and whatever fails."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.unread import Lying
from tusd_py.filesystem import bulk
from tusd_py.filesystem.bulk import feed_digest, store_unread
from tusd_py.protocol.errors import InsufficientStorage, UploadDamaged

CONTENT = os.urandom(3_000_001)


def stored(path: Path, unread: Lying, *, flags: int = 0) -> list[int]:
    """Store what is unread behind four bytes; return the sizes of the steps."""
    path.write_bytes(b"----")
    fd = os.open(path, os.O_RDWR | flags)
    try:
        return list(store_unread(unread, fd, 4))
    finally:
        os.close(fd)


@pytest.mark.parametrize("spliced", [True, False])
def test_every_byte_is_stored_and_counted(tmp_path: Path, *, spliced: bool) -> None:
    """In their order, at the offset, with or without the help of the kernel."""
    unread = Lying(CONTENT, spliced=spliced)
    assert sum(stored(tmp_path / "file", unread)) == len(CONTENT) == unread.taken
    assert (tmp_path / "file").read_bytes() == b"----" + CONTENT


def test_a_file_that_cannot_be_spliced_to_gets_them_all_the_same(tmp_path: Path) -> None:
    """As the kernel refuses it for files that are open for appending."""
    assert sum(stored(tmp_path / "file", Lying(CONTENT), flags=os.O_APPEND)) == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == b"----" + CONTENT


def test_without_a_pipe_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be no descriptors left."""

    def no_pipe(_: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe2", no_pipe)
    with ThreadPoolExecutor(1) as thread:  # which has none yet
        steps = thread.submit(stored, tmp_path / "file", Lying(CONTENT)).result()
    assert sum(steps) == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == b"----" + CONTENT


@pytest.mark.parametrize("room", [0, 100_000])
def test_what_there_was_no_room_for_is_in_nobody_s_way(tmp_path: Path, room: int) -> None:
    """What fits is stored, and the next file that this thread writes has only its own bytes."""
    path, limits = tmp_path / "full", resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("w+b") as full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(InsufficientStorage):
                list(store_unread(Lying(CONTENT), full.fileno(), 0))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == CONTENT[:room]
    assert sum(stored(tmp_path / "file", Lying(CONTENT[-70_000:]))) == 70_000
    assert (tmp_path / "file").read_bytes() == b"----" + CONTENT[-70_000:]


def test_each_thread_has_a_pipe_and_a_buffer_of_its_own() -> None:
    """Which it keeps; they are gone when the thread is."""
    before = set(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(1) as thread:
        one, again = (thread.submit(bulk.own_buffer).result() for _ in range(2))
        assert one is again
        assert one is not bulk.own_buffer()
        with open("/dev/null", "r+b", buffering=0) as null:
            pipes = [
                thread.submit(
                    lambda: list(store_unread(Lying(b"x"), null.fileno(), 0)) and bulk._mine.pipe
                ).result()
                for _ in range(2)
            ]
        assert pipes[0] is pipes[1] is not None
        pipes.clear()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_digest_is_fed_a_part_of_a_file(tmp_path: Path) -> None:
    """Exactly from start to stop; fewer bytes are damage."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        feed_digest(file.fileno(), 5, 2_000_000, digest)
        with pytest.raises(UploadDamaged):
            feed_digest(file.fileno(), 0, len(CONTENT) + 1, hashlib.sha256())
    assert digest.digest() == hashlib.sha256(CONTENT[5:2_000_000]).digest()
