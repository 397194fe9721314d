"""The extension concatenation-unfinished (rows 55 and 59)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_absent, expect_field, expect_offset, expect_status
from .test_concatenation import concat, is_finished

if TYPE_CHECKING:
    from .tus import Tus

pytestmark = pytest.mark.needs("creation", "concatenation", "concatenation-unfinished")

PARTIAL = ("Upload-Concat", "partial")


@pytest.mark.needs("creation", "concatenation")
@pytest.mark.rule(55, "MUST", "A server which takes unfinished parts announces it.")
def test_row_55_announced(tus: Tus) -> None:
    """A final upload of an unfinished part means that OPTIONS lists concatenation-unfinished."""
    if "concatenation-unfinished" in tus.announced.extensions:
        return
    answer = tus.post(concat(tus.upload(5, PARTIAL, data=b"hel")))
    taken = answer.status == 201
    expect(answer, not taken, "an unfinished part is taken, but this is not announced")


@pytest.mark.rule(55, "MUST", "A final upload may be created while its parts are unfinished.")
def test_row_55_created(tus: Tus) -> None:
    """POST with unfinished parts answers 201."""
    expect_status(tus.post(concat(tus.upload(5, PARTIAL), tus.partial(b"hello"))), 201)


@pytest.mark.rule(55, "MUST", "A final upload is finished once its parts are.")
def test_row_55_finished(tus: Tus) -> None:
    """HEAD on a final upload tells its whole length as offset after the last part is done."""
    parts = [tus.upload(5, PARTIAL, data=b"hel"), tus.upload(6, PARTIAL)]
    answer = tus.post(concat(*parts))
    url = tus.location(answer)
    expect_offset(tus.patch(parts[1], 0, b" world"), 6)
    expect_offset(tus.patch(parts[0], 3, b"lo"), 5)
    head = tus.wait_head(url, is_finished)
    expect_offset(head, 11)
    expect_field(head, "Upload-Length", "11")


@pytest.mark.rule(58, "MUST", "PATCH on a final upload is answered 403.")
def test_row_58_patch_unfinished_final(tus: Tus) -> None:
    """PATCH on a final upload whose parts are unfinished answers 403."""
    url = tus.location(tus.post(concat(tus.upload(5, PARTIAL))))
    expect_status(tus.patch(url, 0, b"hello"), 403)


@pytest.mark.rule(59, "SHOULD", "HEAD on an unfinished final upload tells no Upload-Offset.")
def test_row_59_unfinished_has_no_offset(tus: Tus) -> None:
    """HEAD on a final upload whose parts are unfinished has no Upload-Offset."""
    url = tus.location(tus.post(concat(tus.upload(5, PARTIAL, data=b"hel"))))
    head = tus.head(url)
    expect_status(head, 200, 204)
    expect_absent(head, "Upload-Offset")


@pytest.mark.rule(59, "MUST", "HEAD tells Upload-Length where it can be calculated.")
def test_row_59_unfinished_length(tus: Tus) -> None:
    """HEAD on a final upload tells the sum of the lengths of its unfinished parts."""
    url = tus.location(tus.post(concat(tus.upload(5, PARTIAL), tus.upload(6, PARTIAL))))
    expect_field(tus.wait_state(url, lambda _: True), "Upload-Length", "11")
