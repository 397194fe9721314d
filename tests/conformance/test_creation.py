"""The extension creation (rows 24, 25 and 30 to 35)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import (
    expect,
    expect_field,
    expect_offset,
    expect_present,
    expect_status,
    expect_success,
)

if TYPE_CHECKING:
    from .tus import Tus
    from .wire import Response

pytestmark = pytest.mark.needs("creation")

WORDS = ("one", "two", "three", "four", "five", "six")
MANY = ",".join(f"{word} dmFsdWU=" for word in WORDS)


def create_with(tus: Tus, metadata: str) -> Response:
    """Create an upload with metadata; a server may refuse metadata it does not like."""
    answer = tus.create(11, ("Upload-Metadata", metadata))
    if answer.status != 201:
        pytest.skip(f"server refuses the metadata {metadata!r}, which it may")
    return answer


def parse_pairs(value: str) -> dict[str, str]:
    """Return the pairs of an Upload-Metadata header."""
    pairs = (pair.strip().partition(" ") for pair in value.split(","))
    return {key: value.strip() for key, _, value in pairs}


@pytest.mark.needs
@pytest.mark.rule(24, "MUST", "A server which creates uploads announces creation.")
def test_row_24_announced(tus: Tus) -> None:
    """A POST that makes an upload means that OPTIONS lists creation."""
    if "creation" in tus.announced.extensions:
        return
    answer = tus.create(11)
    if answer.status == 201 and answer.get("Location"):
        head = tus.head(tus.location(answer))
        expect(head, head.get("Upload-Offset") is None, "creation works, but is not announced")


@pytest.mark.rule(25, "MUST", "No upload is without a length unless its length is deferred.")
def test_row_25_post_without_length(tus: Tus) -> None:
    """POST without a length is refused, or HEAD tells what the server took it for."""
    answer = tus.post()
    if answer.status == 201 and answer.get("Location"):
        head = tus.state(tus.location(answer))
        known = head.get("Upload-Length") or head.get("Upload-Defer-Length") == "1"
        expect(head, known, "neither Upload-Length nor Upload-Defer-Length: 1")


@pytest.mark.rule(30, "MUST", "An upload may have Upload-Length: 0.")
def test_row_30_empty_upload(tus: Tus) -> None:
    """POST with Upload-Length: 0 answers 201."""
    expect_status(tus.create(0), 201)


@pytest.mark.rule(30, "MUST", "An upload of Upload-Length: 0 is complete at once.")
def test_row_30_empty_upload_is_complete(tus: Tus) -> None:
    """HEAD on an empty upload tells offset 0 of length 0."""
    head = tus.state(tus.upload(0))
    expect_offset(head, 0)
    expect_field(head, "Upload-Length", "0")


@pytest.mark.rule(31, "MAY", "Upload-Metadata is a list of keys with Base64 values.")
@pytest.mark.parametrize(
    "metadata",
    ["key dmFsdWU=", "one MQ==,two Mg==", "key ", "key", "one MQ==,key,two Mg==", "key AP+A"],
    ids=["one", "two", "empty value", "no space", "no space between", "binary"],
)
def test_row_31_metadata(tus: Tus, metadata: str) -> None:
    """POST with well-formed metadata answers 201."""
    expect_status(tus.create(11, ("Upload-Metadata", metadata)), 201)


@pytest.mark.rule(32, "MUST", "HEAD returns the metadata given at creation.")
def test_row_32_metadata_pairs(tus: Tus) -> None:
    """HEAD returns each key with its value."""
    head = tus.state(tus.location(create_with(tus, MANY)))
    got = expect_present(head, "Upload-Metadata")
    expect(head, parse_pairs(got) == parse_pairs(MANY), f"Upload-Metadata has pairs {got!r}")


@pytest.mark.rule(32, "MUST", "HEAD returns the value of Upload-Metadata as the client gave it.")
@pytest.mark.parametrize(
    "metadata",
    ["key dmFsdWU=", MANY, "flag", "one MQ==,flag,two Mg==", "key AP+A"],
    ids=["one", "many", "no value", "no value between", "binary"],
)
def test_row_32_metadata_as_given(tus: Tus, metadata: str) -> None:
    """HEAD returns the same text each time, in the order of the client."""
    url = tus.location(create_with(tus, metadata))
    for _ in range(4):
        expect_field(tus.state(url), "Upload-Metadata", metadata)


@pytest.mark.rule(33, "SHOULD", "Metadata is made safe before it is used in header fields.")
def test_row_33_no_header_smuggling(tus: Tus) -> None:
    """A line break in a file name adds no field to any answer."""
    # In both values a line break and "X-Smuggled: yes" follow after something harmless.
    name = "filename YQ0KWC1TbXVnZ2xlZDogeWVz"
    kind = "filetype dGV4dC9wbGFpbg0KWC1TbXVnZ2xlZDogeWVz"
    created = tus.create(11, ("Upload-Metadata", f"{name},{kind}"))
    answers = [created]
    if created.status == 201:
        url = tus.location(created)
        answers += [tus.patch(url, 0, b"hello world"), tus.head(url), tus.send("GET", url)]
    for answer in answers:
        expect(answer, answer.get("X-Smuggled") is None, "metadata became a field of its own")


@pytest.mark.rule(34, "MUST", "A length above Tus-Max-Size is answered 413.")
def test_row_34_too_long(tus: Tus) -> None:
    """POST with a length above the limit answers 413."""
    if tus.announced.max_size is None:
        pytest.skip("server does not announce Tus-Max-Size")
    expect_status(tus.create(tus.announced.max_size + 1), 413)


@pytest.mark.rule(35, "MUST", "A successful POST is answered 201.")
def test_row_35_created(tus: Tus) -> None:
    """POST with a length answers 201."""
    expect_status(tus.create(11), 201)


@pytest.mark.rule(35, "MUST", "The answer to POST has the URL of the upload in Location.")
def test_row_35_location(tus: Tus) -> None:
    """Location, absolute or relative, leads to the new upload."""
    answer = tus.create(11)
    expect_success(answer)
    expect_present(answer, "Location")
    expect_offset(tus.head(tus.location(answer)), 0)


@pytest.mark.rule(35, "MUST", "The answer to POST has the URL of the upload in Location.")
def test_row_35_locations_differ(tus: Tus) -> None:
    """Two POST requests make two uploads, each with bytes of its own."""
    first, second = tus.upload(11, data=b"hello"), tus.upload(11)
    expect_offset(tus.state(first), 5)
    expect_offset(tus.state(second), 0)
