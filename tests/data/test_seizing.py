"""Bytes that are taken away from a writer, wherever that writer stands."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tusd_py.data.seizing import is_taken_away, lock_for_writing, seize
from tusd_py.filesystem.calls import OpenFile, open_regular
from tusd_py.filesystem.seized_names import (
    is_seized_name,
    newest_seized,
    plain_path,
    seized_path,
)
from tusd_py.protocol.errors import (
    BytesBusy,
    ClaimLost,
    StoreUnavailable,
    UploadDamaged,
    UploadNotFound,
)
from tusd_py.protocol.model import parse_upload_id


@pytest.fixture
def old(tmp_path: Path) -> str:
    """The data file of an upload, of ten bytes."""
    path = tmp_path / "abc"
    path.write_bytes(b"0123456789")
    return str(path)


@pytest.fixture
def new(old: str) -> str:
    """The name that it is to get."""
    return seized_path(old, 7)


@pytest.fixture
def stale(old: str) -> Iterator[OpenFile]:
    """The file as somebody has it open who came first."""
    with open_regular(old, os.O_RDWR) as file:
        yield file


def names(path: str) -> list[str]:
    """What lies beside a file."""
    return sorted(os.listdir(os.path.dirname(path)))


# --- writers


def test_a_writer_has_the_file_for_itself(old: str, stale: OpenFile) -> None:
    """A second one is told that somebody writes, until the first one closes the file."""
    lock_for_writing(stale, old)
    with open_regular(old, os.O_RDWR) as second:
        with pytest.raises(BytesBusy):
            lock_for_writing(second, old)
        stale.close()
        lock_for_writing(second, old)


def test_who_only_looks_is_waited_for(old: str, stale: OpenFile) -> None:
    """A lock that is held for a moment only is no obstacle."""
    lock_for_writing(stale, old)
    threading.Timer(0.05, stale.close).start()
    with open_regular(old, os.O_RDWR) as second:
        lock_for_writing(second, old)


@pytest.mark.parametrize("what", ["renamed", "replaced", "removed"])
def test_a_writer_finds_that_its_file_has_gone(old: str, stale: OpenFile, what: str) -> None:
    """A file that was opened and has lost its name since cannot be locked for writing."""
    os.rename(old, f"{old},1-0") if what != "removed" else os.unlink(old)
    if what == "replaced":
        Path(old).write_bytes(b"another one")
    with pytest.raises(ClaimLost):
        lock_for_writing(stale, old)


# --- seizing


def test_a_file_that_nobody_writes_is_renamed(old: str, new: str) -> None:
    """No byte is copied."""
    inode = os.stat(old).st_ino
    seize(old, new, 4)
    assert os.stat(new).st_ino == inode
    assert names(new) == [os.path.basename(new)]


def test_a_file_that_was_opened_before_cannot_be_written(
    old: str, new: str, stale: OpenFile
) -> None:
    """A writer that was stopped between opening and locking finds out."""
    seize(old, new, 10)
    with pytest.raises(ClaimLost):
        lock_for_writing(stale, old)


def test_a_file_that_is_being_written_is_copied(old: str, new: str, stale: OpenFile) -> None:
    """The writer goes on into nowhere, and can see that; what was committed is in the copy."""
    lock_for_writing(stale, old)
    os.pwrite(stale.fd, b"not committed", 10)
    seize(old, new, 10)
    os.pwrite(stale.fd, b"late", 0)
    os.ftruncate(stale.fd, 2)
    assert is_taken_away(stale.fd)
    assert Path(new).read_bytes() == b"0123456789"
    assert names(new) == [os.path.basename(new)]


def test_the_copy_can_be_written_at_once(old: str, new: str, stale: OpenFile) -> None:
    """Whoever seized the bytes is not kept waiting by the old writer's lock."""
    lock_for_writing(stale, old)
    seize(old, new, 10)
    with open_regular(new, os.O_RDWR) as file:
        lock_for_writing(file, new)
        assert not is_taken_away(file.fd)


def test_bytes_can_be_seized_again_and_again(old: str) -> None:
    """Each time the name is another one."""
    first, second = seized_path(old, 7), seized_path(old, 8)
    seize(old, first, 10)
    seize(first, seized_path(first, 8), 10)
    assert plain_path(first) == old
    assert seized_path(first, 8) != second
    assert len(names(old)) == 1


@pytest.mark.parametrize("recorded", ["the first name", "an earlier seizure"])
def test_a_seizure_that_was_cut_short_is_found(old: str, new: str, recorded: str) -> None:
    """Renamed, and never recorded: the next one finds the newest of its names."""
    os.rename(old, seized_path(old, 9))
    Path(seized_path(old, 8)).write_bytes(b"")
    Path(seized_path(old, 10) + "~").write_bytes(b"012")
    seize(old if recorded == "the first name" else seized_path(old, 7), seized_path(old, 11), 10)
    assert Path(newest_seized(old) or "").read_bytes() == b"0123456789"


@pytest.mark.parametrize("fence", [8, 7])
def test_who_seizes_too_late_takes_nothing(old: str, new: str, fence: int) -> None:
    """One that was stopped before its seizure leaves those bytes alone that a later claim has."""
    later = seized_path(old, fence)
    seize(old, later, 10)
    with pytest.raises(ClaimLost):
        seize(old, new, 10)
    assert names(old) == [os.path.basename(later)]


def test_who_was_overtaken_while_seizing_takes_nothing(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was stopped right before renaming finds the name gone, and stops."""
    later = seized_path(old, 8)
    real = os.rename

    def overtaken(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", real)
        seize(old, later, 10)  # we have the lock, so this one copies
        real(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    with pytest.raises(ClaimLost):
        seize(old, new, 10)
    assert names(old) == [os.path.basename(later)]
    assert Path(later).read_bytes() == b"0123456789"


def test_missing_bytes_are_damage(old: str, new: str) -> None:
    """Fewer bytes than were committed cannot be made good; nothing is touched."""
    with pytest.raises(UploadDamaged):
        seize(old, new, 11)
    assert names(old) == ["abc"]
    os.unlink(old)
    with pytest.raises(UploadDamaged):
        seize(old, new, 1)
    with pytest.raises(UploadNotFound):
        seize(old, new, 0)


def test_what_is_planted_is_not_seized(old: str, new: str, tmp_path: Path) -> None:
    """A link in the place of the data file is not followed."""
    os.rename(old, tmp_path / "elsewhere")
    os.symlink("elsewhere", old)
    with pytest.raises(UploadDamaged):
        seize(old, new, 10)


def test_a_copy_that_is_cut_under_our_hands_leaves_nothing(
    old: str, new: str, stale: OpenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer that goes on may also cut: then it is an error, and tried again."""
    lock_for_writing(stale, old)
    real = os.copy_file_range

    def cutting(*args: int) -> int:
        os.ftruncate(stale.fd, 0)
        return real(*args)

    monkeypatch.setattr(os, "copy_file_range", cutting)
    with pytest.raises(StoreUnavailable):
        seize(old, new, 10)
    assert names(old) == ["abc"]


# --- names


def test_no_upload_has_the_name_of_seized_bytes(new: str) -> None:
    """What a seizure names cannot be anybody's id, nor the other way round."""
    name = os.path.basename(new)
    assert parse_upload_id(name) is None
    assert is_seized_name(name)
    assert not is_seized_name("abc.7-12345678")
