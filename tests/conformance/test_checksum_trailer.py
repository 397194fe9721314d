"""The extension checksum-trailer (row 47)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_field, expect_offset, expect_status
from .test_checksum import checksum
from .wire import Chunked

if TYPE_CHECKING:
    from .tus import Tus
    from .wire import Response

pytestmark = pytest.mark.needs("creation", "checksum-trailer")

DATA = b"hello world"


def patch_with_trailer(tus: Tus, url: str, checked: bytes) -> Response:
    """Send all the bytes in chunks, with the checksum of some bytes after them."""
    name, value = checksum(checked)
    body = Chunked(chunks=(DATA[:5], DATA[5:]), trailers=((name, value or ""),))
    return tus.patch(url, 0, body, ("Trailer", "Upload-Checksum"))


@pytest.mark.needs("creation")
@pytest.mark.rule(47, "MUST", "A server which verifies trailers announces checksum-trailer.")
def test_row_47_announced(tus: Tus) -> None:
    """An answer 460 to a trailer means that OPTIONS lists checksum-trailer."""
    if "checksum-trailer" in tus.announced.extensions:
        return
    answer = patch_with_trailer(tus, tus.upload(11), b"other")
    expect(answer, answer.status != 460, "checksum-trailer works, but is not announced")


@pytest.mark.rule(47, "MUST", "PATCH with the right checksum in its trailer is stored.")
def test_row_47_match(tus: Tus) -> None:
    """PATCH with the checksum of its bytes after them answers 204."""
    url = tus.upload(11)
    answer = patch_with_trailer(tus, url, DATA)
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", "11")
    expect_offset(tus.state(url), 11)


@pytest.mark.rule(47, "MUST", "PATCH with a wrong checksum in its trailer is discarded.")
def test_row_47_mismatch(tus: Tus) -> None:
    """PATCH with a checksum of other bytes after its own is refused and leaves the offset."""
    url = tus.upload(11)
    answer = patch_with_trailer(tus, url, b"other")
    expect(answer, answer.status >= 400, f"status is {answer.status}, not an error")
    expect_offset(tus.state(url), 0)


@pytest.mark.rule(47, "MAY", "A wrong checksum in a trailer is answered 460.")
def test_row_47_mismatch_status(tus: Tus) -> None:
    """PATCH with a checksum of other bytes after its own answers 460."""
    expect_status(patch_with_trailer(tus, tus.upload(11), b"other"), 460)
