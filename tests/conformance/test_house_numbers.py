"""What tusd_py takes for a number (row H1): one header, no signs, no leading zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import expect_field, expect_offset, expect_status

if TYPE_CHECKING:
    from .tus import Tus

# realistic slips, synthetic variants, and what int() of Python would take for 5
BAD = [
    "",
    "-1",
    "-0",
    "+5",
    "05",
    "5_0",
    "0x5",
    "5.0",
    "5e3",
    "nan",
    "5 5",
    "5,5",
    "5, 5",
    "\u0665",
    "\uff15",
    "5\u00a0",
    "\u00b2",
]
HUGE = [10**15, 2**53, 2**63 - 1, 2**63, 10**30]
SENTENCE = "Numbers are one header each: 0, or up to 15 digits that do not begin with 0."


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("value", BAD, ids=ascii)
def test_house_01_length(tus: Tus, value: str) -> None:
    """POST with a malformed Upload-Length answers 400."""
    expect_status(tus.create(0, ("Upload-Length", value)), 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("value", HUGE)
def test_house_01_huge_length(tus: Tus, value: int) -> None:
    """POST with an Upload-Length of more than 15 digits answers 400 or 413."""
    expect_status(tus.create(value), 400, 413)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
def test_house_01_length_of_5000_digits(tus: Tus) -> None:
    """POST with an Upload-Length of 5000 digits answers 400 or 413."""
    expect_status(tus.create(0, ("Upload-Length", "1" * 5000)), 400, 413)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("second", ["5", "6"], ids=["equal", "different"])
def test_house_01_two_lengths(tus: Tus, second: str) -> None:
    """POST with two Upload-Length headers answers 400."""
    answer = tus.create(5, ("Upload-Length", "5"), ("Upload-Length", second))
    expect_status(answer, 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
def test_house_01_no_length(tus: Tus) -> None:
    """POST with neither Upload-Length nor Upload-Defer-Length answers 400."""
    expect_status(tus.post(), 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
def test_house_01_length_and_deferred(tus: Tus) -> None:
    """POST with both Upload-Length and Upload-Defer-Length answers 400."""
    expect_status(tus.create(5, ("Upload-Defer-Length", "1")), 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("value", ["", "0", "2", "01", "+1", "1.0", "true", "1, 1"])
def test_house_01_defer_length(tus: Tus, value: str) -> None:
    """POST with a malformed Upload-Defer-Length answers 400."""
    expect_status(tus.post(("Upload-Defer-Length", value)), 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
def test_house_01_two_defer_lengths(tus: Tus) -> None:
    """POST with two Upload-Defer-Length headers answers 400."""
    expect_status(tus.post(("Upload-Defer-Length", "1"), ("Upload-Defer-Length", "1")), 400)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("value", [*BAD, None], ids=ascii)
def test_house_01_offset(tus: Tus, value: str | None) -> None:
    """PATCH with a malformed or no Upload-Offset answers 400 and changes nothing."""
    url = tus.upload(11, data=b"hello")
    expect_status(tus.patch(url, 5, b"x", ("Upload-Offset", value)), 400)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("second", ["5", "6"], ids=["equal", "different"])
def test_house_01_two_offsets(tus: Tus, second: str) -> None:
    """PATCH with two Upload-Offset headers answers 400 and changes nothing."""
    url = tus.upload(11, data=b"hello")
    answer = tus.patch(url, 5, b"x", ("Upload-Offset", "5"), ("Upload-Offset", second))
    expect_status(answer, 400)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule("H1", "HOUSE", SENTENCE)
@pytest.mark.parametrize("value", BAD, ids=ascii)
def test_house_01_deferred_length(tus: Tus, value: str) -> None:
    """PATCH that sets a malformed Upload-Length answers 400 and changes nothing."""
    url = tus.deferred(data=b"hello")
    expect_status(tus.patch(url, 5, b"x", ("Upload-Length", value)), 400)
    head = tus.state(url)
    expect_offset(head, 5)
    expect_field(head, "Upload-Defer-Length", "1")


@pytest.mark.rule("H1", "HOUSE", "A deferred length is not set below the offset.")
def test_house_01_deferred_length_below_offset(tus: Tus) -> None:
    """PATCH that sets a length below the offset answers 400 and changes nothing."""
    url = tus.deferred(data=b"hello")
    expect_status(tus.patch(url, 5, b"", ("Upload-Length", "4")), 400)
    expect_field(tus.state(url), "Upload-Defer-Length", "1")
