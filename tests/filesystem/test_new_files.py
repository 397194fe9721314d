"""Files that get their name when they are whole."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tusd_py.filesystem.new_files import PRIVATE_FOLDER, NewFiles
from tusd_py.protocol.errors import StoreUnavailable


@pytest.fixture
def new_files(tmp_path: Path) -> NewFiles:
    """New files in an upload directory."""
    made = NewFiles(tmp_path, 0o640)
    made.make()
    return made


def private(directory: Path) -> set[str]:
    """What is still without a name."""
    return {path.name for path in (directory / PRIVATE_FOLDER / "new").iterdir()}


def test_a_file_is_whole_when_it_gets_its_name(new_files: NewFiles, tmp_path: Path) -> None:
    """Until then nothing of that name is there; afterwards nothing else is."""
    file, place = new_files.write(b"whole")
    with file:
        assert not (tmp_path / "name").exists()
        new_files.give_name(place, str(tmp_path / "name"))
        assert os.pread(file.fd, 9, 0) == b"whole"
    assert (tmp_path / "name").read_bytes() == b"whole"
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o640
    assert private(tmp_path) == set()


def test_a_taken_name_stays_taken(new_files: NewFiles, tmp_path: Path) -> None:
    """What has the name is not replaced, and the new file is gone."""
    (tmp_path / "name").write_bytes(b"mine")
    file, place = new_files.write(b"yours")
    with file, pytest.raises(FileExistsError):
        new_files.give_name(place, str(tmp_path / "name"))
    assert (tmp_path / "name").read_bytes() == b"mine"
    assert private(tmp_path) == set()


def test_two_processes_never_share_a_place(tmp_path: Path) -> None:
    """Places are told apart by process and by number."""
    places = set()
    for _ in range(3):
        new_files = NewFiles(tmp_path, 0o600)
        new_files.make()
        for _ in range(3):
            file, place = new_files.write(b"")
            file.close()
            places.add(place)
    assert len(places) == 9


def test_threads_never_share_a_place(new_files: NewFiles, tmp_path: Path) -> None:
    """Work for the disk is done by several threads, whenever they get the interpreter."""

    def write_many(_: int) -> list[str]:
        places = []
        for _ in range(300):
            file, place = new_files.write(b"")
            file.close()
            places.append(place)
        return places

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            places = list(itertools.chain.from_iterable(threads.map(write_many, range(8))))
    finally:
        sys.setswitchinterval(before)
    assert len(set(places)) == len(private(tmp_path)) == 8 * 300


def test_without_its_folder_it_fails(tmp_path: Path) -> None:
    """A folder that is gone is a fault of the store."""
    with pytest.raises(StoreUnavailable):
        NewFiles(tmp_path, 0o600).write(b"x")


def test_a_folder_that_is_back_is_found(new_files: NewFiles, tmp_path: Path) -> None:
    """Whoever removes the folder and makes it anew need not restart the server."""
    folder = tmp_path / PRIVATE_FOLDER / "new"
    new_files.write(b"")[0].close()
    shutil.rmtree(folder)
    with pytest.raises(StoreUnavailable):
        new_files.write(b"lost")
    folder.mkdir()
    new_files.write(b"found")[0].close()
    assert [path.read_bytes() for path in folder.iterdir()] == [b"found"]


def test_after_the_end_nothing_is_open(tmp_path: Path) -> None:
    """A file system that was written to can be unmounted."""
    before = set(os.listdir("/proc/self/fd"))
    new_files = NewFiles(tmp_path, 0o600)
    new_files.make()
    new_files.write(b"")[0].close()
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    new_files.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_link_in_place_of_the_folder_is_not_followed(new_files: NewFiles, tmp_path: Path) -> None:
    """A29: what is written stays in the folder that was there, or fails; nothing goes elsewhere."""
    elsewhere = tmp_path / "elsewhere" / "new"
    elsewhere.mkdir(parents=True)
    new_files.write(b"")[0].close()
    (tmp_path / PRIVATE_FOLDER).rename(tmp_path / "moved")
    (tmp_path / PRIVATE_FOLDER).symlink_to(elsewhere.parent)
    new_files.write(b"stays")[0].close()
    assert {path.read_bytes() for path in (tmp_path / "moved" / "new").iterdir()} == {b"", b"stays"}
    with pytest.raises(StoreUnavailable):
        NewFiles(tmp_path, 0o600).write(b"fails")
    assert list(elsewhere.iterdir()) == []


def test_a_file_takes_the_place_of_another(new_files: NewFiles, tmp_path: Path) -> None:
    """Replacing leaves one file, the new one, under the name."""
    (tmp_path / "name").write_bytes(b"old")
    file, place = new_files.write(b"new")
    with file:
        new_files.replace(place, str(tmp_path / "name"))
    assert (tmp_path / "name").read_bytes() == b"new"
    assert private(tmp_path) == set()


def test_what_a_crash_left_is_removed(new_files: NewFiles, tmp_path: Path) -> None:
    """What is older than the given time goes, what is newer stays."""
    old, place = new_files.write(b"old")
    new, _ = new_files.write(b"new")
    old.close()
    new.close()
    long_ago = time.time() - 1000
    os.utime(tmp_path / PRIVATE_FOLDER / "new" / place, (long_ago, long_ago))
    assert new_files.remove_older(long_ago + 1) == [place]
    assert len(private(tmp_path)) == 1


def test_what_gets_its_name_meanwhile_is_no_leftover(
    new_files: NewFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone when the search for leftovers comes to it stops nobody."""
    file, place = new_files.write(b"named while others look")
    file.close()
    look = os.scandir

    class Late:
        """Lets the file get its name after it was seen, and before it is looked at."""

        def __init__(self, path: str) -> None:
            self._entries = look(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            seen = list(self._entries)
            new_files.give_name(place, str(tmp_path / "name"))
            return iter(seen)

        def __exit__(self, *_: object) -> None:
            self._entries.close()

    monkeypatch.setattr(os, "scandir", Late)
    assert new_files.remove_older(time.time() + 1000) == []
    assert (tmp_path / "name").exists()
