"""The contract of `OffsetStore` and `Claim`, sentence by sentence; waiting is in test_claims."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tusd_py.protocol.errors import ClaimLost, UploadExists, UploadNotFound
from tusd_py.protocol.metadata import parse_metadata
from tusd_py.protocol.model import Final, Partial, Upload, UploadId
from tusd_py.protocol.quota import Quota

from .conftest import ID, SOON_S, OffsetsHarness, add

# --- records


async def test_what_was_added_is_got(offsets: OffsetsHarness) -> None:
    """`get` returns all that was added."""
    upload = await add(
        offsets,
        Upload(
            id=ID,
            length=10,
            offset=4,
            checkpoint=3,
            metadata=parse_metadata("name Z3LDvMOfZQ==,empty"),
            kind=Partial(),
            created_at=1_700_000_000.25,
            expires_at=1_700_086_400.5,
            owner="somebody",
            max_size=99,
            types=("video/*", "image/png"),
            digests={"sha256": bytes(range(32)), "crc32": b"\x00\x01\x02\x03"},
            failed="ERR_CHECKSUM_MISMATCH",
            quota=Quota(open_uploads=2, bytes_per_second=7),
            bytes_per_second=5,
        ),
    )
    assert await offsets.store.get(ID) == upload


async def test_the_length_may_be_unknown(offsets: OffsetsHarness) -> None:
    """A deferred length stays unknown, and bytes count nevertheless."""
    await add(offsets, Upload(id=ID, length=None, offset=4))
    got = await offsets.store.get(ID)
    assert (got.length, got.offset) == (None, 4)


async def test_a_final_upload_keeps_its_parts_and_header(offsets: OffsetsHarness) -> None:
    """The parts keep their order, and Upload-Concat its spelling."""
    kind = Final(parts=(UploadId("b" * 32), UploadId("a" * 32)), header="final;/files/b /files/a")
    await add(offsets, Upload(id=ID, length=None, kind=kind))
    assert (await offsets.store.get(ID)).kind == kind


async def test_a_taken_id_is_refused(offsets: OffsetsHarness) -> None:
    """Adding a second upload of one id raises UploadExists; the first is unchanged."""
    first = await add(offsets)
    with pytest.raises(UploadExists):
        async with offsets.store.create(replace(first, length=99)):
            pass
    assert await offsets.store.get(ID) == first


async def test_a_durable_record_is_a_record(offsets: OffsetsHarness) -> None:
    """`durable` changes nothing but when the context is entered."""
    upload = await offsets.make(Upload(id=ID, length=10))
    async with offsets.store.create(upload, durable=True) as claim:
        assert claim.upload == upload
    assert await offsets.store.get(ID) == upload


async def test_a_missing_upload_is_not_found(offsets: OffsetsHarness) -> None:
    """`get` and `claim` raise UploadNotFound for an id that was never added."""
    with pytest.raises(UploadNotFound):
        await offsets.store.get(ID)
    with pytest.raises(UploadNotFound):
        async with offsets.store.claim(ID, timeout_s=SOON_S):
            pass


async def test_ids_may_have_slashes(offsets: OffsetsHarness) -> None:
    """An id with folders is one upload like any other, for every operation."""
    upload_id = UploadId("2026/in-box/photo.jpg")
    upload = await add(offsets, Upload(id=upload_id, length=10, expires_at=5))
    assert await offsets.store.get(upload_id) == upload
    assert [found async for found in offsets.store.expired(5)] == [upload_id]
    async with offsets.store.claim(upload_id, timeout_s=0) as claim:
        await claim.save(replace(upload, expires_at=None))
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await offsets.store.get(upload_id)


# --- records under a claim


async def test_the_claim_carries_the_record(offsets: OffsetsHarness) -> None:
    """`claim.upload` is the record as it stood when claimed."""
    upload = await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        assert claim.upload == upload


async def test_a_saved_record_is_seen_at_once(offsets: OffsetsHarness) -> None:
    """After `save` the claim, `get` and the next claim see the new record."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        saved = replace(claim.upload, length=5, metadata=parse_metadata("a Yg=="), owner="me")
        await claim.save(saved)
        assert claim.upload == saved
        assert await offsets.store.get(ID) == saved
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        assert claim.upload == saved


async def test_a_mark_stays_until_the_next_save(offsets: OffsetsHarness) -> None:
    """That bytes behind the offset do not count is known to later claims, too."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        assert not claim.exact
        await claim.save(claim.upload, exact=True)
        assert claim.exact
    for offset in (3, 5):  # each of these bodies was verified
        async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
            assert claim.exact
            await offsets.make(replace(claim.upload, offset=offset))
            await claim.save(replace(claim.upload, offset=offset), exact=True, release=True)
        assert (await offsets.store.get(ID)).offset == offset
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        await claim.save(claim.upload)
        assert not claim.exact
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        assert not claim.exact
        await claim.remove()
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        assert not claim.exact


@pytest.mark.parametrize("durable", [False, True])
async def test_saving_twice_is_saving_once(offsets: OffsetsHarness, *, durable: bool) -> None:
    """`save` is idempotent: the same record may be saved again after an ambiguous answer."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        saved = replace(claim.upload, expires_at=99.0)
        await claim.save(saved, durable=durable)
        await claim.save(saved, durable=durable)
    assert await offsets.store.get(ID) == saved


async def test_a_removed_record_is_gone(offsets: OffsetsHarness) -> None:
    """After `remove` the upload is not found, and its id is free again."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await offsets.store.get(ID)
    again = await add(offsets, Upload(id=ID, length=77))
    assert await offsets.store.get(ID) == again


async def test_the_claim_ends_with_the_record(offsets: OffsetsHarness) -> None:
    """After `remove` nothing can be saved or removed any more, so nothing comes back."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        await claim.remove()
        with pytest.raises(ClaimLost):
            await claim.save(claim.upload)
        with pytest.raises(ClaimLost):
            await claim.remove()
    with pytest.raises(UploadNotFound):
        await offsets.store.get(ID)


async def test_a_lost_claim_changes_nothing(offsets: OffsetsHarness) -> None:
    """Once the record is another one, `save` and `remove` raise ClaimLost and leave it alone."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        await offsets.take_away(ID)
        with pytest.raises(ClaimLost):
            await claim.save(replace(claim.upload, length=5))
        with pytest.raises(ClaimLost):
            await claim.remove()
    with pytest.raises(UploadNotFound):
        await offsets.store.get(ID)


async def test_a_claim_that_was_given_back_is_not_seized(offsets: OffsetsHarness) -> None:
    """Nobody writes who does not hold it; a fence, where there is one, only grows."""
    await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as first:
        assert not first.seized
    async with offsets.store.claim(ID, timeout_s=SOON_S) as second:
        assert not second.seized
    assert 0 < first.fence < second.fence or first.fence == second.fence == 0


@pytest.mark.parametrize("durable", [False, True])
async def test_the_last_save_may_give_the_claim_back(
    offsets: OffsetsHarness, *, durable: bool
) -> None:
    """With `release` the record is saved as ever, and the upload is free afterwards."""
    upload = await add(offsets)
    async with offsets.store.claim(ID, timeout_s=SOON_S) as claim:
        saved = replace(upload, length=7, expires_at=99.0)
        await claim.save(replace(saved, owner="not me"))
        await claim.save(saved, durable=durable, release=True)
        assert claim.upload == saved
    async with offsets.store.claim(ID, timeout_s=0) as claim:
        assert claim.upload == saved
    assert await offsets.store.get(ID) == saved


# --- scans


async def test_all_uploads_are_listed_in_order(offsets: OffsetsHarness) -> None:
    """`uploads` finds each with its record, by its id, and from any id on: a stable cursor."""
    made = {}
    for number in range(300):
        name = UploadId(f"{number * 7919 % 300:03}")
        made[name] = await add(offsets, Upload(id=name, length=10, offset=number % 11))
    listed = [one async for one in offsets.store.uploads()]
    assert [one.id for one in listed] == sorted(made)
    assert {one.id: one.upload for one in listed} == made
    async with offsets.store.claim(UploadId("150"), timeout_s=0) as claim:
        await claim.remove()
    for cursor in ("148", "149", "1499"):  # it need not be there any more
        behind = [one.id async for one in offsets.store.uploads(cursor)]
        assert behind == [name for name in sorted(made) if name > cursor and name != "150"]
    assert [one async for one in offsets.store.uploads("299")] == []


async def test_a_list_disturbs_no_holder(offsets: OffsetsHarness) -> None:
    """`uploads` shows one that is claimed, and its holder is not asked to leave."""
    upload = await add(offsets)
    async with offsets.store.claim(ID, timeout_s=0) as claim:
        wanted: list[bool] = []
        claim.on_wanted(lambda: wanted.append(True))
        assert [one.upload async for one in offsets.store.uploads()] == [upload]
        await claim.save(claim.upload)
    assert wanted == []


async def test_expired_uploads_are_found(offsets: OffsetsHarness) -> None:
    """`expired` finds those whose time has come, to the second, and no others."""
    for name, expires_at in (("a", 9.0), ("b", 10.0), ("c", 10.5), ("d", None)):
        await add(offsets, Upload(id=UploadId(name), length=1, expires_at=expires_at))
    assert {found async for found in offsets.store.expired(10.0)} == {"a", "b"}


async def test_unassembled_finals_are_found(offsets: OffsetsHarness) -> None:
    """`unassembled` finds final uploads that are not finished, and nothing else."""
    kind = Final(parts=(UploadId("p"),))
    await add(offsets, Upload(id=UploadId("waiting"), length=None, kind=kind))
    await add(offsets, Upload(id=UploadId("known"), length=7, kind=kind))
    done = Upload(id=UploadId("done"), length=3, offset=3, kind=kind, finished=True)
    await add(offsets, done)
    await add(offsets, Upload(id=UploadId("p"), length=3, offset=3, kind=Partial()))
    assert {found async for found in offsets.store.unassembled()} == {"waiting", "known"}


async def test_what_is_found_may_be_removed_meanwhile(offsets: OffsetsHarness) -> None:
    """Removing uploads while iterating over them is what the janitor does."""
    for number in range(5):
        await add(offsets, Upload(id=UploadId(f"u{number}"), length=1, expires_at=1.0))
    async for found in offsets.store.expired(2.0):
        async with offsets.store.claim(found, timeout_s=0) as claim:
            await claim.remove()
    assert [found async for found in offsets.store.expired(2.0)] == []


async def test_a_store_that_works_says_so(offsets: OffsetsHarness) -> None:
    """And there is no more to be seen afterwards than before."""
    await offsets.store.check()
    assert [one async for one in offsets.store.orphans(math.inf)] == []
