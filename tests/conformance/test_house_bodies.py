"""What tusd_py does with bodies where the specification is silent."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import pytest

from .expect import (
    expect,
    expect_field,
    expect_number,
    expect_offset,
    expect_status,
    expect_success,
)
from .test_checksum import checksum
from .tus import UPLOAD_TYPE
from .wire import Chunked, Connection, WireError

if TYPE_CHECKING:
    from .tus import GivenField, Tus
    from .wire import Request, Response

DATA = b"hello world"
TYPE = ("Content-Type", UPLOAD_TYPE)
EXPECT = ("Expect", "100-continue")
GZIP = ("Content-Encoding", "gzip")


def answer_to_head(request: Request) -> Response:
    """Send the head of a request and none of its body, and return the answer."""
    with Connection(request.url) as connection:
        connection.send_head(request)
        return connection.read_response()


@pytest.mark.rule("H3", "HOUSE", "An empty PATCH on a complete upload is answered 204.")
@pytest.mark.parametrize("length", [11, 0])
def test_house_03_empty_patch(tus: Tus, length: int) -> None:
    """An empty PATCH at the end of a complete upload answers 204 with the offset."""
    url = tus.upload(length, data=DATA[:length])
    answer = tus.patch(url, length, b"")
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", str(length))


@pytest.mark.rule("H3", "HOUSE", "PATCH with bytes on a complete upload is answered 413.")
def test_house_03_bytes_on_complete(tus: Tus) -> None:
    """PATCH with bytes at the end of a complete upload answers 413."""
    url = tus.upload(11, data=DATA)
    expect_status(tus.patch(url, 11, b"x"), 413)
    expect_offset(tus.state(url), 11)


@pytest.mark.rule("H3", "HOUSE", "PATCH at another offset of a complete upload is answered 409.")
@pytest.mark.parametrize("body", [b"", b"hello"], ids=["empty", "with bytes"])
def test_house_03_wrong_offset_on_complete(tus: Tus, body: bytes) -> None:
    """PATCH at the start of a complete upload answers 409."""
    url = tus.upload(11, data=DATA)
    expect_status(tus.patch(url, 0, body), 409)
    expect_offset(tus.state(url), 11)


@pytest.mark.rule("H4", "HOUSE", "A body known to be too long is refused before it is read.")
def test_house_04_long_patch(tus: Tus) -> None:
    """PATCH that announces more bytes than are missing answers 413 without them."""
    url = tus.upload(11, data=b"hello")
    length = ("Content-Length", "7")
    expect_status(answer_to_head(tus.patch_request(url, 5, length, body=None)), 413)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule("H4", "HOUSE", "A body known to be too long is refused before it is read.")
def test_house_04_long_post(tus: Tus) -> None:
    """POST that announces more bytes than its length answers 413 without them."""
    tus.need("creation-with-upload")
    fields = (("Upload-Length", "5"), TYPE, ("Content-Length", "6"))
    expect_status(answer_to_head(tus.request("POST", tus.url, *fields)), 413)


@pytest.mark.rule("H4", "HOUSE", "A chunked body that is too long never completes an upload.")
def test_house_04_long_chunked_patch(tus: Tus) -> None:
    """PATCH with more chunks than are missing answers 413 and leaves the upload incomplete."""
    url = tus.upload(11, data=b"hello")
    expect_status(tus.patch(url, 5, Chunked(chunks=(b" wor", b"ld", b"!"))), 413)
    head = tus.state(url)
    expect_success(head)
    offset = expect_number(head, "Upload-Offset")
    expect(head, 5 <= offset < 11, f"Upload-Offset is {offset}, not below 11")
    expect_offset(tus.patch(url, offset, DATA[offset:]), 11)


@pytest.mark.rule("H7", "HOUSE", "POST with a body of another type is a plain creation.")
@pytest.mark.parametrize("body", [b"", b"hello"], ids=["empty", "with bytes"])
def test_house_07_other_type(tus: Tus, body: bytes) -> None:
    """POST with application/octet-stream answers 201 and stores no bytes."""
    answer = tus.create_with_body(11, body, ("Content-Type", "application/octet-stream"))
    expect_status(answer, 201)
    expect_offset(tus.state(tus.location(answer)), 0)


@pytest.mark.rule("H8", "HOUSE", "POST without a body is answered with Upload-Offset: 0.")
def test_house_08_offset_zero(tus: Tus) -> None:
    """POST without a body answers 201 with Upload-Offset: 0."""
    answer = tus.create(11)
    expect_status(answer, 201)
    expect_field(answer, "Upload-Offset", "0")


@pytest.mark.rule("H9", "HOUSE", "A POST cut short keeps its bytes and answers 201 if it can.")
def test_house_09_post_cut_short(tus: Tus) -> None:
    """POST whose body ends early, on a connection that can still answer, answers 201."""
    tus.need("creation-with-upload")
    fields = (("Upload-Length", "11"), TYPE, ("Content-Length", "11"))
    with Connection(tus.url) as connection:
        connection.send_head(tus.request("POST", tus.url, *fields))
        connection.send(b"hello")
        connection.end_sending()
        try:
            answer = connection.read_response()
        except WireError:
            pytest.skip("server does not answer once the client has stopped sending")
    expect_status(answer, 201)
    expect_offset(tus.state(tus.location(answer)), 5)


@pytest.mark.rule("H12", "HOUSE", "sha1, md5, sha256, sha512 and crc32 are announced.")
def test_house_12_algorithms(tus: Tus) -> None:
    """OPTIONS lists at least these algorithms."""
    answer = tus.options()
    missing = {"sha1", "md5", "sha256", "sha512", "crc32"} - set(
        answer.items("Tus-Checksum-Algorithm")
    )
    expect(answer, not missing, f"{sorted(missing)} not announced")


@pytest.mark.rule("H12", "HOUSE", "crc32 is four bytes, the highest first.")
def test_house_12_crc32(tus: Tus) -> None:
    """PATCH with the CRC-32 of its bytes answers 204, with another 460."""
    tus.need("checksum")
    url = tus.upload(11)
    for data, status in ((b"other", 460), (DATA, 204)):
        digest = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        answer = tus.patch(url, 0, DATA, ("Upload-Checksum", f"crc32 {digest}"))
        expect_status(answer, status)


@pytest.mark.rule("H12", "HOUSE", "A malformed or unknown checksum is answered 400.")
@pytest.mark.parametrize(
    "value", ["", "sha1", "sha1 ", "sha1 !!!!", "sha1 aGVsbG8=", "SHA1 " + "A" * 27 + "=", "x eA=="]
)
def test_house_12_bad_checksum(tus: Tus, value: str) -> None:
    """PATCH with a checksum that cannot be verified answers 400 and changes nothing."""
    tus.need("checksum")
    url = tus.upload(11)
    expect_status(tus.patch(url, 0, DATA, ("Upload-Checksum", value)), 400)
    expect_offset(tus.state(url), 0)


@pytest.mark.rule("H12", "HOUSE", "A mismatch is answered 460 Checksum Mismatch.")
def test_house_12_mismatch(tus: Tus) -> None:
    """PATCH with a checksum of other bytes answers 460 with its reason."""
    tus.need("checksum")
    answer = tus.patch(tus.upload(11), 0, DATA, checksum(b"other"))
    expect_status(answer, 460)
    expect(answer, answer.reason == "Checksum Mismatch", f"the reason is {answer.reason!r}")


@pytest.mark.rule("H12", "HOUSE", "POST with bytes is verified like PATCH.")
@pytest.mark.parametrize(
    ("field", "status"),
    [(checksum(DATA), 201), (checksum(b"other"), 460), (("Upload-Checksum", "x eA=="), 400)],
    ids=["match", "mismatch", "unknown"],
)
def test_house_12_post(tus: Tus, field: GivenField, status: int) -> None:
    """POST with bytes answers 201, 460 or 400 as its checksum is."""
    tus.need("checksum", "creation-with-upload")
    answer = tus.create_with_body(11, DATA, TYPE, field)
    expect_status(answer, status)
    if status == 201:
        expect_offset(tus.state(tus.location(answer)), 11)


@pytest.mark.rule("H13", "HOUSE", "A body with a checksum that stops early is rolled back.")
def test_house_13_cut_with_checksum(tus: Tus) -> None:
    """A cut in mid-PATCH with a checksum leaves the offset before that PATCH."""
    tus.need("checksum")
    url = tus.upload(11, data=b"hel")
    fields = (("Content-Length", "8"), checksum(DATA[3:]))
    tus.cut_patch(tus.patch_request(url, 3, *fields, body=None), b"lo wo", 0.1)
    expect_offset(tus.wait_head(url, lambda answer: answer.status == 200), 3)
    expect_offset(tus.patch(url, 3, DATA[3:], checksum(DATA[3:])), 11)


@pytest.mark.rule("H14", "HOUSE", "Bytes whose checksum should have come after them are dropped.")
def test_house_14_cut_before_trailer(tus: Tus) -> None:
    """A cut between the last chunk and the trailer leaves the offset before that PATCH."""
    tus.need("checksum-trailer")
    url = tus.upload(11)
    fields = (("Transfer-Encoding", "chunked"), ("Trailer", "Upload-Checksum"))
    tus.cut_patch(tus.patch_request(url, 0, *fields, body=None), b"5\r\nhello\r\n0\r\n", 0.1)
    expect_offset(tus.wait_head(url, lambda answer: answer.status == 200), 0)


@pytest.mark.rule("H19", "HOUSE", "Content-Encoding is answered 415.")
def test_house_19_patch_with_encoding(tus: Tus) -> None:
    """PATCH with Content-Encoding: gzip answers 415 and changes nothing."""
    url = tus.upload(11)
    expect_status(tus.patch(url, 0, b"hello", GZIP), 415)
    expect_offset(tus.state(url), 0)


@pytest.mark.rule("H19", "HOUSE", "Content-Encoding is answered 415.")
def test_house_19_post_with_encoding(tus: Tus) -> None:
    """POST with bytes and Content-Encoding: gzip answers 415."""
    tus.need("creation-with-upload")
    expect_status(tus.create_with_body(11, b"hello", TYPE, GZIP), 415)


def refused(tus: Tus, kind: str) -> tuple[Request, int]:
    """Return a request that cannot succeed, and its status."""
    five = ("Content-Length", "5")
    if kind == "unknown":
        return tus.patch_request(tus.unknown(), 0, EXPECT, five, body=None), 404
    if kind == "no length":
        return tus.request("POST", tus.url, TYPE, EXPECT, five), 400
    url = tus.upload(11)
    if kind == "offset":
        return tus.patch_request(url, 3, EXPECT, five, body=None), 409
    given: dict[str, tuple[GivenField, int]] = {
        "version": (("Tus-Resumable", "9.9.9"), 412),
        "type": (("Content-Type", "text/plain"), 415),
        "encoding": (GZIP, 415),
        "number": (("Upload-Offset", "zero"), 400),
        "size": (("Content-Length", "12"), 413),
    }
    field, status = given[kind]
    fields = (EXPECT, field) if kind == "size" else (EXPECT, five, field)
    return tus.patch_request(url, 0, *fields, body=None), status


@pytest.mark.rule("H21", "HOUSE", "100 comes only after every check that needs no body.")
@pytest.mark.parametrize(
    "kind",
    ["unknown", "offset", "version", "type", "encoding", "number", "size", "no length"],
)
def test_house_21_refused_without_100(tus: Tus, kind: str) -> None:
    """A request that cannot succeed gets its status and no 100 before it."""
    request, status = refused(tus, kind)
    answer = answer_to_head(request)
    expect_status(answer, status)
    expect(answer, not answer.interim, f"{answer.interim} came first")


@pytest.mark.rule("H21", "HOUSE", "100 comes only after every check that needs no body.")
def test_house_21_too_long_without_100(tus: Tus) -> None:
    """POST with a length above the limit gets 413 and no 100 before it."""
    if tus.announced.max_size is None:
        pytest.skip("server does not announce Tus-Max-Size")
    length = ("Upload-Length", str(tus.announced.max_size + 1))
    fields = (length, TYPE, EXPECT, ("Content-Length", "5"))
    answer = answer_to_head(tus.request("POST", tus.url, *fields))
    expect_status(answer, 413)
    expect(answer, not answer.interim, f"{answer.interim} came first")


@pytest.mark.rule("H21", "HOUSE", "PATCH that can succeed gets 100 and then 204.")
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_house_21_good_patch(tus: Tus, *, chunked: bool) -> None:
    """PATCH with Expect: 100-continue gets 100, and its bytes are stored."""
    url = tus.upload(11)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "11")
    with Connection(url) as connection:
        connection.send_head(tus.patch_request(url, 0, EXPECT, framing, body=None))
        head = connection.read_head()
        if not head.startswith(b"HTTP/1.1 100 "):
            pytest.fail(f"100 does not come first, but {head!r}", pytrace=False)
        connection.send(Chunked(chunks=(DATA,)).encode() if chunked else DATA)
        expect_offset(connection.read_response(), 11)
