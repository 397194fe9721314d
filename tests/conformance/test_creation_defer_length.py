"""The extension creation-defer-length (rows 26 to 29)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_absent, expect_field, expect_offset, expect_status

if TYPE_CHECKING:
    from .tus import Tus

pytestmark = pytest.mark.needs("creation", "creation-defer-length")

DATA = b"hello world"
LENGTH = ("Upload-Length", "11")


@pytest.mark.rule(26, "SHOULD", "Upload-Defer-Length other than 1 is answered 400.")
@pytest.mark.parametrize("value", ["0", "2", "true"])
def test_row_26_other_value(tus: Tus, value: str) -> None:
    """POST with Upload-Defer-Length other than 1 answers 400."""
    expect_status(tus.post(("Upload-Defer-Length", value)), 400)


@pytest.mark.rule(26, "MUST", "Upload-Defer-Length: 1 defers the length.")
def test_row_26_created(tus: Tus) -> None:
    """POST with Upload-Defer-Length: 1 answers 201."""
    expect_status(tus.post(("Upload-Defer-Length", "1")), 201)


@pytest.mark.rule(27, "SHOULD", "PATCH appends bytes before the length is known.")
def test_row_27_patch_before_length_is_known(tus: Tus) -> None:
    """PATCH without Upload-Length moves the offset of an upload whose length is deferred."""
    url = tus.deferred()
    expect_offset(tus.patch(url, 0, b"hello"), 5)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule(27, "MUST", "PATCH sets the length that was deferred.")
@pytest.mark.parametrize("body", [b" world", b""], ids=["with bytes", "empty"])
def test_row_27_patch_sets_length(tus: Tus, body: bytes) -> None:
    """HEAD tells the length once a PATCH has set it."""
    url = tus.deferred(data=b"hello")
    answer = tus.patch(url, 5, body, LENGTH)
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", str(5 + len(body)))
    head = tus.state(url)
    expect_offset(head, 5 + len(body))
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule(27, "MUST", "PATCH sets the length that was deferred.")
def test_row_27_length_after_the_last_byte(tus: Tus) -> None:
    """An empty PATCH whose length is the offset completes the upload."""
    url = tus.deferred(data=DATA)
    answer = tus.patch(url, 11, b"", LENGTH)
    expect_status(answer, 204)
    expect_field(tus.state(url), "Upload-Length", "11")


@pytest.mark.rule(27, "MUST", "A length once set never changes.")
@pytest.mark.parametrize("length", ["8", "20"])
def test_row_27_length_stays(tus: Tus, length: str) -> None:
    """PATCH with another length does not change the length."""
    url = tus.deferred()
    answer = tus.patch(url, 0, b"hello", LENGTH)
    if answer.status != 204:
        tus.unmet("cannot set the length", answer)
    tus.patch(url, 5, b"wor", ("Upload-Length", length))
    expect_field(tus.state(url), "Upload-Length", "11")


@pytest.mark.rule(28, "MUST", "HEAD tells Upload-Defer-Length: 1 while the length is unknown.")
@pytest.mark.parametrize("size", [0, 5], ids=["new", "running"])
def test_row_28_length_unknown(tus: Tus, size: int) -> None:
    """HEAD tells Upload-Defer-Length: 1 and the offset."""
    head = tus.state(tus.deferred(data=DATA[:size]))
    expect_offset(head, size)
    expect_field(head, "Upload-Defer-Length", "1")


@pytest.mark.rule(28, "MUST", "Upload-Defer-Length is omitted when the length is known.")
def test_row_28_length_known(tus: Tus) -> None:
    """HEAD has no Upload-Defer-Length once a PATCH has set the length, or when POST had it."""
    url = tus.deferred()
    answer = tus.patch(url, 0, b"hello", LENGTH)
    if answer.status != 204:
        tus.unmet("cannot set the length", answer)
    expect_absent(tus.state(url), "Upload-Defer-Length")
    expect_absent(tus.state(tus.upload(11)), "Upload-Defer-Length")


@pytest.mark.needs("creation")
@pytest.mark.rule(29, "MUST", "A server which defers lengths announces creation-defer-length.")
def test_row_29_announced(tus: Tus) -> None:
    """A POST that defers the length means that OPTIONS lists creation-defer-length."""
    if "creation-defer-length" in tus.announced.extensions:
        return
    answer = tus.post(("Upload-Defer-Length", "1"))
    if answer.status == 201 and answer.get("Location"):
        head = tus.head(tus.location(answer))
        deferred = head.get("Upload-Defer-Length") == "1"
        expect(head, not deferred, "creation-defer-length works, but is not announced")
