"""The contract of `Placer`, and what is particular to links."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.work import HeldWork
from tusd_py.data.disk import DiskData
from tusd_py.data.placing import LinkPlacer
from tusd_py.protocol.errors import StoreUnavailable, UploadDamaged
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import PLACED_AT, Upload, UploadId
from tusd_py.protocol.placement import parse_template

AT = 1_700_000_000.0


@pytest.fixture
async def placer(tmp_path: Path, run: HeldWork, disk: DiskData) -> LinkPlacer:
    """What places files by owner."""
    return await a_placer(tmp_path, run)


async def a_placer(
    tmp_path: Path, run: HeldWork, template: str = "{owner}/{filename}"
) -> LinkPlacer:
    """What places files in `placed`."""
    made = LinkPlacer(
        tmp_path / "placed", tmp_path / "uploads", parse_template(template), run, dir_mode=0o755
    )
    await made.open()
    return made


async def complete(
    disk: DiskData, content: bytes, name: str = "a.txt", upload_id: str = "a" * 32
) -> Upload:
    """A complete upload of ann's."""
    upload = Upload(
        id=UploadId(upload_id),
        length=len(content),
        offset=len(content),
        owner="ann",
        metadata=format_metadata({"filename": name.encode()}),
        storage=disk.place(UploadId(upload_id)),
    )
    await disk.create(upload, content)
    return upload


async def place(placer: LinkPlacer, upload: Upload, *, durable: bool = False) -> Upload:
    """Plan and place."""
    upload = replace(upload, storage=placer.plan(upload, AT))
    return replace(upload, storage=await placer.place(upload, durable=durable))


async def test_a_file_gets_a_second_name(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """The same bytes, not copied; the upload can still be read, and its place is told."""
    upload = await complete(disk, b"content")
    planned = placer.plan(upload, AT)
    assert planned == {**upload.storage, PLACED_AT: str(tmp_path / "placed/ann/a.txt")}
    assert not (tmp_path / "placed/ann").exists()
    placed = await place(placer, upload)
    assert placed.storage == planned
    assert (tmp_path / "placed/ann/a.txt").read_bytes() == b"content"
    assert (tmp_path / "placed/ann/a.txt").samefile(tmp_path / "uploads" / upload.id)
    assert b"".join([chunk async for chunk in disk.read(placed, 0, 7)]) == b"content"
    file = await disk.open_file(placed)
    assert file is not None
    with file:
        assert file.read() == b"content"


async def test_nothing_is_replaced(tmp_path: Path, placer: LinkPlacer, disk: DiskData) -> None:
    """Files of one name are numbered, and what somebody else has put there stays."""
    (tmp_path / "placed/ann").mkdir()
    (tmp_path / "placed/ann/a.txt").write_text("mine")
    (tmp_path / "placed/ann/a-2.txt").symlink_to(tmp_path / "nowhere")
    for number, expected in ((1, "a-1.txt"), (3, "a-3.txt"), (4, "a-4.txt")):
        upload = await complete(disk, b"%d" % number, upload_id=f"{number}" * 32)
        assert (await place(placer, upload)).storage[PLACED_AT].endswith(f"/ann/{expected}")
    assert (tmp_path / "placed/ann/a.txt").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


async def test_a_hundred_files_of_one_name(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """From there on they get their id: nobody looks through ever more names."""
    (tmp_path / "placed/ann").mkdir()
    for name in ("a.txt", *(f"a-{number}.txt" for number in range(1, 100))):
        (tmp_path / "placed/ann" / name).touch()
    placed = await place(placer, await complete(disk, b"abc"))
    assert placed.storage[PLACED_AT] == str(tmp_path / f"placed/ann/a-{'a' * 32}.txt")


async def test_placing_again_finds_the_name(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """Also when a name before it has become free."""
    (tmp_path / "placed/ann").mkdir()
    (tmp_path / "placed/ann/a.txt").write_text("mine")
    upload = await complete(disk, b"abc")
    upload = replace(upload, storage=placer.plan(upload, AT))
    first = await placer.place(upload, durable=False)
    (tmp_path / "placed/ann/a.txt").unlink()
    assert await placer.place(upload, durable=True) == first
    assert os.listdir(tmp_path / "placed/ann") == ["a-1.txt"]


async def test_files_placed_at_once_get_names_of_their_own(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """However many, in whatever order: each is there under exactly one name."""
    uploads = [await complete(disk, b"%d" % n, upload_id=f"{n:032}") for n in range(20)]
    placed = await asyncio.gather(*(place(placer, upload) for upload in uploads))
    assert len({upload.storage[PLACED_AT] for upload in placed}) == 20
    for number, upload in enumerate(placed):
        name = upload.storage[PLACED_AT].rpartition("/")[2]
        assert (tmp_path / "placed/ann" / name).read_bytes() == b"%d" % number


def swap_folder(place: Path, elsewhere: Path) -> None:
    """A link to a folder in the place of the owner's."""
    (place / "ann").symlink_to(elsewhere)


def swap_file(place: Path, elsewhere: Path) -> None:
    """A file in the place of the owner's folder."""
    (place / "ann").touch()


def swap_directory(place: Path, elsewhere: Path) -> None:
    """A link in the place of the directory itself."""
    place.rmdir()
    place.symlink_to(elsewhere)


@pytest.mark.parametrize("swap", [swap_folder, swap_file, swap_directory])
async def test_nobody_is_followed_elsewhere(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData, swap: Callable[[Path, Path], None]
) -> None:
    """StoreUnavailable, and nothing is made on the other side of a link."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    swap(tmp_path / "placed", elsewhere)
    with pytest.raises(StoreUnavailable):
        await place(placer, await complete(disk, b"abc"))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("below", ["../x", "ann/../../x", "", "ann//x", "/x"])
async def test_a_place_in_a_record_is_not_trusted(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData, below: str
) -> None:
    """A record that somebody has tampered with leads nowhere."""
    upload = await complete(disk, b"abc")
    storage = {**upload.storage, PLACED_AT: f"{tmp_path}/placed/{below}"}
    with pytest.raises(StoreUnavailable):
        await placer.place(replace(upload, storage=storage), durable=False)
    storage = {**upload.storage, PLACED_AT: "/tmp/x"}  # noqa: S108 - nothing is made there
    with pytest.raises(StoreUnavailable):
        await placer.place(replace(upload, storage=storage), durable=False)


async def test_only_whole_files_of_ours_are_placed(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """Missing, too short, or a link to somebody else's file: UploadDamaged, or the disk's fault."""
    upload = await complete(disk, b"abc")
    with pytest.raises(UploadDamaged):
        await place(placer, replace(upload, offset=4))
    path = tmp_path / "uploads" / upload.id
    path.unlink()
    with pytest.raises(UploadDamaged):
        await place(placer, upload)
    path.symlink_to("/etc/passwd")
    with pytest.raises(StoreUnavailable):
        await place(placer, upload)
    assert not list((tmp_path / "placed").rglob("*.txt"))


async def test_a_removed_upload_leaves_its_placed_file(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """It belongs to whoever it was placed for."""
    placed = await place(placer, await complete(disk, b"abc"))
    await disk.delete(placed)
    assert (tmp_path / "placed/ann/a.txt").read_bytes() == b"abc"


async def test_only_what_is_placed_may_have_other_names(
    tmp_path: Path, placer: LinkPlacer, disk: DiskData
) -> None:
    """Of all other uploads a second name is a sign of something planted."""
    upload = await complete(disk, b"abc")
    os.link(upload.storage["Path"], tmp_path / "another")
    with pytest.raises(UploadDamaged):
        await disk.open_file(upload)
    placed = await place(placer, upload)
    file = await disk.open_file(placed)
    assert file is not None
    file.close()


async def test_the_names_are_synced_from_the_file_up(
    tmp_path: Path, run: HeldWork, disk: DiskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder after what is in it, though another process may have made it."""
    placer = await a_placer(tmp_path, run, "{owner}/{year}/{filename}")
    calls: list[str] = []
    link, fsync = os.link, os.fsync

    def noted_link(*args: object, **options: object) -> None:
        calls.append("link")
        link(*args, **options)  # type: ignore[arg-type]

    def noted_fsync(fd: int) -> None:
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    (tmp_path / "placed/ann").mkdir()
    monkeypatch.setattr(os, "link", noted_link)
    monkeypatch.setattr(os, "fsync", noted_fsync)
    await place(placer, await complete(disk, b"abc"), durable=True)
    assert calls[-4:] == ["link", "2023", "ann", "placed"]


@contextlib.contextmanager
def mounted(directory: Path) -> Iterator[None]:
    """Mount another file system there."""
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


async def test_another_file_system_is_told_at_the_start(tmp_path: Path, run: HeldWork) -> None:
    """And not when the first upload is finished."""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "placed").mkdir()
    with mounted(tmp_path / "placed"):
        with pytest.raises(StoreUnavailable, match="file system"):
            await a_placer(tmp_path, run)
        assert list((tmp_path / "placed").iterdir()) == []
    assert list((tmp_path / "uploads/.tusd_py/new").iterdir()) == []
    (tmp_path / "placed/.tusd_py").touch()  # left by a crash
    await a_placer(tmp_path, run)
    assert list((tmp_path / "placed").iterdir()) == []
