"""The extension termination (rows 48 and 49)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_field, expect_offset, expect_status
from .tus import VERSION

if TYPE_CHECKING:
    from .tus import Tus

pytestmark = pytest.mark.needs("creation", "termination")

DATA = b"hello world"


@pytest.mark.needs("creation")
@pytest.mark.rule(48, "MUST", "A server which terminates uploads announces termination.")
def test_row_48_announced(tus: Tus) -> None:
    """A DELETE that removes an upload means that OPTIONS lists termination."""
    if "termination" in tus.announced.extensions:
        return
    url = tus.upload(11)
    if tus.delete(url).status == 204:
        head = tus.head(url)
        gone = head.status in {404, 410}
        expect(head, not gone, "termination works, but is not announced")


@pytest.mark.rule(48, "MUST", "DELETE on an existing upload is answered 204.")
@pytest.mark.parametrize("size", [0, 5, 11], ids=["new", "running", "complete"])
def test_row_48_delete(tus: Tus, size: int) -> None:
    """DELETE on an upload, finished or not, answers 204."""
    answer = tus.delete(tus.upload(11, data=DATA[:size]))
    expect_status(answer, 204)
    expect_field(answer, "Tus-Resumable", VERSION)


@pytest.mark.rule(48, "MUST", "DELETE terminates one upload only.")
def test_row_48_other_uploads_stay(tus: Tus) -> None:
    """DELETE leaves other uploads alone."""
    first, second = tus.upload(11, data=b"hello"), tus.upload(11, data=b"hel")
    tus.delete(first)
    expect_offset(tus.state(second), 3)


@pytest.mark.rule(8, "MUST", "X-HTTP-Method-Override takes the place of the method.")
def test_row_08_method_override(tus: Tus) -> None:
    """POST with X-HTTP-Method-Override: DELETE terminates the upload."""
    url = tus.upload(11)
    answer = tus.send("POST", url, ("X-HTTP-Method-Override", "DELETE"), body=b"")
    expect_status(answer, 204)
    expect_status(tus.head(url), 404, 410)


@pytest.mark.rule(49, "SHOULD", "Requests to a terminated upload are answered 404 or 410.")
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("size", [5, 11], ids=["running", "complete"])
def test_row_49_gone(tus: Tus, method: str, size: int) -> None:
    """HEAD, PATCH and DELETE on a terminated upload answer 404 or 410."""
    url = tus.upload(11, data=DATA[:size])
    deleted = tus.delete(url)
    if deleted.status != 204:
        tus.unmet("cannot terminate the upload (row 48)", deleted)
    bytes_left = DATA[size:]
    answer = tus.patch(url, size, bytes_left) if method == "PATCH" else tus.send(method, url)
    expect_status(answer, 404, 410)
