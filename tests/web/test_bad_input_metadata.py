"""Metadata that is none, too much, or meant to come out where it harms (A40 to A49)."""

from __future__ import annotations

import base64

import pytest

from tests.support.raw_http import request
from tests.support.server import Server
from tests.support.target import Target, V, assert_refused, new_target

LENGTH = ("Upload-Length", "5")

REFUSED: dict[str, str | bytes] = {
    "A40 repeated key": "a MQ==,a MQ==",
    "A40 empty key": ",a MQ==",
    "A40 blank for a key": " ,a MQ==",
    "A40 key with a blank": "a b MQ==",
    "A40 key with =": "a=b MQ==",
    "A40 key not ASCII": "cl\u00e9 MQ==",
    "A40 comma at the end": "a MQ==,",
    "A40 two blanks": "a  MQ==",
    "A40 tab": "a\tMQ==",
    "A41 no padding": "a MQ",
    "A41 alphabet of URLs": "a -_-_",
    "A41 blank within": "a M Q==",
    "A41 tab within": "a M\tQ==",
    "A41 two values": "a YQ==YQ==",
    "A41 not canonical": "a YR==",
    "A41 not ASCII": "a \u0661\u0661==",
    "A41 no base64": "a !!!!",
    "A44 65 keys": ",".join(f"k{n}" for n in range(65)),
    "A48 not UTF-8": b"a \xff\xfe",
    "A48 key not UTF-8": b"\xff\xfe MQ==",
    "A48 half a surrogate": b"a \xed\xa0\x80",
}


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_metadata_that_is_none_is_refused(target: Target, header: str | bytes) -> None:
    """Nothing is created with metadata that HEAD could not repeat or hooks could not read."""
    assert_refused(target.create(LENGTH, ("Upload-Metadata", header)), 400)


def test_metadata_sent_twice_is_refused(target: Target) -> None:
    """A40: two Upload-Metadata fields are refused."""
    fields = (("Upload-Metadata", "a MQ=="), ("Upload-Metadata", "b MQ=="))
    assert_refused(target.create(LENGTH, *fields), 400)


@pytest.mark.parametrize("size", [8_190, 20_000, 1_000_000])
def test_metadata_that_is_too_long_is_refused(target: Target, size: int) -> None:
    """A44: a header longer than a header may be is refused, not read into memory."""
    value = base64.b64encode(b"x" * size).decode()
    assert_refused(target.create(LENGTH, ("Upload-Metadata", f"a {value}")), 400, 431)


EVERY_BYTE = base64.b64encode(bytes(range(256))).decode()

KEPT = {
    "A45 every byte": f"a {EVERY_BYTE}",
    "A40 printable key": "!#$%&'*+-./:;<>?@[]^_`{|}~\"\\() MQ==",
    "A42 line break": "filename " + base64.b64encode(b"a\r\nX: 1\r\n\r\n").decode(),
    "A42 traversal": "filename " + base64.b64encode(b"../../canary").decode(),
    "A42 10 KB": "filename " + base64.b64encode(b"x" * 6000).decode(),
    "A43 markup": "filetype " + base64.b64encode(b"text/html").decode(),
    "bare keys": "a,b ,c",
    "empty": "",
}


@pytest.mark.parametrize("header", KEPT.values(), ids=KEPT)
def test_metadata_is_repeated_byte_for_byte(attacked: Server, header: str) -> None:
    """A45: whatever the values stand for, HEAD repeats the header, and no file is named by it."""
    upload = new_target(attacked, LENGTH, ("Upload-Metadata", header))
    assert upload.inspect().headers["Upload-Metadata"] == header
    assert len(upload.file.name) == 32
    upload.delete()


@pytest.mark.parametrize(
    "path",
    ["/<script>alert(1)</script>", "/files/<script>", "/files/%3Cscript%3E", "/files/x?<script>"],
)
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_errors_are_plain_text_without_echo(target: Target, path: str, accept: str) -> None:
    """A47: an error says what is wrong in plain text and repeats nothing that was sent."""
    answer = target.send(request("GET", path, ("Accept", accept)), "GET")
    assert_refused(answer, 400, 404)
    assert "script" not in answer.text


KNOWN = {
    "Tus-Resumable": 412,
    "Content-Type": 415,
    "Upload-Checksum": 400,
    "Upload-Offset": 400,
    "Upload-Length": 400,
    "Origin": 403,
    "Host": 400,
    "Expect": 417,
    "X-HTTP-Method-Override": 405,
    "Upload-Concat": 204,  # means nothing on PATCH
    "Trailer": 204,
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_field_that_is_not_utf_8_is_refused(target: Target, name: str) -> None:
    """A48: bytes beyond UTF-8 in a field that matters are the client's fault, not ours."""
    fields = dict([V, ("Content-Type", "application/offset+octet-stream")])
    fields |= {"Upload-Offset": "3", name: "\udcff\udcfe"}
    answer = target.send(request("PATCH", target.path, *fields.items()))
    assert answer.status == KNOWN[name]


@pytest.mark.parametrize("name", ["X-Anything", "Referer", "User-Agent", "Cookie"])
def test_other_fields_may_be_any_bytes(attacked: Server, name: str) -> None:
    """A48: what does not concern us is passed on to hooks as it is, and breaks nothing."""
    upload = new_target(attacked)
    field = (name, b"http://\xff\xfe\x80")
    answer = upload.create(field, ("Upload-Length", "0"))
    assert answer.status == 201
    path = answer.headers["Location"].removeprefix("http://server")
    assert upload.send(request("DELETE", path, V, field)).status == 204
    upload.delete()
