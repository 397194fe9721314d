"""The extension creation-with-upload (rows 36 to 39)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_field, expect_number, expect_offset, expect_status
from .tus import UPLOAD_TYPE
from .wire import Body, Chunked, Connection, parse_head

if TYPE_CHECKING:
    from .tus import GivenField, Tus
    from .wire import Response

pytestmark = pytest.mark.needs("creation", "creation-with-upload")

DATA = b"hello world"
TYPE = ("Content-Type", UPLOAD_TYPE)


def create_with(tus: Tus, body: Body, *given: GivenField) -> Response:
    """Create an upload of 11 bytes with its first bytes."""
    return tus.post(("Upload-Length", "11"), TYPE, *given, body=body)


@pytest.mark.needs("creation")
@pytest.mark.rule(36, "MUST", "A server which takes bytes in POST announces creation-with-upload.")
def test_row_36_announced(tus: Tus) -> None:
    """A POST whose bytes are stored means that OPTIONS lists creation-with-upload."""
    if "creation-with-upload" in tus.announced.extensions:
        return
    answer = create_with(tus, b"hello")
    if answer.status == 201 and answer.get("Location"):
        head = tus.head(tus.location(answer))
        stored = head.get("Upload-Offset") == "5"
        expect(head, not stored, "creation-with-upload works, but is not announced")


@pytest.mark.needs("creation-with-upload")
@pytest.mark.rule(36, "MUST", "creation-with-upload is not announced without creation.")
def test_row_36_needs_creation(tus: Tus) -> None:
    """OPTIONS lists creation where it lists creation-with-upload."""
    answer = tus.options()
    expect(answer, "creation" in answer.items("Tus-Extension"), "creation is not announced")


@pytest.mark.rule(38, "MUST", "The 201 to a POST with bytes has Upload-Offset.")
@pytest.mark.parametrize("size", [5, 11], ids=["part", "whole"])
def test_row_38_offset(tus: Tus, size: int) -> None:
    """POST with bytes answers 201 with the offset HEAD tells."""
    answer = create_with(tus, DATA[:size])
    expect_status(answer, 201)
    expect_offset(tus.state(tus.location(answer)), expect_number(answer, "Upload-Offset"))


@pytest.mark.rule(38, "SHOULD", "POST accepts as many bytes as possible.")
@pytest.mark.parametrize(
    ("body", "size"),
    [(b"hello", 5), (DATA, 11), (Chunked(chunks=(b"hel", b"lo")), 5)],
    ids=["part", "whole", "chunked"],
)
def test_row_38_all_bytes(tus: Tus, body: Body, size: int) -> None:
    """POST stores all the bytes in its body."""
    answer = create_with(tus, body)
    expect_field(answer, "Upload-Offset", str(size))
    expect_offset(tus.state(tus.location(answer)), size)


@pytest.mark.rule(38, "MUST", "The rules of PATCH apply after a POST with bytes.")
def test_row_38_goes_on(tus: Tus) -> None:
    """PATCH completes what a POST began."""
    answer = create_with(tus, b"hello")
    url = tus.location(answer)
    offset = expect_number(answer, "Upload-Offset")
    expect_offset(tus.patch(url, offset, DATA[offset:]), 11)


@pytest.mark.rule(38, "MUST", "The 201 to a POST with bytes has Upload-Offset.")
def test_row_38_deferred_length(tus: Tus) -> None:
    """POST with bytes and without a length answers 201 with the offset HEAD tells."""
    tus.need("creation-defer-length")
    answer = tus.post(("Upload-Defer-Length", "1"), TYPE, body=b"hello")
    expect_status(answer, 201)
    head = tus.state(tus.location(answer))
    expect_offset(head, expect_number(answer, "Upload-Offset"))
    expect_field(head, "Upload-Defer-Length", "1")


@pytest.mark.rule(39, "SHOULD", "POST with Expect: 100-continue is answered before its body.")
def test_row_39_expect_continue(tus: Tus) -> None:
    """POST that waits for 100 gets it, and its bytes are stored."""
    fields = (("Upload-Length", "11"), TYPE, ("Expect", "100-continue"), ("Content-Length", "5"))
    request = tus.request("POST", tus.url, *fields)
    with Connection(tus.url) as connection:
        connection.send_head(request)
        status, _, _ = parse_head(connection.read_head())
        if status != 100:
            pytest.skip(f"server answers {status} at once, which it may")
        connection.send(b"hello")
        answer = connection.read_response()
    expect_status(answer, 201)
    expect_offset(tus.state(tus.location(answer)), 5)
