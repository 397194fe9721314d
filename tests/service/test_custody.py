"""Where claims can be lost: bytes are taken from whoever held them, and every answer is fenced."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData, MemorySession
from tusd_py.interfaces import BodyEnd, HookType
from tusd_py.offsets.memory import MemoryClaim, MemoryOffsets
from tusd_py.protocol.checksum import Digest
from tusd_py.protocol.errors import (
    BytesBusy,
    ClaimLost,
    StoreUnavailable,
    TusError,
    UnexpectedEOF,
    UploadDamaged,
    UploadNotFound,
    UploadRejected,
)
from tusd_py.protocol.model import Upload, UploadId

from .conftest import EXPIRE_AFTER_S, House


class LeasedClaim(MemoryClaim):
    """A claim that may follow one that was never given back, and can be lost."""

    store: LeasedOffsets

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        self.store.notes.append("release" if release else "save")
        if self.store.before_save is not None:
            self.store.before_save()
        if "release" in self.store.notes[:-1]:
            raise ClaimLost
        if self.seized and upload.storage != self.upload.storage:
            self.seized = self.store.seized = False
        await super().save(upload, durable=durable, exact=exact, release=release)

    async def remove(self) -> None:
        self.store.notes.append("remove")
        if "release" in self.store.notes:
            raise ClaimLost
        await super().remove()


class LeasedOffsets(MemoryOffsets):
    """A store whose claims are leases; `notes` tells what is done under the latest one."""

    def __init__(self) -> None:
        super().__init__()
        self.fence = 0
        self.seized = False  # what the next claim is like
        self.notes: list[str] = []
        self.before_save: Callable[[], None] | None = None

    @contextlib.asynccontextmanager
    async def create(self, upload: Upload, *, durable: bool = False) -> AsyncIterator[MemoryClaim]:
        async with super().create(upload, durable=durable) as claim:
            yield self._leased(claim)

    @contextlib.asynccontextmanager
    async def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AsyncIterator[MemoryClaim]:
        async with super().claim(upload_id, timeout_s=timeout_s, damaged=damaged) as claim:
            yield self._leased(claim, seized=self.seized)

    def _leased(self, claim: MemoryClaim, *, seized: bool = False) -> MemoryClaim:
        self.notes.clear()
        self.fence += 1
        claim.__class__ = LeasedClaim
        claim.store = self  # type: ignore[attr-defined]
        claim.fence, claim.seized = self.fence, seized
        return claim


class NotedData(MemoryData):
    """Notes what is done, beside the saves, and fails as it is told."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.errors: list[TusError] = []  # of the next sessions
        self.cannot_seize: TusError | None = None

    async def seize(self, upload: Upload, fence: int) -> Mapping[str, str]:
        self.notes.append("seize")
        if self.cannot_seize is not None:
            raise self.cannot_seize
        await super().seize(upload, fence)
        return {**upload.storage, "fence": str(fence)}

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AsyncIterator[MemorySession]:
        self._begin("append")
        async with super().append(upload, digest=digest) as session:
            yield session

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        self._begin("concatenate")
        return await super().concatenate(final, parts)

    async def delete(self, upload: Upload) -> None:
        self.notes.append("delete")
        await super().delete(upload)

    def _begin(self, what: str) -> None:
        self.notes.append(what)
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def offsets() -> LeasedOffsets:
    """Records and claims."""
    return LeasedOffsets()


@pytest.fixture
def data(offsets: LeasedOffsets) -> NotedData:
    """Bytes."""
    return NotedData(offsets.notes)


@pytest.fixture
async def leased(offsets: LeasedOffsets, data: NotedData) -> AsyncIterator[House]:
    """A service on both."""
    house = House(offsets=offsets, data=data)
    house.hooks.deaf_to = {HookType.PRE_FINISH}
    yield house
    await house.uploads.close()


# --- what changes bytes seizes them first


async def test_an_append_seizes_first(leased: House, offsets: LeasedOffsets) -> None:
    """The new place is saved before a byte is stored; afterwards all is as ever."""
    upload = await leased.create(10, b"abc")
    offsets.seized = True
    upload = await leased.append(upload, b"def")
    assert offsets.notes == ["seize", "save", "append", "release"]
    assert upload.storage["fence"] == str(offsets.fence)
    upload = await leased.append(upload, b"ghij")
    assert offsets.notes == ["append", "release"]
    assert upload.finished
    assert await leased.content(upload) == b"abcdefghij"


async def test_bytes_that_cannot_be_seized_are_not_touched(
    leased: House, offsets: LeasedOffsets, data: NotedData
) -> None:
    """The client hears why; the next one tries to seize them again."""
    upload = await leased.create(10, b"abc")
    offsets.seized = True
    data.cannot_seize = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await leased.append(upload, b"def")
    assert offsets.notes == ["seize"]
    data.cannot_seize = None
    assert (await leased.append(upload, b"def")).offset == 6


async def test_to_ask_for_the_offset_takes_nothing_away(
    leased: House, offsets: LeasedOffsets
) -> None:
    """What an earlier holder may still do does not change the answer; so it is cheap."""
    upload = await leased.create(10, b"abc")
    offsets.seized = True
    assert (await leased.head(upload)).offset == 3
    assert offsets.notes == []


async def test_what_is_finished_late_is_seized_before(
    leased: House, offsets: LeasedOffsets
) -> None:
    """HEAD of an upload that has all its bytes finishes it, so they must not change any more."""
    upload = await leased.crash_with(await leased.create(3), b"abc")
    offsets.seized = True
    assert (await leased.head(upload)).finished
    assert offsets.notes == ["seize", "save", "save"]


@pytest.mark.parametrize("how", ["terminated", "expired"])
async def test_what_is_removed_need_not_be_seized(
    leased: House, offsets: LeasedOffsets, how: str
) -> None:
    """To unlink the bytes takes them away from everybody, whether they are damaged or not."""
    upload = await leased.create(10, b"abc")
    offsets.seized = True
    if how == "terminated":
        await leased.delete(upload)
    else:
        leased.now += EXPIRE_AFTER_S + 1
        assert await leased.uploads.expire(upload.id)
    assert offsets.notes == ["delete", "remove"]


async def test_joining_seizes_first(leased: House, offsets: LeasedOffsets) -> None:
    """Somebody else may have been joining the parts of a final upload, and be stopped."""
    part, late = await leased.part(b"one"), await leased.part(b"two", cut=1)
    final = await leased.final(part, late)
    offsets.seized = True
    await leased.append(late, b"wo")
    await leased.wait_finished(final)
    await leased.wait_idle()
    assert await leased.content(final) == b"onetwo"
    assert (await leased.record(final)).finished


async def test_the_body_of_a_creation_is_stored_under_the_claim_of_the_creation(
    leased: House, offsets: LeasedOffsets
) -> None:
    """No other one is taken, and it is given back with the last save."""
    upload = await leased.create(10, ScriptedBody(b"abc"))
    assert (offsets.notes, offsets.fence) == (["append", "release"], 1)
    assert upload.offset == 3


async def test_whoever_was_stopped_between_creation_and_storing_may_have_lost_the_upload(
    leased: House, offsets: LeasedOffsets, data: NotedData
) -> None:
    """What is there belongs to somebody else by then, so nothing is removed."""
    data.errors = [UploadDamaged()]
    offsets.before_save = offsets._uploads.clear
    with pytest.raises(ClaimLost):
        await leased.create(10, ScriptedBody(b"abc"))
    assert offsets.notes == ["append", "save"]


# --- bytes that turn out to be missing, or busy


@pytest.mark.parametrize("error", [UploadDamaged(), BytesBusy()])
async def test_bytes_that_were_taken_from_us(
    leased: House, offsets: LeasedOffsets, data: NotedData, error: TusError
) -> None:
    """The client is told to try again, not to start over: somebody else has the upload."""
    upload = await leased.create(10, b"abc")
    data.errors = [error]
    offsets.before_save = offsets._uploads.clear
    with pytest.raises(ClaimLost):
        await leased.append(upload, b"def")
    assert offsets.notes == ["append", "save"]


@pytest.mark.parametrize("error", [UploadDamaged(), BytesBusy()])
async def test_bytes_that_can_be_found_again(
    leased: House, offsets: LeasedOffsets, data: NotedData, error: TusError
) -> None:
    """A part of the body is gone, so the client sends it again, and that works."""
    upload = await leased.create(10, b"abc")
    data.errors = [error]
    with pytest.raises(BytesBusy):
        await leased.append(upload, b"def")
    assert offsets.notes == ["append", "save", "seize", "save"]
    upload = await leased.append(upload, b"def")
    assert (upload.offset, upload.storage["fence"]) == (6, str(offsets.fence - 1))


async def test_bytes_that_are_missing_indeed(
    leased: House, offsets: LeasedOffsets, data: NotedData
) -> None:
    """The upload is ours, and they are nowhere: it cannot be continued."""
    upload = await leased.create(10, b"abc")
    data.errors, data.cannot_seize = [UploadDamaged()], UploadDamaged()
    with pytest.raises(UploadDamaged):
        await leased.append(upload, b"def")
    assert offsets.notes == ["append", "save", "seize"]


async def test_without_leases_damage_is_damage() -> None:
    """Nobody can have taken the bytes."""
    notes: list[str] = []
    data = NotedData(notes)
    house = House(data=data)
    upload = await house.create(10, b"abc")
    for error in (UploadDamaged(), BytesBusy()):
        data.errors = [error]
        with pytest.raises(type(error)):
            await house.append(upload, b"def")
    part = await house.part(b"one")
    data.errors = [UploadDamaged()]
    with pytest.raises(UploadDamaged):
        await house.final(part)
    assert "seize" not in notes


@pytest.mark.parametrize("error", [UploadDamaged(), BytesBusy()])
async def test_joining_goes_on_at_once_with_bytes_that_were_found(
    leased: House, data: NotedData, error: TusError
) -> None:
    """No client has to send anything again."""
    part = await leased.part(b"one")
    data.errors = [error]
    final = await leased.final(part)
    assert (final.finished, "fence" in final.storage) == (True, True)
    assert await leased.content(final) == b"one"


async def test_joining_that_was_overtaken_is_left_to_others(
    leased: House, offsets: LeasedOffsets, data: NotedData
) -> None:
    """The final upload stays; who has it now joins its parts."""
    part = await leased.part(b"one")
    data.errors = [ClaimLost()]
    final = await leased.final(part)
    assert not final.finished
    assert await leased.record(final) == final


# --- answers


async def test_the_last_save_of_an_append_gives_the_upload_back(
    leased: House, offsets: LeasedOffsets
) -> None:
    """One message less, whether the upload is finished by it or not, or the body was cut."""
    upload = await leased.create(10)
    with pytest.raises(UnexpectedEOF):
        await leased.append(upload, ScriptedBody(b"a", end=BodyEnd.DISCONNECTED))
    assert offsets.notes == ["append", "release"]
    for content in (b"bc", b"defghij"):
        upload = await leased.append(await leased.record(upload), content)
        assert offsets.notes == ["append", "release"]
    assert upload.finished


async def test_a_hook_that_refuses_leaves_the_claim_to_who_removes(
    leased: House, offsets: LeasedOffsets
) -> None:
    """The upload of a creation is removed after that, under the same claim."""
    leased.hooks.deaf_to = set()
    leased.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    with pytest.raises(UploadRejected):
        await leased.create(3, ScriptedBody(b"abc"))
    assert offsets.notes == ["append", "save", "delete", "remove"]


async def test_a_small_upload_is_acknowledged_under_its_claim(
    leased: House, offsets: LeasedOffsets
) -> None:
    """One that is finished from the start is saved once more after its bytes are stored."""
    upload = await leased.create(3, b"abc")
    assert upload.finished
    assert offsets.notes == ["release"]


@pytest.mark.parametrize("error", [ClaimLost, StoreUnavailable])
async def test_a_small_upload_that_cannot_be_acknowledged_is_no_upload(
    leased: House, offsets: LeasedOffsets, error: type[TusError]
) -> None:
    """Its client does not learn of it, and its bytes do not stay."""

    def fail() -> None:
        offsets.notes.remove("release")
        if error is ClaimLost:
            offsets._uploads.clear()
        else:
            raise error

    offsets.before_save = fail
    with pytest.raises(error):
        await leased.create(3, b"abc")
    gone = Upload(id=UploadId("upload-1"), length=3)
    with pytest.raises(UploadNotFound):
        await leased.record(gone)
    with pytest.raises(UploadNotFound):
        await leased.content(gone)


async def test_a_creation_that_lost_its_upload_removes_nothing(
    leased: House, offsets: LeasedOffsets
) -> None:
    """The bytes may be those of somebody who has it now."""
    body = ScriptedBody(b"abc", end=None)
    creating = asyncio.create_task(leased.create(10, body))
    await body.wait_starved()
    offsets.notes.append("release")  # what the holder does from now on is refused
    body.stop(BodyEnd.DISCONNECTED)
    with pytest.raises(ClaimLost):
        await creating
    assert "delete" not in offsets.notes


async def test_other_nodes_are_told_of_progress_once_a_second() -> None:
    """A node that is killed costs its running body a second, not all of it."""
    offsets = LeasedOffsets()
    house = House(offsets=offsets)
    upload = await house.create(100)
    running = await house.start_append(upload, b"ab", b"cd")
    assert (await house.record(upload)).offset == 0
    for chunk, told in ((b"ef", 6), (b"gh", 6)):
        house.now += 1.0 if told > (await house.record(upload)).offset else 0.5
        running.body.feed(chunk)
        await running.body.wait_starved()
        assert (await house.record(upload)).offset == told
    running.body.stop(BodyEnd.COMPLETE)
    assert (await running.task).offset == 8
