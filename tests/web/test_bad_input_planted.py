"""Links, pipes and folders that somebody has put into the upload directory (A28)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.raw_http import request
from tests.support.server import Server, running_server
from tests.support.target import MISSING, STORED, TYPE, Target, V, assert_refused, new_target

CANARY = b"nobody may touch this"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose administrator may well be told that something is wrong."""
    folder = tmp_path_factory.mktemp("planted")
    with running_server(folder / "uploads") as server:
        yield server


@pytest.fixture
def canary(server: Server) -> Iterator[Path]:
    """A file outside the upload directory, which is the same after the test."""
    file = server.upload_dir.parent / "canary"
    file.write_bytes(CANARY)
    yield file
    assert file.read_bytes() == CANARY


def plant_link(file: Path, canary: Path) -> None:
    """Put a link to the canary there."""
    file.symlink_to(canary)


def plant_hard_link(file: Path, canary: Path) -> None:
    """Give the canary a second name there."""
    os.link(canary, file)


def plant_pipe(file: Path, canary: Path) -> None:
    """Put a FIFO there; whoever opens it plainly waits for ever."""
    os.mkfifo(file)


def plant_folder(file: Path, canary: Path) -> None:
    """Put a directory there."""
    file.mkdir()


Plant = Callable[[Path, Path], None]
PLANTS = pytest.mark.parametrize("plant", [plant_link, plant_hard_link, plant_pipe, plant_folder])


@pytest.fixture
def incomplete(server: Server) -> Target:
    """An upload with a part of its bytes."""
    return new_target(server)


@pytest.fixture
def complete(server: Server) -> Target:
    """An upload with all of its bytes."""
    return new_target(server, ("Upload-Length", "3"))


@PLANTS
def test_what_is_no_file_is_not_written(incomplete: Target, canary: Path, plant: Plant) -> None:
    """A PATCH does not follow a link, wait for a pipe or make a file of a folder."""
    incomplete.file.unlink()
    plant(incomplete.file, canary)
    assert_refused(incomplete.patch(body=MISSING), 404, 409, 410, 503)


@PLANTS
def test_what_is_no_file_is_not_read(complete: Target, canary: Path, plant: Plant) -> None:
    """A GET gives back nothing but the bytes of the upload."""
    complete.file.unlink()
    plant(complete.file, canary)
    answer = complete.send(request("GET", complete.path), "GET")
    assert answer.status >= 400
    assert CANARY[:3] not in answer.body


@PLANTS
def test_at_most_the_link_is_removed(incomplete: Target, canary: Path, plant: Plant) -> None:
    """A DELETE removes at most what stands in the directory, never what it leads to."""
    incomplete.file.unlink()
    plant(incomplete.file, canary)
    assert incomplete.send(request("DELETE", incomplete.path, V)).status in (204, 410)


def test_a_record_that_is_a_link_is_not_followed(incomplete: Target, canary: Path) -> None:
    """A record that leads elsewhere is no record, and what it leads to is left alone."""
    record = incomplete.file.with_name(incomplete.file.name + ".info")
    content = record.read_bytes()
    elsewhere = canary.with_name("elsewhere")
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    assert_refused(incomplete.patch(body=MISSING), 404, 410, 503)
    assert elsewhere.read_bytes() == content
    assert record.is_symlink()


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_an_upload_without_its_bytes_can_be_removed(server: Server, damage: str) -> None:
    """What lacks bytes is 410 to all but DELETE, which removes what is left of it."""
    upload = new_target(server, ("Upload-Length", "3"))
    if damage == "gone":
        upload.file.unlink()
    else:
        os.truncate(upload.file, 1)
    assert upload.inspect().status == 410
    assert_refused(upload.patch(), 410)
    assert_refused(upload.send(request("GET", upload.path), "GET"), 410)
    upload.delete()
    assert upload.inspect().status == 404
    assert not list(server.upload_dir.glob(f"{upload.file.name}*"))


def test_a_directory_that_became_a_link_is_not_followed(server: Server, incomplete: Target) -> None:
    """A29: whoever swaps a directory for a link leads no byte elsewhere, not even to a twin."""
    place = server.upload_dir
    twin = place.with_name("twin")
    place.rename(twin)
    place.symlink_to(twin)
    before = sorted(path.name for path in twin.iterdir())
    try:
        assert incomplete.create(("Upload-Length", "5")).status == 503
        assert incomplete.create(TYPE, ("Upload-Length", "3"), body=STORED).status == 503
        assert incomplete.patch(body=MISSING).status == 503
        assert incomplete.inspect().status == 423
        assert incomplete.send(request("GET", incomplete.path), "GET").status == 503
        assert incomplete.send(request("DELETE", incomplete.path, V)).status == 503
        assert sorted(path.name for path in twin.iterdir()) == before
    finally:
        place.unlink()
        twin.rename(place)
    assert incomplete.patch(body=MISSING).status == 204
    assert incomplete.file.read_bytes() == STORED + MISSING
    incomplete.delete()


def test_new_files_do_not_follow_a_link_in_place_of_their_folder(
    server: Server, incomplete: Target, tmp_path: Path
) -> None:
    """A29: they go on to be written where they were, which is still the same file system."""
    place = server.upload_dir / ".tusd_py/new"
    moved = place.with_name("moved")
    place.rename(moved)
    place.symlink_to(tmp_path)
    try:
        assert incomplete.create(TYPE, ("Upload-Length", "3"), body=STORED).status == 201
        assert incomplete.patch(body=MISSING).status == 204
        assert list(tmp_path.iterdir()) == []
    finally:
        place.unlink()
        moved.rename(place)
    assert incomplete.file.read_bytes() == STORED + MISSING
    incomplete.delete()
