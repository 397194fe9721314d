"""Uploads are counted as they come and go, and the counts are what the records say."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import (
    Access,
    Account,
    BodyEnd,
    Counts,
    Grant,
    HookReply,
    HookType,
    UploadLimits,
)
from tusd_py.protocol.digests import DigestRules
from tusd_py.protocol.errors import (
    ChecksumMismatch,
    InsufficientStorage,
    InternalError,
    MaxSizeExceeded,
    QuotaExceeded,
    StoreUnavailable,
    TooManyCreations,
    TooManyUploads,
    UploadRejected,
)
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import Partial, UploadId
from tusd_py.protocol.quota import Quota
from tusd_py.quotas.memory import MemoryLedger
from tusd_py.service.accounts import ADMITTED_S, Accounts
from tusd_py.service.policy import Bounds

from .conftest import EXPIRE_AFTER_S, House


def limited(**limits: int) -> House:
    """A service with limits for owners."""
    return House(bounds=Bounds(owner=Quota(**limits)))


async def counts(house: House, owner: str | None = None) -> tuple[int, int]:
    """Unfinished uploads and bytes."""
    found = await house.ledger.counts(owner)
    return found.open_uploads, found.total_bytes


def accounts_of(house: House) -> Accounts:
    """What counts for the service."""
    return house.uploads._bounded.accounts


async def test_an_upload_counts_from_its_creation_to_its_end() -> None:
    """As open until it is finished, for its bytes until it is removed."""
    house = limited(open_uploads=5)
    upload = await house.create(6)
    assert await counts(house) == (1, 6)
    upload = await house.append(upload, b"abc")
    assert await counts(house) == (1, 6)
    await house.append(upload, b"def")
    assert await counts(house) == (0, 6)
    await house.delete(upload)
    assert await counts(house) == (0, 0)


async def test_what_comes_whole_is_never_left_open() -> None:
    """One request makes it and finishes it; also if it has no bytes, or expires."""
    house = limited(open_uploads=1)
    for content in (b"abc", b"", b"defg"):
        await house.create(len(content), content)
    assert await counts(house) == (0, 7)


async def test_a_file_that_is_not_the_one_declared_is_not_open() -> None:
    """It can never be finished, and would be in the way of others until it is removed."""
    rules = DigestRules(algorithms=("sha256",), keys={"sha256": "sha256"})
    house = House(digests=rules, bounds=Bounds(owner=Quota(open_uploads=1)))
    upload = await house.create(3, metadata=format_metadata({"sha256": b"0" * 64}))
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"abc")
    assert await counts(house) == (0, 3)
    assert await accounts_of(house).recount() == 0
    await house.create(3)


async def test_what_expires_counts_no_more() -> None:
    """As soon as it is removed."""
    house = limited(open_uploads=1)
    upload = await house.create(6)
    house.now += EXPIRE_AFTER_S + 1
    assert await house.uploads.expire(upload.id)
    assert await counts(house) == (0, 0)
    await house.create(1)


async def test_too_many_are_refused_until_one_is_finished() -> None:
    """And a refused one leaves nothing."""
    house = limited(open_uploads=2)
    first, _ = await house.create(1), await house.create(1)
    with pytest.raises(TooManyUploads):
        await house.create(1)
    assert len(house.offsets._uploads) == 2  # type: ignore[attr-defined]
    await house.append(first, b"x")
    await house.create(1)
    with pytest.raises(TooManyUploads):
        await house.create(1)


async def test_a_refusal_comes_before_a_byte_is_read() -> None:
    """So that neither it, nor 100 Continue, is asked for."""
    house = limited(total_bytes=2)
    body = ScriptedBody(b"abc")
    with pytest.raises(QuotaExceeded):
        await house.create(3, body)
    assert await body.read() == b"abc"


async def test_bytes_and_minutes() -> None:
    """Declared bytes count before they come; new uploads by the clock."""
    house = limited(total_bytes=10, uploads_per_minute=2)
    await house.create(8)
    with pytest.raises(QuotaExceeded) as refused:
        await house.create(3)
    assert refused.value.left == 2
    await house.create(2)
    with pytest.raises(TooManyCreations) as too_fast:
        await house.create(0)
    house.now += too_fast.value.wait_s
    await house.create(0)


async def test_the_server_has_limits_of_its_own() -> None:
    """Whoever they belong to."""
    house = House(bounds=Bounds(server=Quota(open_uploads=1, total_bytes=5)))
    upload = await house.create(5)
    with pytest.raises(TooManyUploads):
        await house.create(0)
    await house.append(upload, b"12345")
    with pytest.raises(InsufficientStorage):
        await house.create(1)


async def test_a_storm_never_exceeds_the_limit() -> None:
    """A hundred creations at once."""
    house = limited(open_uploads=7)
    outcomes = await asyncio.gather(*(house.create(1) for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(outcome, TooManyUploads) for outcome in outcomes) == 93
    assert await counts(house) == (7, 7)


class Owners:
    """Grants what the test has said to whoever is asking."""

    def __init__(self, **grants: Grant) -> None:
        self.grants = grants
        self.user = next(iter(grants))

    async def __call__(self, access: Access) -> Grant:
        return self.grants[self.user]


async def test_owners_do_not_take_each_others_room() -> None:
    """Each has the server's limits, or what was granted instead: more or less."""
    owners = Owners(
        anna=Grant(owner="anna"),
        berta=Grant(owner="berta", quota=Quota(open_uploads=3)),
        carla=Grant(owner="carla", quota=Quota(open_uploads=0)),
    )
    house = House(authorize=owners, bounds=Bounds(owner=Quota(open_uploads=1)))
    made = {}
    for name in owners.grants:
        owners.user = name
        outcomes = [await refused(house) for _ in range(5)]
        made[name] = outcomes.count(False)
    assert made == {"anna": 1, "berta": 3, "carla": 0}


async def refused(house: House) -> bool:
    """Whether an upload cannot be created."""
    try:
        await house.create(1)
    except TooManyUploads:
        return True
    return False


async def test_a_limit_that_is_not_counted_refuses_everything() -> None:
    """A grant that nobody keeps would be worse."""
    house = House(authorize=Owners(anna=Grant(owner="anna", quota=Quota(open_uploads=9))))
    with pytest.raises(InternalError):
        await house.create(1)
    counting = House(
        authorize=Owners(anna=Grant(owner="anna", quota=Quota(open_uploads=1))),
        bounds=Bounds(counted=True),
    )
    assert [await refused(counting) for _ in range(2)] == [False, True]


class DeadLedger(MemoryLedger):
    """A ledger that cannot be reached."""

    dead = True

    async def enter(self, *args: object, **kwargs: object) -> None:
        if self.dead:
            raise StoreUnavailable
        await super().enter(*args, **kwargs)  # type: ignore[arg-type]

    async def leave(self, upload_id: UploadId) -> None:
        if self.dead:
            raise StoreUnavailable
        await super().leave(upload_id)


async def test_without_limits_nobody_asks_the_ledger() -> None:
    """All of a life goes by without a call."""
    house = House(ledger=DeadLedger())
    upload = await house.create(None)
    upload = await house.append(upload, b"abc", length=6)
    await house.append(upload, b"def")
    await house.delete(upload)


async def test_a_dead_ledger_stops_only_what_is_new() -> None:
    """What runs goes on, and is counted later."""
    ledger = DeadLedger()
    ledger.dead = False
    house = House(ledger=ledger, bounds=Bounds(owner=Quota(open_uploads=9)))
    upload, other = await house.create(3), await house.create(3)
    ledger.dead = True
    with pytest.raises(StoreUnavailable):
        await house.create(1)
    await house.append(upload, b"abc")
    await house.delete(other)
    ledger.dead = False
    assert await counts(house) == (2, 6)
    house.now += ADMITTED_S + 1
    assert await accounts_of(house).recount() == 2
    assert await counts(house) == (0, 3)


# --- creations that fail


async def test_a_creation_that_fails_is_not_counted() -> None:
    """Whatever it fails of: a hook, the data, an id that is taken."""
    house = limited(open_uploads=9)
    house.hooks.says[HookType.PRE_CREATE] = UploadRejected()
    with pytest.raises(UploadRejected):
        await house.create(5)
    house.hooks.says[HookType.PRE_CREATE] = HookReply(id="taken")
    upload = await house.create(5)
    with pytest.raises(Exception, match="exists"):
        await house.create(7)
    assert await counts(house) == (1, 5)
    del house.hooks.says[HookType.PRE_CREATE]
    await house.delete(upload)
    assert await counts(house) == (0, 0)


async def test_a_cancelled_creation_is_not_counted() -> None:
    """Or it is, if it got so far that the upload is there."""
    house = limited(open_uploads=9)
    body = ScriptedBody(b"a", end=None)
    task = asyncio.create_task(house.create(2, body))
    await body.wait_starved()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await accounts_of(house).recount() == 0


async def test_a_first_body_that_is_refused_leaves_nothing() -> None:
    """The upload is removed, and so is its account."""
    house = limited(open_uploads=9)
    with pytest.raises(Exception, match="more bytes"):
        await house.create(2, ScriptedBody(b"abc"))
    assert await counts(house) == (0, 0)


# --- lengths that are not known


async def test_an_unknown_length_counts_as_it_grows() -> None:
    """Before a byte is read, if the request says how many there are."""
    house = limited(total_bytes=10)
    upload = await house.create(None)
    assert await counts(house) == (1, 0)
    upload = await house.append(upload, b"12345678")
    assert await counts(house) == (1, 8)
    body = ScriptedBody(b"abc")
    with pytest.raises(QuotaExceeded):
        await house.append(upload, b"abc")
    assert await body.read() == b"abc"
    await house.append(upload, b"ab", length=10)
    assert await counts(house) == (0, 10)


async def test_a_declared_length_counts_at_once() -> None:
    """Also if none of its bytes come."""
    house = limited(total_bytes=10)
    upload = await house.create(None)
    with pytest.raises(QuotaExceeded):
        await house.append(upload, b"", length=11)
    assert await counts(house) == (1, 0)
    upload = await house.append(upload, b"", length=10)
    assert await counts(house) == (1, 10)


async def test_chunks_count_as_they_come() -> None:
    """Nobody knows how many there will be; what came before the limit is kept."""
    house = limited(total_bytes=10)
    upload = await house.create(None)
    with pytest.raises(QuotaExceeded):
        await house.append(upload, ScriptedBody(b"1234", b"5678", b"9abc", b"defg"))
    assert (await house.record(upload)).offset == 8
    assert await counts(house) == (1, 8)


async def test_chunks_that_stop_early_count_for_what_they_were() -> None:
    """Not for what they might have become."""
    house = limited(total_bytes=1 << 40)
    upload = await house.create(None)
    with pytest.raises(Exception, match="ended"):
        await house.append(upload, ScriptedBody(b"1234", end=BodyEnd.DISCONNECTED))
    assert await counts(house) == (1, 4)


# --- parts


async def test_parts_count_and_so_does_the_whole() -> None:
    """All of them take room until they are removed."""
    house = limited(open_uploads=9, total_bytes=12)
    parts = [await house.part(b"abc"), await house.part(b"def")]
    final = await house.final(*parts)
    assert await counts(house) == (0, 12)
    with pytest.raises(QuotaExceeded):
        await house.final(*parts)
    for upload in (*parts, final):
        await house.delete(upload)
    assert await counts(house) == (0, 0)


async def test_a_whole_of_unknown_length_is_counted_when_it_is_joined() -> None:
    """It is removed if there is no room for it."""
    house = limited(total_bytes=10)
    part = await house.create(None, kind=Partial())
    final = await house.final(part)
    assert await counts(house) == (2, 0)
    await house.append(part, b"123456", length=6)
    await house.wait_idle()
    assert final.id not in house.offsets._uploads  # type: ignore[attr-defined]
    assert await counts(house) == (0, 6)


# --- hooks


async def test_a_hook_limits_an_upload_and_its_owner() -> None:
    """What it says of a new upload holds before a byte is read, and for good."""
    house = House(bounds=Bounds(counted=True))
    house.hooks.says[HookType.PRE_CREATE] = HookReply(
        limits=UploadLimits(max_size=5, bytes_per_second=7, quota=Quota(total_bytes=8))
    )
    with pytest.raises(MaxSizeExceeded):
        await house.create(6)
    upload = await house.create(5)
    assert (await house.record(upload)).bytes_per_second == 7
    with pytest.raises(QuotaExceeded):
        await house.create(4)
    upload = await house.create(None)
    with pytest.raises(QuotaExceeded):
        await house.append(upload, b"1234")


async def test_a_hook_cannot_grant_more_bytes_than_the_application() -> None:
    """The size of an upload only shrinks."""
    house = House(authorize=Owners(anna=Grant(owner="anna", max_size=5)))
    house.hooks.says[HookType.PRE_CREATE] = HookReply(limits=UploadLimits(max_size=9))
    with pytest.raises(MaxSizeExceeded):
        await house.create(6)


# --- against the records


async def test_a_recount_makes_the_ledger_right() -> None:
    """Whatever a crash has left: admitted and never made, finished, removed, or not counted."""
    house = limited(open_uploads=9)
    finished = await house.create(3, b"abc")
    running = await house.create(5)
    deferred = await house.append(await house.create(None), b"12")
    gone = await house.create(4)
    await house.delete(gone)
    right = {one.upload_id: one async for one, _ in house.ledger.accounts()}
    for upload_id in (gone.id, UploadId("never-made")):
        await house.ledger.enter(account(upload_id, 4), house.now)
    await house.ledger.enter(account(finished.id, 3), house.now)
    await house.ledger.enter(account(deferred.id, 4096), house.now)
    await house.ledger.leave(running.id)
    house.now += ADMITTED_S + 1
    assert await accounts_of(house).recount() == 5
    assert {one.upload_id: one async for one, _ in house.ledger.accounts()} == right
    assert await house.ledger.server_counts() == Counts(open_uploads=2, total_bytes=10)
    assert await accounts_of(house).recount() == 0


def account(upload_id: UploadId, size: int) -> Account:
    """What a crash may leave."""
    return Account(upload_id=upload_id, owner=None, size=size, open=True)


async def test_a_recount_leaves_what_is_just_being_made() -> None:
    """It was admitted a moment ago, and has no record yet; and what is in use."""
    house = limited(total_bytes=99)
    await house.ledger.enter(account(UploadId("new"), 4), house.now)
    upload = await house.create(None)
    running = await house.start_append(upload, b"12")
    before = await counts(house)
    assert await accounts_of(house).recount() == 0
    assert await counts(house) == before
    running.body.stop(BodyEnd.DISCONNECTED)
    await running.error()
