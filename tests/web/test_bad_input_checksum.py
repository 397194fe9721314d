"""Checksums that are none, do not match, or come where they should not (A70 to A75)."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.support.raw_http import chunked, request
from tests.support.server import Server
from tests.support.target import (
    MISSING,
    STORED,
    TYPE,
    Target,
    assert_refused,
    files_of,
    new_target,
)

CHUNKED = ("Transfer-Encoding", "chunked")
ANNOUNCED = ("Trailer", "Upload-Checksum")


def sha1(data: bytes) -> str:
    """Return the value of Upload-Checksum for these bytes."""
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return "sha1 " + base64.b64encode(digest).decode()


GOOD, BAD = ("Upload-Checksum", sha1(MISSING)), ("Upload-Checksum", sha1(b"other"))

NO_CHECKSUMS: dict[str, str | bytes] = {
    "A70 unknown": "sha3 " + GOOD[1][5:],
    "A70 upper case": "SHA1 " + GOOD[1][5:],
    "A70 no blank": "sha1" + GOOD[1][5:],
    "A70 two blanks": "sha1  " + GOOD[1][5:],
    "A70 nothing": "",
    "A70 no value": "sha1",
    "A70 no base64": "sha1 !!!!",
    "A70 hexadecimal": "sha1 " + hashlib.sha1(MISSING, usedforsecurity=False).hexdigest(),
    "A70 too short": "sha1 AAAA",
    "A70 of another": "sha256 " + GOOD[1][5:],
    "A70 not ASCII": "sha1 \u0661\u0661\u0661\u0661",
    "A70 not UTF-8": b"sha1 \xff\xff",
    "A70 list": f"{GOOD[1]}, {GOOD[1]}",
    "A73 a path": "../../x " + GOOD[1][5:],
    "A73 a path for a value": "sha1 ../../canary",
}


@pytest.mark.parametrize("value", NO_CHECKSUMS.values(), ids=NO_CHECKSUMS)
def test_a_checksum_that_is_none_is_refused(target: Target, value: str | bytes) -> None:
    """A70 and A73: it is refused before the body, on PATCH and POST, and names nothing."""
    field = ("Upload-Checksum", value)
    assert_refused(target.send(target.head_of_patch(field, ("Content-Length", "7"))), 400)
    assert_refused(target.create(TYPE, field, ("Upload-Length", "7"), body=MISSING), 400)


def test_a_checksum_sent_twice_is_refused(target: Target) -> None:
    """A70: two checksums are refused, even if they agree."""
    assert_refused(target.patch(GOOD, GOOD, body=MISSING), 400)


@pytest.mark.parametrize("body", [MISSING[:3], MISSING], ids=["part", "all"])
def test_a_body_with_another_checksum_is_dropped(target: Target, body: bytes) -> None:
    """A71: 460, and not a byte of it is visible."""
    answer = target.patch(BAD, body=body)
    assert_refused(answer, 460)
    assert answer.reason == "Checksum Mismatch"
    assert target.file.read_bytes() == STORED


def test_an_empty_body_is_verified_too(attacked: Server) -> None:
    """A71: no bytes have a checksum as well."""
    upload = new_target(attacked)
    assert_refused(upload.patch(GOOD, body=b""), 460)
    assert upload.patch(("Upload-Checksum", sha1(b"")), body=b"").status == 204
    assert upload.offset() == len(STORED)
    upload.delete()


def test_a_first_body_with_another_checksum_creates_nothing(target: Target) -> None:
    """A71: a creation whose bytes are wrong leaves nothing behind."""
    answer = target.create(TYPE, BAD, ("Upload-Length", "7"), body=MISSING)
    assert_refused(answer, 460)


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_verified_body_that_breaks_off_is_dropped(target: Target, framing: str, way: str) -> None:
    """A72: what cannot be verified is not kept, though it would be the right bytes."""
    field = ("Content-Length", "7") if framing == "length" else CHUNKED
    body = MISSING[:4] if framing == "length" else b"4\r\n" + MISSING[:4] + b"\r\n"
    with target.connect() as connection:
        connection.send(target.head_of_patch(GOOD, field) + body)
        if way == "end":
            connection.end_sending()
            assert_refused(connection.answer(), 400)
        else:
            connection.reset()


def test_a_checksum_of_the_bytes_before_the_break_is_no_help(target: Target) -> None:
    """A72: a body shorter than its length is not complete, whatever its checksum says."""
    field = ("Upload-Checksum", sha1(MISSING[:4]))
    with target.connect() as connection:
        connection.send(target.head_of_patch(field, ("Content-Length", "7")) + MISSING[:4])
        connection.end_sending()
        assert_refused(connection.answer(), 400)


def test_header_and_trailer_exclude_each_other(target: Target) -> None:
    """A74: with both, nobody can tell which of them counts."""
    data = target.head_of_patch(GOOD, ANNOUNCED, CHUNKED) + chunked(MISSING, trailers=[GOOD])
    assert_refused(target.send(data), 400)


def test_a_trailer_needs_chunks(target: Target) -> None:
    """A74: a body with a length has no trailer."""
    assert_refused(target.patch(ANNOUNCED, body=MISSING), 400)


TRAILERS: dict[str, tuple[list[tuple[str, str]], int]] = {
    "missing": ([], 400),
    "another": ([("Expires", "never")], 400),
    "twice": ([GOOD, GOOD], 400),
    "none": ([("Upload-Checksum", "nonsense")], 400),
    "unknown": ([("Upload-Checksum", "sha3 AAAA")], 400),
    "wrong": ([BAD], 460),
}


@pytest.mark.parametrize(("trailers", "status"), TRAILERS.values(), ids=TRAILERS)
def test_an_announced_trailer_has_to_be_right(
    target: Target, trailers: list[tuple[str, str]], status: int
) -> None:
    """A74: the announced checksum has to come, once, well-formed and right."""
    data = target.head_of_patch(ANNOUNCED, CHUNKED) + chunked(MISSING, trailers=trailers)
    assert_refused(target.send(data), status)


def test_a_checksum_that_is_right_is_no_obstacle(attacked: Server) -> None:
    """Header or trailer, a body with the checksum that it has is stored."""
    upload = new_target(attacked)
    first = ("Upload-Checksum", sha1(MISSING[:3]))
    assert upload.patch(first, body=MISSING[:3]).status == 204
    rest = chunked(MISSING[3:], trailers=[("upload-checksum", sha1(MISSING[3:]))])
    data = upload.head_of_patch(ANNOUNCED, CHUNKED, offset=6) + rest
    assert upload.send(data).status == 204
    assert upload.file.read_bytes() == STORED + MISSING
    upload.delete()


def test_a_large_verified_body_does_not_hold_up_others(attacked: Server, target: Target) -> None:
    """A75: while a body is hashed, other requests are answered."""
    size = 900_000
    large = new_target(attacked, ("Upload-Length", str(size)), body=b"")
    data = b"x" * size
    fields = (("Upload-Checksum", sha1(data)), ("Content-Length", str(size)))
    with large.connect() as connection:
        connection.send(large.head_of_patch(*fields, offset=0) + data[: size // 2])
        assert target.send(request("OPTIONS", "/files/")).status == 200
        connection.send(data[size // 2 :])
        assert connection.answer().status == 204
    assert len(files_of(attacked)[f"uploads/{large.file.name}"]) == size
    large.delete()
