"""Finished files get a name that people can read: once, before anybody is told, after crashes."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.support.bodies import ScriptedBody
from tests.support.work import running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.data.placing import LinkPlacer
from tusd_py.filesystem.work import FileWork
from tusd_py.interfaces import Durability, HookType
from tusd_py.offsets.files import FileOffsets
from tusd_py.protocol.digests import DigestRules
from tusd_py.protocol.errors import ChecksumMismatch, StoreUnavailable, UploadRejected
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import PLACED_AT, Limits, Upload
from tusd_py.protocol.placement import parse_template
from tusd_py.service.announce import Announcer
from tusd_py.service.completion import LEFT_AFTER_S

from .conftest import EXPIRE_AFTER_S, Death, House

CONTENT = b"all the bytes of a file"
NAMED = format_metadata({"filename": b"a.txt"})


class FrailPlacer(LinkPlacer):
    """Dies, or fails, before or after a file got its name, as long as the test says so."""

    fault: str | None = None

    async def place(self, upload: Upload, *, durable: bool) -> Mapping[str, str]:
        if self.fault == "death before":
            raise Death
        if self.fault == "disk":
            raise StoreUnavailable
        storage = await super().place(upload, durable=durable)
        if self.fault == "death after":
            raise Death
        return storage


class Street:
    """One directory, and the services that come one after another in it."""

    def __init__(self, path: Path, run: FileWork) -> None:
        self.path = path
        self._run = run
        self.placer = FrailPlacer(
            path / "placed", path / "uploads", parse_template("{filename}"), run, dir_mode=0o755
        )

    async def house(
        self,
        durability: Durability = Durability.COMPLETE,
        boot: str | None = None,
        digests: DigestRules | None = None,
        limits: Limits | None = None,
    ) -> House:
        """Begin the next service."""
        offsets = FileOffsets(self.path / "uploads", self._run, durability=durability, boot=boot)
        data = DiskData(self.path / "uploads", self._run)
        house = House(
            offsets=offsets,
            data=data,
            durability=durability,
            placer=self.placer,
            digests=digests,
            limits=limits,
        )
        await data.open()
        await self.placer.open()
        await offsets.open()
        return house

    @property
    def placed(self) -> Mapping[str, bytes]:
        """What is there."""
        return {file.name: file.read_bytes() for file in (self.path / "placed").iterdir()}


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    """A directory of its own."""
    async with running_lanes() as run:
        yield Street(tmp_path, run)


@pytest.mark.parametrize("durability", Durability)
async def test_a_finished_file_is_placed(street: Street, durability: Durability) -> None:
    """pre-finish comes before, post-finish is told where; it can be downloaded as ever."""
    house = await street.house(durability)
    seen: list[Mapping[str, bytes]] = []

    async def look(_: object) -> None:
        seen.append(street.placed)

    house.hooks.says[HookType.PRE_FINISH] = look
    upload = await house.append(await house.create(len(CONTENT), metadata=NAMED), CONTENT)
    assert (seen, street.placed) == ([{}], {"a.txt": CONTENT})
    told = house.hooks.events[-1]
    assert (told.type, told.upload.storage[PLACED_AT]) == (
        *(HookType.POST_FINISH,),
        str(street.path / "placed/a.txt"),
    )
    assert await house.content(await house.fetch(upload)) == CONTENT
    assert (await house.append(upload, ScriptedBody())).finished


async def test_one_that_comes_whole_is_placed(street: Street) -> None:
    """Also where nobody is asked about it."""
    house = await street.house()
    house.hooks.deaf_to.add(HookType.PRE_FINISH)
    upload = await house.create(len(CONTENT), CONTENT, metadata=NAMED)
    assert (upload.finished, street.placed) == (True, {"a.txt": CONTENT})
    assert house.hooks.types == ["pre-create", "post-create", "post-finish"]
    await house.create(0, metadata=NAMED)
    assert street.placed == {"a.txt": CONTENT, "a-1.txt": b""}


async def test_what_is_joined_is_placed_and_its_parts_are_not(street: Street) -> None:
    """Parts are no files."""
    house = await street.house()
    parts = [await house.part(CONTENT[:7]), await house.part(CONTENT[7:])]
    assert street.placed == {}
    await house.final(*parts, metadata=NAMED)
    assert street.placed == {"a.txt": CONTENT}
    await house.uploads.close()


async def test_what_is_refused_is_not_placed(street: Street) -> None:
    """By pre-finish, or because it is another file than the one that was declared."""
    house = await street.house(digests=DigestRules(keys={"md5": "md5"}))
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    upload = await house.create(len(CONTENT), metadata=NAMED)
    with pytest.raises(UploadRejected):
        await house.append(upload, CONTENT)
    del house.hooks.says[HookType.PRE_FINISH]
    declared = format_metadata({"filename": b"a.txt", "md5": b"0" * 32})
    upload = await house.create(len(CONTENT), metadata=declared)
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, CONTENT)
    assert street.placed == {}


@pytest.mark.parametrize("fault", ["death before", "death after"])
@pytest.mark.parametrize("durability", Durability)
async def test_a_crash_is_made_up_for(street: Street, fault: str, durability: Durability) -> None:
    """HEAD places it, under one name; pre-finish, which agreed, is not asked again."""
    house = await street.house(durability)
    street.placer.fault = fault
    upload = await house.create(len(CONTENT), metadata=NAMED)
    with pytest.raises(Death):
        await house.append(upload, CONTENT)
    assert house.hooks.types == ["pre-create", "post-create", "pre-finish"]
    await house.offsets.close()

    street.placer.fault = None
    # After the machine itself, too: what is placed can never be cut again.
    after = await street.house(durability, boot="the next boot")
    assert (await after.head(upload)).finished
    assert after.hooks.types == ["post-finish"]
    assert street.placed == {"a.txt": CONTENT}
    assert (await after.head(upload)).finished
    await after.offsets.close()


@pytest.mark.parametrize(
    ("limits", "left_s"),
    [(Limits(expire_after_s=EXPIRE_AFTER_S), EXPIRE_AFTER_S), (Limits(), LEFT_AFTER_S)],
)
async def test_a_client_that_never_comes_back_leaves_no_file_untold(
    street: Street, limits: Limits, left_s: float
) -> None:
    """When its time has come, what is complete and agreed to is finished, not removed."""
    house = await street.house(limits=limits)
    street.placer.fault = "death after"
    upload = await house.create(len(CONTENT), metadata=NAMED)
    with pytest.raises(Death):
        await house.append(upload, CONTENT)
    street.placer.fault = None
    house.now += left_s
    assert not await house.uploads.expire(upload.id)
    record = await house.record(upload)
    assert (record.finished, record.expires_at) == (True, None)
    assert house.hooks.types[-1] == "post-finish"
    assert street.placed == {"a.txt": CONTENT}


async def test_what_is_joined_and_placed_is_not_joined_again(street: Street) -> None:
    """To join it anew would cut a file that others see already; the parts are not even there."""
    house = await street.house()
    parts = [await house.part(CONTENT[:7]), await house.part(CONTENT[7:], cut=3)]
    final = await house.final(*parts, metadata=NAMED)
    street.placer.fault = "death after"
    await house.append(parts[1], CONTENT[10:])
    await house.wait_idle()
    assert street.placed == {"a.txt": CONTENT}
    for part in parts:
        await house.delete(part)
    await house.uploads.close()
    await house.offsets.close()

    street.placer.fault = None
    after = await street.house(boot="the next boot")
    await after.uploads.resume_assembly()
    await after.wait_idle()
    assert (await after.record(final)).finished
    assert (after.hooks.types, street.placed) == (["post-finish"], {"a.txt": CONTENT})
    await after.uploads.close()
    await after.offsets.close()


async def test_a_crash_after_the_record_was_saved(street: Street) -> None:
    """The event is settled from the record, and tells the place."""
    house = await street.house()
    upload = await house.create(len(CONTENT), metadata=NAMED)
    house.outbox.dies = True
    with pytest.raises(Death):
        await house.append(upload, CONTENT)
    house.outbox.dies = False
    announcer = Announcer(house.hooks, house.outbox, house.policy.clock)
    await announcer.settle(upload.id, await house.record(upload))
    told = house.hooks.events[-1]
    assert told.type is HookType.POST_FINISH
    assert told.upload.storage[PLACED_AT] == str(street.path / "placed/a.txt")


async def test_a_disk_in_trouble_is_told_as_that(street: Street) -> None:
    """503, the bytes stay, and the next request places it."""
    house = await street.house()
    street.placer.fault = "disk"
    upload = await house.create(len(CONTENT), metadata=NAMED)
    with pytest.raises(StoreUnavailable):
        await house.append(upload, CONTENT)
    with pytest.raises(StoreUnavailable):
        await house.head(upload)
    street.placer.fault = None
    assert (await house.head(upload)).finished
    assert street.placed == {"a.txt": CONTENT}


async def test_a_failed_sync_of_a_folder_is_no_success(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is promised to be on disk is not told before it is."""
    house = await street.house()
    upload = await house.create(len(CONTENT), metadata=NAMED)
    with monkeypatch.context() as failing:
        failing.setattr("tusd_py.data.placing.os.fsync", _fail)
        with pytest.raises(StoreUnavailable):
            await house.append(upload, CONTENT)
    assert not (await house.record(upload)).finished
    assert (await house.head(upload)).finished
    assert street.placed == {"a.txt": CONTENT}


def _fail(fd: int) -> None:
    raise OSError(errno.EIO, "the disk is broken")


async def test_a_terminated_upload_leaves_the_file(street: Street) -> None:
    """It belongs to the application, which is told where it is."""
    house = await street.house()
    upload = await house.append(await house.create(len(CONTENT), metadata=NAMED), CONTENT)
    await house.delete(upload)
    assert street.placed == {"a.txt": CONTENT}
    assert house.hooks.events[-1].upload.storage[PLACED_AT] == str(street.path / "placed/a.txt")


async def test_what_the_application_does_with_the_file_is_its_own_affair(street: Street) -> None:
    """Moved, removed or linked once more: the upload is what it was."""
    house = await street.house()
    upload = await house.append(await house.create(len(CONTENT), metadata=NAMED), CONTENT)
    placed = street.path / "placed/a.txt"
    (street.path / "backup").hardlink_to(placed)
    file = await house.data.open_file(await house.fetch(upload))
    assert file is not None
    file.close()
    placed.unlink()
    (street.path / "backup").unlink()
    assert await house.content(await house.fetch(upload)) == CONTENT
    assert (await house.head(upload)).finished
