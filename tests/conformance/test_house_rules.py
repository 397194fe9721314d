"""What tusd_py does where the specification is silent: offsets, versions, concatenation.

The rows H1 to H22 are the rows of that table, in its order.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from .expect import (
    expect,
    expect_field,
    expect_number,
    expect_offset,
    expect_present,
    expect_refused,
    expect_status,
)
from .test_concatenation import concat, final, is_finished, path_of
from .tus import UPLOAD_TYPE, VERSION
from .wire import Connection, parse_head

if TYPE_CHECKING:
    from .tus import GivenField, Tus
    from .wire import Response

DATA = b"hello world"
HANDOVER_S = 2.0
NO_VERSION = ("Tus-Resumable", None)
PARTIAL = ("Upload-Concat", "partial")


def hold(tus: Tus, url: str, holder: Connection) -> None:
    """Begin a PATCH, wait until the server asks for its body, and send a part of that."""
    fields = (("Content-Length", "11"), ("Expect", "100-continue"))
    holder.send_head(tus.patch_request(url, 0, *fields, body=None))
    status, _, _ = parse_head(holder.read_head())
    if status != 100:
        pytest.fail(f"PATCH with Expect: 100-continue is answered {status}", pytrace=False)
    holder.send(DATA[:5])


@pytest.mark.rule("H2", "HOUSE", "HEAD on a busy upload makes the running PATCH leave.")
def test_house_02_head_takes_over(tus: Tus) -> None:
    """HEAD answers soon, the running PATCH answers 423, and PATCH goes on at the offset."""
    url = tus.upload(11)
    with Connection(url) as holder:
        hold(tus, url, holder)
        began = time.monotonic()
        head = tus.state(url)
        took_s = time.monotonic() - began
        expect_status(head, 200)
        offset = expect_number(head, "Upload-Offset")
        expect(head, offset <= 5, f"Upload-Offset is {offset}, but only 5 bytes were sent")
        expect(head, took_s < HANDOVER_S, f"HEAD took {took_s:.1f} s")
        expect_status(holder.read_response(), 423)
    expect_offset(tus.state(url), offset)
    expect_offset(tus.patch(url, offset, DATA[offset:]), 11)


@pytest.mark.rule("H2", "HOUSE", "PATCH on a busy upload makes the running PATCH leave.")
def test_house_02_patch_takes_over(tus: Tus) -> None:
    """The running PATCH answers 423 and saves its bytes; the second answers for its offset."""
    url = tus.upload(11)
    with Connection(url) as holder:
        hold(tus, url, holder)
        answer = tus.patch(url, 5, DATA[5:])
        expect_status(holder.read_response(), 423)
    # Whether the first five bytes were read before the second PATCH came is a race.
    expect_status(answer, 204, 409)
    expect_offset(tus.state(url), expect_number(answer, "Upload-Offset"))


@pytest.mark.rule("H2", "HOUSE", "DELETE on a busy upload makes the running PATCH leave.")
def test_house_02_delete_takes_over(tus: Tus) -> None:
    """DELETE answers 204, the running PATCH answers 423, and the upload is gone."""
    tus.need("termination")
    url = tus.upload(11)
    with Connection(url) as holder:
        hold(tus, url, holder)
        expect_status(tus.delete(url), 204)
        expect_status(holder.read_response(), 423)
    expect_status(tus.head(url), 404, 410)


@pytest.mark.rule("H5", "HOUSE", "409 tells the true Upload-Offset.")
@pytest.mark.parametrize("offset", [0, 7, 12])
def test_house_05_conflict_tells_offset(tus: Tus, offset: int) -> None:
    """PATCH with a wrong offset answers 409 with the current offset."""
    answer = tus.patch(tus.upload(11, data=b"hello"), offset, b"x")
    expect_status(answer, 409)
    expect_field(answer, "Upload-Offset", "5")


@pytest.mark.rule("H6", "HOUSE", "PATCH may repeat the length, but not change it.")
def test_house_06_same_length(tus: Tus) -> None:
    """PATCH with the known Upload-Length answers 204."""
    url = tus.upload(11)
    expect_offset(tus.patch(url, 0, b"hello", ("Upload-Length", "11")), 5)


@pytest.mark.rule("H6", "HOUSE", "PATCH may repeat the length, but not change it.")
@pytest.mark.parametrize("length", ["5", "10", "12"])
def test_house_06_other_length(tus: Tus, length: str) -> None:
    """PATCH with another Upload-Length answers 400 and changes nothing."""
    url = tus.upload(11)
    expect_status(tus.patch(url, 0, b"hello", ("Upload-Length", length)), 400)
    head = tus.state(url)
    expect_offset(head, 0)
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule("H10", "HOUSE", "An empty Upload-Metadata is accepted.")
def test_house_10_empty_metadata(tus: Tus) -> None:
    """POST with an empty Upload-Metadata answers 201."""
    expect_status(tus.create(11, ("Upload-Metadata", "")), 201)


@pytest.mark.rule("H10", "HOUSE", "Upload-Metadata which breaks the rules is answered 400.")
@pytest.mark.parametrize(
    "metadata",
    [
        "a MQ==,a Mg==",
        "a MQ==,b Mg==,a",
        "a !!!!",
        "a MQ",
        "a _-8=",
        "a MQ==MQ==",
        "a  MQ==",
        "a MQ== Mg==",
        "a MQ==,",
        "a MQ==,,b Mg==",
        ",a MQ==",
        "\u00e4 MQ==",
    ],
)
def test_house_10_bad_metadata(tus: Tus, metadata: str) -> None:
    """POST with duplicate keys, bad Base64 or illegal keys answers 400."""
    expect_status(tus.create(11, ("Upload-Metadata", metadata)), 400)


@pytest.mark.rule("H11", "HOUSE", "HEAD is answered 200.")
@pytest.mark.parametrize("size", [0, 5, 11])
def test_house_11_status(tus: Tus, size: int) -> None:
    """HEAD on an upload answers 200."""
    expect_status(tus.head(tus.upload(11, data=DATA[:size])), 200)


@pytest.mark.rule("H11", "HOUSE", "HEAD errors have Cache-Control: no-store too.")
def test_house_11_no_store_on_errors(tus: Tus) -> None:
    """HEAD on an unknown upload answers 404 with Cache-Control: no-store."""
    answer = tus.head(tus.unknown())
    expect_status(answer, 404)
    expect(answer, "no-store" in answer.items("Cache-Control"), "no-store is missing")


@pytest.mark.rule("H11", "HOUSE", "HEAD tells Upload-Expires as POST and PATCH do.")
def test_house_11_expires(tus: Tus) -> None:
    """HEAD on an upload that expires tells Upload-Expires."""
    tus.need("expiration")
    created = tus.create(11)
    if created.get("Upload-Expires") is None:
        pytest.skip("server does not say that this upload expires")
    expect_present(tus.head(tus.location(created)), "Upload-Expires")


@pytest.mark.rule("H11", "HOUSE", "No client waits for a body after HEAD.")
@pytest.mark.parametrize("size", [5, 11])
def test_house_11_connection_stays_usable(tus: Tus, size: int) -> None:
    """Two HEAD requests on one connection each have an answer of their own."""
    url = tus.upload(11, data=DATA[:size])
    with Connection(url) as connection:
        for _ in range(2):
            connection.send_request(tus.request("HEAD", url))
            expect_offset(connection.read_response("HEAD"), size)


@pytest.mark.rule("H15", "HOUSE", "A part may be named by a relative URL.")
def test_house_15_relative_part(tus: Tus) -> None:
    """POST with a part named relative to the creation URL answers 201."""
    part = tus.partial(b"hello")
    name = path_of(part).rpartition("/")[2]
    relative = name if tus.url.endswith("/") else f"{tus.url.rpartition('/')[2]}/{name}"
    answer = tus.post(concat(relative))
    expect_status(answer, 201)
    expect_offset(tus.wait_head(tus.location(answer), is_finished), 5)


@pytest.mark.rule("H15", "HOUSE", "Only partial uploads can be parts.")
@pytest.mark.parametrize("kind", ["whole", "final", "unknown"])
def test_house_15_other_parts(tus: Tus, kind: str) -> None:
    """POST with a part that is no partial upload answers 400, 403 or 404."""
    part = tus.partial(b"hello")
    if kind == "final":
        part = final(tus, part)
    elif kind == "whole":
        part = tus.upload(5, data=b"hello")
    else:
        part = tus.unknown()
    expect_status(tus.post(concat(part)), 400, 403, 404)


@pytest.mark.rule("H15", "HOUSE", "Only partial uploads can be parts.")
@pytest.mark.parametrize("value", ["final;", "final", "partial;x", "other", "Partial x"])
def test_house_15_bad_value(tus: Tus, value: str) -> None:
    """POST with an Upload-Concat that is neither partial nor a list answers 400."""
    tus.need("concatenation")
    expect_status(tus.create(5, ("Upload-Concat", value)), 400)


@pytest.mark.rule("H15", "HOUSE", "The cap on header sizes bounds the number of parts.")
def test_house_15_too_many_parts(tus: Tus) -> None:
    """POST with a list of 64 KiB is refused, not served."""
    part = path_of(tus.partial(b"h"))
    expect_refused(tus.post(concat(*[part] * (65536 // len(part)))))


@pytest.mark.rule("H15", "HOUSE", "The total is checked before a byte is copied.")
def test_house_15_total_too_long(tus: Tus) -> None:
    """POST with unfinished parts whose lengths exceed the limit answers 413."""
    tus.need("concatenation", "concatenation-unfinished")
    if tus.announced.max_size is None:
        pytest.skip("server does not announce Tus-Max-Size")
    part = tus.upload(tus.announced.max_size, PARTIAL)
    expect_status(tus.post(concat(part, part)), 413)


@pytest.mark.rule("H16", "HOUSE", "Parts are kept after concatenation.")
def test_house_16_parts_stay(tus: Tus) -> None:
    """HEAD on a part answers as before once the final upload is made."""
    part = tus.partial(b"hello")
    final(tus, part)
    expect_offset(tus.state(part), 5)


def ask_without_version(tus: Tus, method: str, version: GivenField) -> Response:
    """Send a request that changes something."""
    if method == "POST":
        return tus.create(11, version)
    url = tus.upload(11)
    if method == "PATCH":
        return tus.patch(url, 0, b"hello", version)
    tus.need("termination")
    return tus.delete(url, version)


@pytest.mark.rule("H18", "HOUSE", "POST, PATCH and DELETE need the version.")
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("version", [None, "1.0.0,1.0.0", "1.0", ""])
def test_house_18_version_needed(tus: Tus, method: str, version: str | None) -> None:
    """A change without the version answers 412 with Tus-Version."""
    answer = ask_without_version(tus, method, ("Tus-Resumable", version))
    expect_status(answer, 412)
    expect(answer, VERSION in answer.items("Tus-Version"), f"Tus-Version lacks {VERSION}")


@pytest.mark.rule("H18", "HOUSE", "HEAD, GET and OPTIONS are served without the version.")
def test_house_18_version_not_needed(tus: Tus) -> None:
    """HEAD and GET without the version answer as with it."""
    url = tus.upload(11, data=DATA)
    expect_offset(tus.head(url, NO_VERSION), 11)
    answer = tus.send("GET", url, NO_VERSION)
    expect(answer, answer.status != 412, "GET is answered 412")


@pytest.mark.rule("H20", "HOUSE", "X-HTTP-Method-Override works on any method.")
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE", "PATCH"])
def test_house_20_override(tus: Tus, method: str) -> None:
    """A request of any method with X-HTTP-Method-Override: PATCH appends."""
    url = tus.upload(11)
    override = ("X-HTTP-Method-Override", "PATCH")
    fields = (override, ("Content-Type", UPLOAD_TYPE), ("Upload-Offset", "0"))
    answer = tus.send(method, url, *fields, body=b"hello")
    expect_status(answer, 204)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule("H22", "HOUSE", "Extensions of the unreleased 1.1 are not announced.")
def test_house_22_no_unreleased_extensions(tus: Tus) -> None:
    """OPTIONS lists neither upload-tag nor challenge."""
    answer = tus.options()
    unreleased = {"upload-tag", "challenge"} & set(answer.items("Tus-Extension"))
    expect(answer, not unreleased, f"{unreleased} is announced")
