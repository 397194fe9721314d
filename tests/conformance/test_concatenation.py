"""The extension concatenation (rows 50 to 61)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

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
    from .tus import GivenField, Tus
    from .wire import Response

pytestmark = pytest.mark.needs("creation", "concatenation")

METADATA = ("Upload-Metadata", "origin cGFydGlhbA==")


def concat(*urls: str) -> GivenField:
    """Return the field that asks for a final upload of these parts."""
    return ("Upload-Concat", f"final;{' '.join(urls)}")


def path_of(url: str) -> str:
    """Return a URL without its scheme and host."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def is_finished(answer: Response) -> bool:
    """Tell whether HEAD shows a final upload whose parts have been put together."""
    offset = answer.get("Upload-Offset")
    return offset is not None and offset == answer.get("Upload-Length")


def final(tus: Tus, *urls: str) -> str:
    """Create a final upload, wait until it is put together, and return its URL."""
    url = tus.location(tus.post(concat(*urls)))
    head = tus.wait_head(url, is_finished)
    if not is_finished(head):
        tus.unmet("the final upload this test needs is not finished (row 59)", head)
    return url


@pytest.mark.needs("creation")
@pytest.mark.rule(50, "MUST", "A server which concatenates announces concatenation.")
def test_row_50_announced(tus: Tus) -> None:
    """A final upload of the right length means that OPTIONS lists concatenation."""
    if "concatenation" in tus.announced.extensions:
        return
    created = tus.create(5, ("Upload-Concat", "partial"))
    if created.status != 201:
        return
    part = tus.location(created)
    tus.patch(part, 0, b"hello")
    answer = tus.post(concat(part))
    if answer.status == 201 and answer.get("Location"):
        head = tus.head(tus.location(answer))
        expect(head, not is_finished(head), "concatenation works, but is not announced")


@pytest.mark.rule(51, "MUST", "POST with Upload-Concat: partial creates a partial upload.")
def test_row_51_partial(tus: Tus) -> None:
    """POST with Upload-Concat: partial answers 201, and PATCH fills the upload."""
    answer = tus.create(5, ("Upload-Concat", "partial"))
    expect_status(answer, 201)
    expect_offset(tus.patch(tus.location(answer), 0, b"hello"), 5)


@pytest.mark.rule(53, "MUST", "POST with Upload-Concat: final; and a list creates a final upload.")
def test_row_53_final(tus: Tus) -> None:
    """POST with finished parts and no length answers 201 with a Location."""
    answer = tus.post(concat(tus.partial(b"hello"), tus.partial(b" world")))
    expect_status(answer, 201)
    expect_present(answer, "Location")


@pytest.mark.rule(53, "MUST", "Parts are concatenated in the order of the list.")
def test_row_53_order(tus: Tus) -> None:
    """A final upload that can be read back has its parts in the order of the list."""
    url = final(tus, tus.partial(b" world"), tus.partial(b"hello"))
    answer = tus.send("GET", url)
    if answer.body not in {b" worldhello", b"hello world"}:
        pytest.skip("server does not let this upload be read back")
    expect(answer, answer.body == b" worldhello", f"the parts are in the order {answer.body!r}")


@pytest.mark.rule(54, "MUST", "The length of a final upload is the sum of its parts.")
def test_row_54_length(tus: Tus) -> None:
    """HEAD on a final upload tells the sum of the lengths of its parts."""
    parts = (tus.partial(b"hello"), tus.partial(b" "), tus.partial(b"world"))
    head = tus.wait_state(tus.location(tus.post(concat(*parts))), is_finished)
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule(56, "MUST", "Metadata of the parts does not move to the final upload.")
def test_row_56_no_metadata(tus: Tus) -> None:
    """HEAD on a final upload shows no metadata of its parts."""
    head = tus.state(final(tus, tus.partial(b"hello", METADATA)))
    told = head.get("Upload-Metadata") or ""
    expect(head, METADATA[1] not in told, f"Upload-Metadata is {told!r}, that of a part")


@pytest.mark.rule(56, "MUST", "A final upload has the metadata given with it.")
def test_row_56_own_metadata(tus: Tus) -> None:
    """HEAD on a final upload returns the metadata of its own POST."""
    own = ("Upload-Metadata", "origin ZmluYWw=")
    answer = tus.post(concat(tus.partial(b"hello", METADATA)), own)
    if answer.status != 201:
        pytest.skip("server refuses the metadata, which it may")
    head = tus.wait_state(tus.location(answer), is_finished)
    expect_field(head, "Upload-Metadata", "origin ZmluYWw=")


@pytest.mark.rule(57, "MUST", "A part may appear several times in one list.")
def test_row_57_part_twice(tus: Tus) -> None:
    """A final upload of the same part twice is twice as long."""
    part = tus.partial(b"hello")
    answer = tus.post(concat(part, part))
    expect_status(answer, 201)
    head = tus.wait_state(tus.location(answer), is_finished)
    expect_field(head, "Upload-Length", "10")


@pytest.mark.rule(58, "MUST", "PATCH on a final upload is answered 403.")
@pytest.mark.parametrize("offset", [0, 5], ids=["start", "end"])
def test_row_58_patch_final(tus: Tus, offset: int) -> None:
    """PATCH on a final upload answers 403."""
    expect_status(tus.patch(final(tus, tus.partial(b"hello")), offset, b"x"), 403)


@pytest.mark.rule(58, "MUST", "PATCH on a final upload changes neither it nor its parts.")
def test_row_58_patch_final_changes_nothing(tus: Tus) -> None:
    """PATCH on a final upload leaves its offset and that of its parts."""
    part = tus.partial(b"hello")
    url = final(tus, part)
    before = tus.head(part).status
    tus.patch(url, 5, b"x")
    expect_offset(tus.state(url), 5)
    after = tus.head(part)
    if before < 300:
        expect_offset(after, 5)


@pytest.mark.rule(59, "MUST", "HEAD on a finished final upload tells equal offset and length.")
def test_row_59_final_head(tus: Tus) -> None:
    """HEAD on a final upload tells offset and length once it is put together."""
    answer = tus.post(concat(tus.partial(b"hello"), tus.partial(b" world")))
    head = tus.wait_head(tus.location(answer), is_finished)
    expect_success(head)
    expect_field(head, "Upload-Offset", "11")
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule(60, "MUST", "HEAD on a partial upload tells Upload-Offset.")
def test_row_60_partial_offset(tus: Tus) -> None:
    """HEAD on a partial upload tells offset and length."""
    head = tus.head(tus.upload(11, ("Upload-Concat", "partial"), data=b"hello"))
    expect_offset(head, 5)
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule(60, "MUST", "HEAD on a partial upload has Upload-Concat as received.")
def test_row_60_partial_concat(tus: Tus) -> None:
    """HEAD on a partial upload returns Upload-Concat: partial."""
    expect_field(tus.state(tus.partial(b"hello")), "Upload-Concat", "partial")


@pytest.mark.rule(60, "MUST", "HEAD on a final upload has Upload-Concat as received.")
@pytest.mark.parametrize("form", ["absolute", "path"])
def test_row_60_final_concat(tus: Tus, form: str) -> None:
    """HEAD on a final upload returns the list as the client wrote it."""
    parts = [tus.partial(b"hello"), tus.partial(b" world")]
    if form == "path":
        parts = [path_of(part) for part in parts]
    name, value = concat(*parts)
    expect_field(tus.state(final(tus, *parts)), name, value or "")


@pytest.mark.rule(61, "MUST", "The URLs of the parts may be absolute or relative.")
@pytest.mark.parametrize("form", ["absolute", "path"])
def test_row_61_urls(tus: Tus, form: str) -> None:
    """A final upload is made from absolute URLs as well as from paths."""
    part = tus.partial(b"hello")
    answer = tus.post(concat(path_of(part) if form == "path" else part))
    expect_status(answer, 201)
    head = tus.wait_state(tus.location(answer), is_finished)
    expect_field(head, "Upload-Length", "5")


@pytest.mark.rule(61, "MAY", "The URLs of the parts may be relative to the creation URL.")
def test_row_61_relative_path(tus: Tus) -> None:
    """A final upload is made from a URL that does not begin with a slash."""
    part = tus.partial(b"hello")
    relative = path_of(part).rpartition("/")[2]
    if urljoin(tus.url, relative) != part:
        relative = "/".join(path_of(part).rsplit("/", 2)[-2:])
    if urljoin(tus.url, relative) != part:
        pytest.skip("the upload is not beside or below the creation URL")
    expect_status(tus.post(concat(relative)), 201)
