"""Digests of files: hashed as bytes come, or read back; compared before anything is finished."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import BodyEnd, Claim, Durability, HookType
from tusd_py.protocol.checksum import Checksum, Digest
from tusd_py.protocol.digests import DigestRules
from tusd_py.protocol.errors import (
    ChecksumMismatch,
    InvalidMetadata,
    StoreUnavailable,
    UnexpectedEOF,
    UploadFailed,
    UploadLocked,
    UploadNotFound,
    UploadRejected,
)
from tusd_py.protocol.metadata import Metadata, format_metadata
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.service.completion import FAILED_STAYS_S
from tusd_py.service.digests import FileDigests

from .conftest import SOON_S, House

CONTENT = b"all the bytes of a file"
SHA = hashlib.sha256(CONTENT).digest()
WRONG = hashlib.sha256(b"another file").digest()
RULES = DigestRules(algorithms=("sha256",), keys={"sha256": "sha256"})


class ReadBack(MemoryData):
    """Notes what is read back, and holds it up until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.read_back: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error: Exception | None = None

    async def feed(self, upload: Upload, digest: Digest) -> None:
        self.read_back.append(upload.id)
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        await super().feed(upload, digest)


@pytest.fixture
async def data() -> ReadBack:
    """Where the bytes are."""
    return ReadBack()


@pytest.fixture
async def house(data: ReadBack) -> AsyncIterator[House]:
    """A service that hashes everything, and looks for what clients declare."""
    made = House(data=data, digests=RULES)
    yield made
    await made.uploads.close()


def declaring(digest: bytes) -> Metadata:
    """Metadata that declare a digest."""
    return format_metadata({"sha256": digest.hex().encode()})


# --- computed


async def test_the_digest_is_computed_as_the_bytes_come(house: House, data: ReadBack) -> None:
    """Over three PATCHes with a HEAD in between nothing is read; hooks are told."""
    upload = await house.create(len(CONTENT))
    for start, stop in ((0, 5), (5, 9), (9, len(CONTENT))):
        await house.head(upload)
        upload = await house.append(upload, CONTENT[start:stop])
    assert upload.digests == {"sha256": SHA}
    assert (await house.record(upload)).digests == {"sha256": SHA}
    assert data.read_back == []
    told = {e.type: e.upload.digests for e in house.hooks.events}
    assert told[HookType.PRE_FINISH] == told[HookType.POST_FINISH] == {"sha256": SHA}


async def test_one_that_comes_with_its_creation_has_one_as_well(house: House) -> None:
    """Small or not, with pre-finish or without."""
    assert (await house.create(len(CONTENT), CONTENT)).digests == {"sha256": SHA}
    house.hooks.deaf_to.add(HookType.PRE_FINISH)
    assert (await house.create(len(CONTENT), CONTENT)).digests == {"sha256": SHA}
    assert (await house.create(0)).digests == {"sha256": hashlib.sha256().digest()}
    body = ScriptedBody(CONTENT[:4], CONTENT[4:])
    assert (await house.create(len(CONTENT), body)).digests == {"sha256": SHA}


async def test_after_a_crash_the_bytes_are_read_back(house: House, data: ReadBack) -> None:
    """The state of a hash cannot be saved."""
    upload = await house.crash_with(await house.create(len(CONTENT)), CONTENT[:5])
    upload = await house.append(upload, CONTENT[5:])
    assert upload.digests == {"sha256": SHA}
    assert data.read_back == [upload.id]


async def test_what_others_appended_in_between_is_read_back(house: House, data: ReadBack) -> None:
    """A state that is not of all the bytes before is not used."""
    upload = await house.append(await house.create(len(CONTENT)), CONTENT[:5])
    upload = await house.crash_with(upload, CONTENT[5:9])
    upload = await house.append(upload, CONTENT[9:])
    assert (upload.digests, data.read_back) == ({"sha256": SHA}, [upload.id])


async def test_a_claim_of_another_node_in_between_means_reading(data: ReadBack) -> None:
    """Fences count claims: a gap is somebody who may have written, even if offsets agree."""
    digests = FileDigests(RULES, data, SOON_S)
    upload = Upload(id=UploadId("a"), length=9, offset=5)
    for later, used in ((4, True), (3, True), (5, False)):
        running = digests.follow(replace(upload, offset=0))
        assert running is not None
        running.update(CONTENT[:5])
        digests.keep(running, held(upload, 3), upload)
        digests.claimed(held(upload, later))
        assert (digests.follow(upload) is running) is used


def held(upload: Upload, fence: int) -> Claim:
    """A claim, as far as it is looked at."""
    claim: Any = SimpleNamespace(upload=upload, fence=fence)
    return claim  # type: ignore[no-any-return]


async def test_a_body_that_is_rolled_back_leaves_no_trace(house: House) -> None:
    """A chunk with a wrong checksum, then a cut one, then the right ones."""
    upload = await house.append(await house.create(len(CONTENT)), CONTENT[:5])
    wrong = Checksum("sha1", bytes(20))
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"other", checksum=wrong)
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(CONTENT[5:7], end=BodyEnd.DISCONNECTED))
    right = Checksum("sha1", hashlib.sha1(CONTENT[7:], usedforsecurity=False).digest())
    upload = await house.append(upload, CONTENT[7:], offset=7, checksum=right)
    assert upload.digests == {"sha256": SHA}


async def test_what_is_joined_has_a_digest_of_its_own(house: House, data: ReadBack) -> None:
    """The parts have none, and what they declare is not looked at."""
    parts = [await house.part(CONTENT[:7]), await house.part(CONTENT[7:])]
    assert [part.digests for part in parts] == [{}, {}]
    final = await house.final(*parts, metadata=declaring(SHA))
    assert (final.finished, final.digests) == (True, {"sha256": SHA})
    assert data.read_back == [final.id]


async def test_nothing_is_hashed_where_nobody_wants_it(data: ReadBack) -> None:
    """The default."""
    house = House(data=data)
    upload = await house.create(len(CONTENT), metadata=declaring(WRONG))
    assert (await house.append(upload, CONTENT)).digests == {}
    assert data.read_back == []


async def test_a_refused_finish_keeps_the_digest(house: House, data: ReadBack) -> None:
    """However often pre-finish is asked, bytes are hashed once."""
    house.hooks.says[HookType.PRE_FINISH] = UploadRejected()
    upload = await house.create(len(CONTENT))
    with pytest.raises(UploadRejected):
        await house.append(upload, CONTENT)
    with pytest.raises(UploadRejected):
        await house.head(upload)
    del house.hooks.says[HookType.PRE_FINISH]
    assert (await house.head(upload)).digests == {"sha256": SHA}
    assert data.read_back == []


# --- read back slowly


async def test_who_waits_too_long_is_told_to_come_again(data: ReadBack) -> None:
    """423 while it is read; others go on; then it is finished although nobody asks."""
    house = House(data=data, digests=RULES, digest_wait_s=0.01)
    data.go_on.clear()
    upload = await house.crash_with(await house.create(len(CONTENT)), CONTENT[:5])
    with pytest.raises(UploadLocked, match="verified"):
        await house.append(upload, CONTENT[5:])
    with pytest.raises(UploadLocked, match="verified"):
        await house.head(upload)
    other = await house.create(len(CONTENT))
    assert (await house.append(other, CONTENT)).finished
    data.go_on.set()
    finished = await house.wait_finished(upload)
    assert finished.digests == {"sha256": SHA}
    assert data.read_back == [upload.id]
    await house.uploads.close()


async def test_the_server_may_go_down_meanwhile(data: ReadBack) -> None:
    """Reading ends; whoever asks the next one has it read anew."""
    house = House(data=data, digests=RULES, digest_wait_s=0.01)
    data.go_on.clear()
    upload = await house.crash_with(await house.create(len(CONTENT)), CONTENT)
    with pytest.raises(UploadLocked):
        await house.head(upload)
    await house.uploads.close()
    after = House(offsets=house.offsets, data=data, digests=RULES)
    data.go_on.set()
    assert (await after.head(upload)).digests == {"sha256": SHA}
    await after.uploads.close()


async def test_an_upload_may_be_terminated_while_it_is_read(data: ReadBack) -> None:
    """204 once the claim is free, and what was read counts for nothing."""
    house = House(data=data, digests=RULES, digest_wait_s=0.01)
    data.go_on.clear()
    upload = await house.crash_with(await house.create(len(CONTENT)), CONTENT)
    with pytest.raises(UploadLocked):
        await house.head(upload)
    await house.delete(upload)
    data.go_on.set()
    with pytest.raises(UploadNotFound):
        await house.head(upload)
    await house.uploads.close()


async def test_bytes_that_cannot_be_read_fail_nobody(house: House, data: ReadBack) -> None:
    """The disk's trouble is told as that, and the next one tries again."""
    data.error = StoreUnavailable()
    upload = await house.crash_with(await house.create(len(CONTENT)), CONTENT)
    with pytest.raises(StoreUnavailable):
        await house.head(upload)
    data.error = None
    assert (await house.head(upload)).digests == {"sha256": SHA}


# --- compared


@pytest.mark.parametrize("durability", Durability)
async def test_a_file_that_is_not_the_one_declared_fails(
    data: ReadBack, durability: Durability
) -> None:
    """460 at the last byte; pre-finish and post-finish never hear of it, post-interrupt does."""
    house = House(data=data, digests=RULES, durability=durability)
    upload = await house.create(len(CONTENT), metadata=declaring(WRONG))
    upload = await house.append(upload, CONTENT[:5])
    with pytest.raises(ChecksumMismatch, match="metadata announced"):
        await house.append(upload, CONTENT[5:])
    assert house.hooks.types == ["pre-create", "post-create", "post-interrupt"]
    assert house.hooks.events[-1].cause == "ERR_CHECKSUM_MISMATCH"
    record = await house.record(upload)
    assert (record.finished, record.failed) == (False, "ERR_CHECKSUM_MISMATCH")


async def test_a_failed_upload_can_only_be_removed(house: House) -> None:
    """410 to all but DELETE, however often it is asked for."""
    failed = await fail(house)
    for operation in (house.head, house.fetch, house.head):
        with pytest.raises(UploadFailed):
            await operation(failed)
    with pytest.raises(UploadFailed):
        await house.append(failed, b"", offset=len(CONTENT))
    assert house.hooks.types[2:] == ["post-interrupt"]
    await house.delete(failed)
    assert house.hooks.events[-1].cause == "ERR_CHECKSUM_MISMATCH"
    with pytest.raises(UploadNotFound):
        await house.record(failed)


async def test_a_failed_upload_is_removed_by_the_janitor(house: House) -> None:
    """After an hour, as if it had expired, and with the cause."""
    failed = await fail(house)
    assert not await house.uploads.expire(failed.id)
    house.now += FAILED_STAYS_S
    assert await house.uploads.expire(failed.id)
    event = house.hooks.events[-1]
    assert (event.type, event.cause) == (HookType.POST_EXPIRE, "ERR_CHECKSUM_MISMATCH")


async def fail(house: House) -> Upload:
    """An upload that has failed."""
    upload = await house.create(len(CONTENT), metadata=declaring(WRONG))
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, CONTENT)
    return await house.record(upload)


async def test_one_that_is_as_declared_is_finished(house: House) -> None:
    """The digest is computed for the comparison alone, too."""
    upload = await house.create(len(CONTENT), metadata=declaring(SHA))
    assert (await house.append(upload, CONTENT)).finished


async def test_a_small_one_that_is_not_is_not_even_created(house: House) -> None:
    """460 at the POST, and no hook but pre-create has heard of it."""
    with pytest.raises(ChecksumMismatch):
        await house.create(len(CONTENT), CONTENT, metadata=declaring(WRONG))
    assert house.hooks.types == ["pre-create"]


async def test_a_large_one_at_its_post_is_removed(house: House) -> None:
    """Its client does not know its URL."""
    with pytest.raises(ChecksumMismatch):
        await house.create(len(CONTENT), ScriptedBody(CONTENT), metadata=declaring(WRONG))
    assert house.hooks.types[-2:] == ["post-interrupt", "post-terminate"]
    assert {event.cause for event in house.hooks.events[-2:]} == {"ERR_CHECKSUM_MISMATCH"}


async def test_what_is_joined_wrongly_is_removed(house: House) -> None:
    """The parts stay, for another try."""
    parts = [await house.part(CONTENT[7:]), await house.part(CONTENT[:7])]
    with pytest.raises(ChecksumMismatch):
        await house.final(*parts, metadata=declaring(SHA))
    final = await house.final(*reversed(parts), metadata=declaring(SHA))
    assert final.finished
    assert "post-finish" in house.hooks.types


async def test_a_crash_before_the_comparison_is_made_up_for(house: House) -> None:
    """HEAD answers 460, and from then on 410."""
    upload = await house.create(len(CONTENT), metadata=declaring(WRONG))
    upload = await house.crash_with(upload, CONTENT)
    with pytest.raises(ChecksumMismatch):
        await house.head(upload)
    with pytest.raises(UploadFailed):
        await house.head(upload)


async def test_a_declaration_that_is_none_is_refused_at_once(house: House) -> None:
    """400 at the POST, and nothing is created."""
    with pytest.raises(InvalidMetadata):
        await house.create(3, metadata=format_metadata({"sha256": b"abc"}))
    assert "post-create" not in house.hooks.types
