"""Lengths, offsets and other numbers that are none, or too large, or too many (A01 to A16)."""

from __future__ import annotations

import pytest

from tests.support.raw_http import chunked, head, request
from tests.support.server import Server
from tests.support.target import (
    LENGTH,
    MISSING,
    STORED,
    TYPE,
    Target,
    V,
    assert_refused,
    files_of,
    new_target,
)

NOT_NUMBERS = {
    "A01 negative": "-1",
    "A01 minus zero": "-0",
    "A02 plus": "+5",
    "A02 leading zero": "05",
    "A02 underscore": "5_0",
    "A02 hexadecimal": "0x5",
    "A02 fraction": "5.0",
    "A02 exponent": "5e3",
    "A02 nan": "nan",
    "A02 empty": "",
    "A03 arabic": "\u0665",
    "A03 full width": "\uff15",
    "A03 no-break space": "5\xa0",
    "A03 superscript": "\xb2",
    "A03 not UTF-8": b"5\xff",
    "A04 list": "5, 5",
}


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_a_length_that_is_no_number_is_refused(target: Target, value: str | bytes) -> None:
    """Nothing is created for an Upload-Length that is not one plain integer."""
    assert_refused(target.create(("Upload-Length", value)), 400)


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_an_offset_that_is_no_number_is_refused(target: Target, value: str | bytes) -> None:
    """A07: an Upload-Offset that is not one plain integer is malformed, not a mismatch."""
    data = head("PATCH", target.path, V, TYPE, ("Upload-Offset", value), ("Content-Length", "7"))
    assert_refused(target.send(data + MISSING), 400)


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_a_declared_length_that_is_no_number_is_refused(target: Target, value: str | bytes) -> None:
    """A PATCH with a malformed Upload-Length stores nothing."""
    assert_refused(target.patch(("Upload-Length", value), body=MISSING), 400)


@pytest.mark.parametrize("second", ["5", "6"])
def test_a_length_sent_twice_is_refused(target: Target, second: str) -> None:
    """A04: two Upload-Length fields are refused, even if they agree."""
    assert_refused(target.create(("Upload-Length", "5"), ("Upload-Length", second)), 400)


@pytest.mark.parametrize("second", ["3", "4"])
def test_an_offset_sent_twice_is_refused(target: Target, second: str) -> None:
    """A04: two Upload-Offset fields are refused, even if they agree."""
    assert_refused(target.patch(("Upload-Offset", second), body=MISSING), 400)


@pytest.mark.parametrize(
    "value",
    ["1000001", "1" + "0" * 15, str(2**53), str(2**63 - 1), str(2**63), "1" + "0" * 30, "9" * 5000],
    ids=lambda value: value[:20],
)
def test_a_length_above_the_limit_is_too_large(target: Target, value: str) -> None:
    """A05: a number above the limit is answered 413, however large."""
    answer = target.create(("Upload-Length", value))
    assert_refused(answer, 413)
    assert answer.headers["Tus-Max-Size"] == "1000000"


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Upload-Length", "5"), ("Upload-Defer-Length", "1")],
        [("Upload-Defer-Length", "0")],
        [("Upload-Defer-Length", "2")],
        [("Upload-Defer-Length", "true")],
        [("Upload-Defer-Length", "1"), ("Upload-Defer-Length", "1")],
    ],
    ids=["none", "both", "0", "2", "true", "twice"],
)
def test_a_creation_has_one_kind_of_length(target: Target, fields: list[tuple[str, str]]) -> None:
    """A06: a length or Upload-Defer-Length: 1, and not both."""
    assert_refused(target.create(*fields), 400)


def test_an_offset_that_is_missing_is_refused(target: Target) -> None:
    """A07: a PATCH without Upload-Offset is malformed."""
    assert_refused(target.send(request("PATCH", target.path, V, TYPE, body=MISSING)), 400)


@pytest.mark.parametrize("offset", [0, 2, 4, 10, 11, 10**15 - 1])
def test_another_offset_is_told_the_right_one(target: Target, offset: int) -> None:
    """A08: a well-formed offset that does not match is answered 409 with the true one."""
    answer = target.patch(body=MISSING, offset=offset)
    assert_refused(answer, 409)
    assert answer.headers["Upload-Offset"] == "3"


@pytest.mark.parametrize(
    ("length", "status"), [("2", 400), ("0", 400), ("1000001", 413), ("9" * 20, 413)]
)
def test_a_deferred_length_must_fit(attacked: Server, length: str, status: int) -> None:
    """A09: a length below the offset or above the limit is refused and stays unknown."""
    deferred = new_target(attacked, ("Upload-Defer-Length", "1"))
    before = files_of(attacked)
    assert_refused(deferred.patch(("Upload-Length", length), body=b"x"), status)
    answer = deferred.inspect()
    assert answer.headers["Upload-Defer-Length"] == "1"
    assert answer.headers["Upload-Offset"] == "3"
    assert files_of(attacked) == before
    deferred.delete()


def test_a_length_is_declared_once(attacked: Server) -> None:
    """A09: a length once declared may be repeated, but never changed."""
    deferred = new_target(attacked, ("Upload-Defer-Length", "1"))
    assert deferred.patch(("Upload-Length", "10"), body=b"d").status == 204
    assert_refused(deferred.patch(("Upload-Length", "11"), body=b"e", offset=4), 400)
    assert deferred.patch(("Upload-Length", "10"), body=b"e", offset=4).status == 204
    assert deferred.inspect().headers["Upload-Length"] == "10"
    deferred.delete()


@pytest.mark.parametrize("length", [8, 10**6, 10**15, 2**63 - 1])
def test_a_body_known_to_be_too_long_is_not_read(target: Target, length: int) -> None:
    """A10 and A13: 413 comes before a byte of the body was sent."""
    data = target.head_of_patch(("Content-Length", str(length)))
    assert_refused(target.send(data), 413)


@pytest.mark.parametrize(
    "chunks",
    [(MISSING + b"k",), (MISSING, b"k"), (b"d",) * 8, (b"x" * 500_000,) * 4],
    ids=["one chunk", "one byte more", "many chunks", "megabytes"],
)
def test_a_chunked_body_that_is_too_long_is_dropped(
    target: Target, chunks: tuple[bytes, ...]
) -> None:
    """A11: a body of unknown length is refused once it is too long, and nothing of it is kept."""
    data = target.head_of_patch(("Transfer-Encoding", "chunked")) + chunked(*chunks)
    assert_refused(target.send(data), 413)


def test_a_first_body_that_is_too_long_creates_nothing(target: Target) -> None:
    """A10 and A11: a POST whose body is longer than its upload leaves nothing behind."""
    fields = (V, TYPE, ("Upload-Length", "3"))
    assert_refused(target.create(TYPE, ("Upload-Length", "3"), body=b"abcd"), 413)
    endless = head("POST", "/files/", *fields, ("Transfer-Encoding", "chunked"))
    assert_refused(target.send(endless + chunked(b"abc", b"d")), 413)


def test_a_chunked_body_above_the_limit_is_dropped(attacked: Server) -> None:
    """A11: while the length is unknown, the limit of the server is that of the upload."""
    deferred = new_target(attacked, ("Upload-Defer-Length", "1"))
    data = deferred.head_of_patch(("Transfer-Encoding", "chunked"))
    assert_refused(deferred.send(data + chunked(*(b"x" * 250_000,) * 5)), 413)
    assert deferred.offset() == len(STORED)
    deferred.delete()


def test_an_empty_patch_changes_nothing(target: Target) -> None:
    """A12: empty PATCHes are answered 204 over and over; they do not postpone the expiry."""
    data = target.head_of_patch(("Content-Length", "0"))
    with target.connect() as connection:
        for _ in range(200):
            connection.send(data)
            answer = connection.answer()
            assert (answer.status, answer.headers["Upload-Offset"]) == (204, "3")


@pytest.mark.parametrize("kind", [[], [("Upload-Concat", "partial")]], ids=["whole", "partial"])
def test_an_empty_patch_at_the_end_changes_nothing(
    attacked: Server, kind: list[tuple[str, str]]
) -> None:
    """A12: an empty PATCH on a complete upload is answered 204; a part still expires in time."""
    complete = new_target(attacked, ("Upload-Length", "3"), *kind)
    before = files_of(attacked)
    for _ in range(3):
        assert complete.patch(offset=3).status == 204
    assert files_of(attacked) == before
    assert_refused(complete.patch(body=b"x", offset=3), 413)
    assert files_of(attacked) == before
    complete.delete()


def test_an_upload_of_no_bytes_is_complete_at_once(attacked: Server) -> None:
    """A15: a length of 0 makes a complete upload with an empty file."""
    empty = new_target(attacked, ("Upload-Length", "0"), body=b"")
    assert empty.offset() == 0
    assert empty.file.read_bytes() == b""
    answer = empty.send(request("GET", empty.path), "GET")
    assert (answer.status, answer.body) == (200, b"")
    assert empty.patch(offset=0).status == 204
    empty.delete()


CONTENT_LENGTHS: dict[str, list[str | bytes]] = {
    "twice the same": ["7", "7"],
    "twice another": ["7", "8"],
    "list": ["7, 7"],
    "plus": ["+7"],
    "minus": ["-7"],
    "hexadecimal": ["0x7"],
    "arabic": ["\u0667"],
    "full width": ["\uff17"],
    "empty": [""],
    "blank within": ["7 7"],
    "beyond 64 bits": ["9" * 30],
    "not UTF-8": [b"7\xff"],
}


@pytest.mark.parametrize("values", CONTENT_LENGTHS.values(), ids=CONTENT_LENGTHS)
def test_a_content_length_that_is_no_number_is_refused(
    target: Target, values: list[str | bytes]
) -> None:
    """A16: a body whose length is in doubt is not read, and the connection ends."""
    fields = [("Content-Length", value) for value in values]
    with target.connect() as connection:
        connection.send(target.head_of_patch(*fields) + MISSING)
        assert_refused(connection.answer(), 400, 413)
        if values != CONTENT_LENGTHS["beyond 64 bits"]:
            assert connection.ended()


def test_the_whole_length_is_what_a_good_client_sends(target: Target) -> None:
    """The target of all this is an upload that works."""
    assert target.offset() == len(STORED) == LENGTH - len(MISSING)
