"""Every MUST of an operation, decided before a byte is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tusd_py.protocol.commands import Append, BodyHead, Create
from tusd_py.protocol.errors import (
    IncompleteUpload,
    InvalidConcat,
    InvalidUploadLength,
    MaxSizeExceeded,
    MismatchedOffset,
    ModifyFinal,
    TusError,
    UploadExpired,
    UploadNotFinished,
    UploadNotFound,
    UploadSizeExceeded,
)
from tusd_py.protocol.metadata import Metadata
from tusd_py.protocol.model import (
    CONCATENATION_UNFINISHED,
    LARGEST_SIZE,
    Capabilities,
    Final,
    Limits,
    Partial,
    Upload,
    UploadId,
    Whole,
)
from tusd_py.protocol.rules import (
    AppendPlan,
    plan_append,
    plan_create,
    plan_fetch,
    plan_final,
    plan_inspect,
    plan_join,
    settle_append,
    too_long,
)

NOW = 1_000_000.0
ID = UploadId("x")
UP_TO_100 = Limits(max_size=100, expire_after_s=60.0)
NOTHING_SPECIAL = Capabilities(extensions=())
UNFINISHED_TOO = Capabilities(extensions=(CONCATENATION_UNFINISHED,))
UPLOAD = Upload(id=ID, length=10, offset=3, created_at=1.0)
EXPIRED = replace(UPLOAD, expires_at=NOW)
DEFERRED = replace(UPLOAD, length=None)
FINAL = Upload(id=ID, length=None, kind=Final(parts=(UploadId("a"), UploadId("b"))))
PART = Upload(id=UploadId("a"), length=10, offset=10, kind=Partial())


def create(length: int | None, body_length: int | None = -1, **others: Any) -> Create:
    """Return a creation; without a body if its length is -1."""
    body = None if body_length == -1 else BodyHead(length=body_length)
    fields: dict[str, Any] = {"metadata": Metadata("a"), "kind": Whole()} | others
    return Create(length=length, body=body, **fields)


def append(offset: int, body_length: int | None = 0, declared: int | None = None) -> Append:
    """Return a PATCH."""
    body = BodyHead(length=body_length)
    return Append(id=ID, offset=offset, declared_length=declared, body=body)


# --- creation


@pytest.mark.parametrize(
    ("length", "body_length", "expires_at"),
    [
        # realistic
        (10, -1, NOW + 60),
        (10, 10, NOW + 60),
        (None, -1, NOW + 60),
        (10, None, NOW + 60),
        # synthetic
        (100, 100, NOW + 60),
        (None, 100, NOW + 60),
        (None, None, NOW + 60),
        (0, -1, None),
        (0, 0, None),
    ],
)
def test_a_new_upload_is_empty(
    length: int | None, body_length: int | None, expires_at: float | None
) -> None:
    """An upload begins at offset 0 with all that the request said of it, even with a body."""
    planned = plan_create(
        create(length, body_length), upload_id=ID, owner="me", limits=UP_TO_100, now=NOW
    )
    assert planned == Upload(
        id=ID,
        length=length,
        metadata=Metadata("a"),
        created_at=NOW,
        expires_at=expires_at,
        owner="me",
    )


@pytest.mark.parametrize(
    ("asked", "limits", "error"),
    [
        # realistic
        (create(101), UP_TO_100, MaxSizeExceeded),
        (create(10, 11), UP_TO_100, UploadSizeExceeded),
        # synthetic
        (create(101, 1), UP_TO_100, MaxSizeExceeded),
        (create(None, 101), UP_TO_100, MaxSizeExceeded),
        (create(0, 1), UP_TO_100, UploadSizeExceeded),
        # pathological
        (create(LARGEST_SIZE + 1), Limits(), MaxSizeExceeded),
        (create(None, 2**63), Limits(), MaxSizeExceeded),
    ],
)
def test_what_is_too_long_is_not_created(
    asked: Create, limits: Limits, error: type[TusError]
) -> None:
    """A length above the limit, or a body longer than the upload, is refused with 413."""
    with pytest.raises(error) as refused:
        plan_create(asked, upload_id=ID, owner=None, limits=limits, now=NOW)
    assert refused.value.status == 413


def test_the_largest_size_of_all_is_allowed() -> None:
    """Without a limit of ours an upload may have 15 digits of bytes."""
    planned = plan_create(create(LARGEST_SIZE), upload_id=ID, owner=None, limits=Limits(), now=NOW)
    assert planned.length == LARGEST_SIZE
    assert planned.expires_at is None


# --- concatenation


@pytest.mark.parametrize(
    ("parts", "length"),
    [
        # realistic
        ([PART, replace(PART, id=UploadId("b"), length=5, offset=5)], 15),
        # synthetic
        ([PART, PART], 20),
        ([replace(PART, length=0, offset=0)], 0),
        ([replace(PART, offset=4), PART], 20),
        ([replace(PART, length=None, offset=4), PART], None),
    ],
)
def test_a_final_is_as_long_as_its_parts(parts: list[Upload], length: int | None) -> None:
    """The length of a final is the sum of its parts', once all of them are known."""
    planned = plan_final(FINAL, parts, limits=UP_TO_100, capabilities=UNFINISHED_TOO, now=NOW)
    assert planned == replace(FINAL, length=length, expires_at=planned.expires_at)
    assert planned.expires_at == (None if length == 0 else NOW + 60)


@pytest.mark.parametrize(
    ("part", "capabilities", "error"),
    [
        # realistic
        (replace(PART, offset=9), NOTHING_SPECIAL, UploadNotFinished),
        (replace(PART, kind=Whole()), UNFINISHED_TOO, InvalidConcat),
        (replace(PART, expires_at=NOW), UNFINISHED_TOO, UploadExpired),
        (replace(PART, owner="somebody"), UNFINISHED_TOO, UploadNotFound),
        # synthetic
        (replace(PART, length=None), NOTHING_SPECIAL, UploadNotFinished),
        (replace(FINAL, length=10, offset=10), UNFINISHED_TOO, InvalidConcat),
        (replace(PART, length=101, offset=101), NOTHING_SPECIAL, MaxSizeExceeded),
        (replace(PART, length=100, offset=100), NOTHING_SPECIAL, MaxSizeExceeded),
        (replace(PART, length=95, offset=0), UNFINISHED_TOO, MaxSizeExceeded),
        # pathological: of several faults, that of a stranger's upload is told first
        (replace(PART, owner="s", expires_at=0.0, kind=Whole()), UNFINISHED_TOO, UploadNotFound),
    ],
)
def test_parts_that_cannot_be_joined_are_refused(
    part: Upload, capabilities: Capabilities, error: type[TusError]
) -> None:
    """One part that does not fit is enough to refuse the final upload."""
    with pytest.raises(error):
        plan_final(FINAL, [PART, part], limits=UP_TO_100, capabilities=capabilities, now=NOW)


def test_many_parts_do_not_overflow() -> None:
    """The sum of sizes is exact, however large."""
    huge = replace(PART, length=LARGEST_SIZE, offset=LARGEST_SIZE)
    with pytest.raises(MaxSizeExceeded):
        plan_final(FINAL, [huge] * 20_000, limits=Limits(), capabilities=NOTHING_SPECIAL, now=NOW)


# --- PATCH


@pytest.mark.parametrize(
    ("upload", "asked", "plan"),
    [
        # realistic
        (UPLOAD, append(3, 7), AppendPlan(upload=UPLOAD, room=7)),
        (UPLOAD, append(3, None), AppendPlan(upload=UPLOAD, room=7)),
        (UPLOAD, append(3, 7, declared=10), AppendPlan(upload=UPLOAD, room=7)),
        (DEFERRED, append(3, 7), AppendPlan(upload=DEFERRED, room=97)),
        (DEFERRED, append(3, 7, declared=10), AppendPlan(upload=UPLOAD, room=7)),
        (DEFERRED, append(3, 0, declared=3), AppendPlan(upload=replace(UPLOAD, length=3), room=0)),
        # synthetic
        (UPLOAD, append(3, 0), AppendPlan(upload=UPLOAD, room=7)),
        (DEFERRED, append(3, None), AppendPlan(upload=DEFERRED, room=97)),
        (DEFERRED, append(3, 97), AppendPlan(upload=DEFERRED, room=97)),
        (replace(UPLOAD, offset=10), append(10, 0), None),
        (replace(UPLOAD, expires_at=NOW + 0.1), append(3, 7), None),
    ],
)
def test_a_fitting_patch_may_begin(upload: Upload, asked: Append, plan: AppendPlan | None) -> None:
    """A PATCH at the offset of the upload may store as many bytes as are missing."""
    planned = plan_append(asked, upload, limits=UP_TO_100, now=NOW)
    expected = plan or AppendPlan(upload=upload, room=10 - upload.offset)
    assert planned == expected


@pytest.mark.parametrize(
    ("upload", "asked", "error"),
    [
        # realistic
        (UPLOAD, append(2, 7), MismatchedOffset),
        (UPLOAD, append(4, 7), MismatchedOffset),
        (UPLOAD, append(3, 8), UploadSizeExceeded),
        (EXPIRED, append(3, 7), UploadExpired),
        (FINAL, append(0, 7), ModifyFinal),
        (replace(UPLOAD, offset=10), append(10, 1), UploadSizeExceeded),
        # synthetic
        (UPLOAD, append(3, 7, declared=11), InvalidUploadLength),
        (DEFERRED, append(3, 7, declared=2), InvalidUploadLength),
        (DEFERRED, append(3, 7, declared=101), MaxSizeExceeded),
        (DEFERRED, append(3, 98), MaxSizeExceeded),
        (DEFERRED, append(3, 7, declared=9), UploadSizeExceeded),
        # pathological
        (UPLOAD, append(3, 2**63 - 1), UploadSizeExceeded),
        (UPLOAD, append(LARGEST_SIZE, 0), MismatchedOffset),
        (replace(FINAL, expires_at=0.0), append(0), UploadExpired),
        (DEFERRED, append(0, 200, declared=200), MismatchedOffset),
    ],
)
def test_other_patches_are_refused(upload: Upload, asked: Append, error: type[TusError]) -> None:
    """What does not fit is refused before a byte of it is read."""
    with pytest.raises(error):
        plan_append(asked, upload, limits=UP_TO_100, now=NOW)


def test_a_wrong_offset_is_told_the_right_one() -> None:
    """The 409 says where the upload goes on."""
    with pytest.raises(MismatchedOffset) as refused:
        plan_append(append(0), UPLOAD, limits=UP_TO_100, now=NOW)
    assert refused.value.offset == 3


PARTIAL = replace(UPLOAD, kind=Partial(), expires_at=NOW + 1)


@pytest.mark.parametrize(
    ("planned", "stored", "expires_at"),
    [
        # realistic
        (replace(UPLOAD, expires_at=NOW + 1), 4, NOW + 60),
        (replace(UPLOAD, expires_at=NOW + 1), 10, None),
        (replace(UPLOAD, length=3, expires_at=NOW + 1), 3, None),  # its length was just declared
        # synthetic
        (replace(UPLOAD, expires_at=NOW + 1), 3, NOW + 1),
        (replace(DEFERRED, expires_at=NOW + 1), 3, NOW + 1),
        (replace(UPLOAD, offset=10, finished=True), 10, None),
        (PARTIAL, 10, NOW + 60),
        (replace(PARTIAL, length=3), 3, NOW + 60),
        # pathological: the same empty PATCH over and over
        (replace(PARTIAL, length=3, finished=True), 3, NOW + 1),
    ],
)
def test_only_progress_renews_the_expiry(
    planned: Upload, stored: int, expires_at: float | None
) -> None:
    """New bytes and completion renew the time an upload is kept; an empty PATCH does not."""
    plan = AppendPlan(upload=planned, room=7)
    settled = settle_append(plan, stored, limits=UP_TO_100, now=NOW)
    assert settled == replace(planned, offset=stored, expires_at=expires_at)


# --- HEAD and GET


def test_an_upload_may_be_looked_at_until_it_expires() -> None:
    """HEAD shows the upload as it is, until its time has come."""
    assert plan_inspect(UPLOAD, now=NOW) is UPLOAD
    with pytest.raises(UploadExpired):
        plan_inspect(EXPIRED, now=NOW)


def test_only_a_whole_upload_is_given_back() -> None:
    """GET gives complete uploads, until their time has come."""
    complete = replace(UPLOAD, offset=10)
    assert plan_fetch(complete, now=NOW) is complete
    for unfinished in (UPLOAD, DEFERRED):
        with pytest.raises(IncompleteUpload):
            plan_fetch(unfinished, now=NOW)
    with pytest.raises(UploadExpired):
        plan_fetch(replace(EXPIRED, offset=10), now=NOW)


def test_too_many_bytes_exceed_the_length_or_the_limit() -> None:
    """Bytes beyond the length are too many for the upload; without one, for the server."""
    assert isinstance(too_long(UPLOAD, UP_TO_100), UploadSizeExceeded)
    exceeded = too_long(DEFERRED, UP_TO_100)
    assert isinstance(exceeded, MaxSizeExceeded)
    assert exceeded.max_size == 100


@pytest.mark.parametrize(
    ("offsets", "lengths", "joined"),
    [((3, 4), (3, 4), 7), ((3, 3), (3, 4), None), ((3, 0), (3, None), None), ((), (), 0)],
)
def test_parts_are_joined_when_all_are_complete(
    offsets: tuple[int, ...], lengths: tuple[int | None, ...], joined: int | None
) -> None:
    """The length of the whole is known once no part misses a byte."""
    parts = [
        Upload(id=UploadId("a"), offset=offset, length=length)
        for offset, length in zip(offsets, lengths, strict=True)
    ]
    assert plan_join(FINAL, parts, limits=Limits(max_size=7)) == joined


def test_parts_above_the_limit_are_not_joined() -> None:
    """Parts that are too long together are refused before a byte is copied."""
    parts = [Upload(id=UploadId("a"), offset=4, length=4)] * 2
    with pytest.raises(MaxSizeExceeded):
        plan_join(FINAL, parts, limits=Limits(max_size=7))


# --- what was granted to the creator


GRANTED_50 = Limits().capped(50)


def test_a_grant_only_lowers_the_limit() -> None:
    """The server's limit stays; a grant above it changes nothing."""
    assert UP_TO_100.capped(None) == UP_TO_100.capped(100) == UP_TO_100.capped(101) == UP_TO_100
    assert UP_TO_100.capped(50) == replace(UP_TO_100, max_size=50)
    assert GRANTED_50.max_size == 50


@pytest.mark.parametrize("limits", [Limits(), UP_TO_100])
def test_the_cap_of_an_upload_counts_later_too(limits: Limits) -> None:
    """A length that is declared late, a body, and a body of unknown length: all end at the cap."""
    upload = replace(DEFERRED, max_size=50)
    fits = Append(id=ID, offset=3, declared_length=50, body=BodyHead(length=47))
    assert plan_append(fits, upload, limits=limits, now=NOW).upload.length == 50
    open_end = Append(id=ID, offset=3, declared_length=None, body=BodyHead(length=None))
    assert plan_append(open_end, upload, limits=limits, now=NOW).room == 47
    for declared, length in ((51, 1), (None, 48)):
        too_much = replace(fits, declared_length=declared, body=BodyHead(length=length))
        with pytest.raises(MaxSizeExceeded) as caught:
            plan_append(too_much, upload, limits=limits, now=NOW)
        assert caught.value.max_size == 50
    error = too_long(upload, limits)
    assert isinstance(error, MaxSizeExceeded)
    assert error.max_size == 50


def test_parts_together_keep_to_the_cap() -> None:
    """Nobody gets around it by concatenation, whenever the lengths become known."""
    parts = [PART, PART]
    assert plan_join(replace(FINAL, max_size=20), parts, limits=Limits()) == 20
    capped = replace(FINAL, max_size=19)
    with pytest.raises(MaxSizeExceeded):
        plan_join(capped, parts, limits=Limits())
    with pytest.raises(MaxSizeExceeded):
        plan_final(capped, parts, limits=Limits(), capabilities=UNFINISHED_TOO, now=NOW)
