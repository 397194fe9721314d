"""Strict integers, single fields and dates."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tusd_py.protocol.errors import InvalidOffset
from tusd_py.protocol.headers import (
    format_http_date,
    is_too_long_integer,
    parse_integer,
    the_only,
)
from tusd_py.protocol.model import LARGEST_SIZE

NUMBERS = [
    # realistic
    ("0", 0),
    ("1", 1),
    ("1073741824", 1073741824),
    # synthetic
    ("900719925474099", 900719925474099),
    ("999999999999999", LARGEST_SIZE),
    ("9" * 14, 99999999999999),
]

NOT_NUMBERS = [
    # realistic: what careless clients write
    "",
    "-1",
    "null",
    "undefined",
    "NaN",
    "5.0",
    "1e3",
    # synthetic: what int() takes, or other languages
    "+5",
    "-0",
    "05",
    "00",
    "5_0",
    " 5",
    "5 ",
    "5\n",
    "0x5",
    "5, 5",
    "1000000000000000",
    # pathological
    "\u0665",
    "\uff15",
    "\xb2",
    "5\xa0",
    "5\0",
    "9" * 5000,
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_plain_digits_are_a_number(text: str, number: int) -> None:
    """Up to 15 ASCII digits without a sign or a leading zero are a number."""
    assert parse_integer(text) == number


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_everything_else_is_none(text: str) -> None:
    """Nothing that only looks like a number is one."""
    assert parse_integer(text) is None


@given(st.integers(min_value=0, max_value=LARGEST_SIZE))
def test_every_size_survives(number: int) -> None:
    """A size written in decimal is read as itself."""
    assert parse_integer(str(number)) == number


@given(st.text())
def test_any_text_is_a_number_or_none(text: str) -> None:
    """Whatever is read as a number is written the same way again."""
    number = parse_integer(text)
    assert number is None or str(number) == text


@pytest.mark.parametrize(
    ("text", "too_long"),
    [
        # realistic
        ("1000000000000000", True),
        ("9223372036854775807", True),
        # synthetic
        ("999999999999999", False),
        ("0000000000000001", False),
        ("-9223372036854775808", False),
        ("", False),
        # pathological
        ("9" * 5000, True),
        ("1" * 15 + "\u0665", False),
        ("1" * 16 + "\n", False),
    ],
)
def test_too_long_integers_are_told_from_nonsense(text: str, *, too_long: bool) -> None:
    """A number beyond every limit is known as one without being converted."""
    assert is_too_long_integer(text) is too_long


def test_a_field_that_was_not_sent_is_none() -> None:
    """A missing field is None, which is not the empty string."""
    headers = CIMultiDict({"Upload-Length": ""})
    assert the_only(headers, "Upload-Offset", InvalidOffset) is None
    assert the_only(headers, "upload-length", InvalidOffset) == ""


@pytest.mark.parametrize("second", ["5", "6", ""])
def test_a_field_sent_twice_is_refused(second: str) -> None:
    """Two fields of one name are refused even when they agree, with the error asked for."""
    headers = CIMultiDict([("Upload-Offset", "5"), ("upload-offset", second)])
    with pytest.raises(InvalidOffset, match="Upload-Offset was sent 2 times"):
        the_only(headers, "Upload-Offset", InvalidOffset)


@pytest.mark.parametrize(
    ("timestamp", "date"),
    [
        # realistic
        (784111777.0, "Sun, 06 Nov 1994 08:49:37 GMT"),  # the example of RFC 9110
        (1735689600.0, "Wed, 01 Jan 2025 00:00:00 GMT"),
        # synthetic: never earlier than it is
        (784111777.25, "Sun, 06 Nov 1994 08:49:38 GMT"),
        (784111777.999, "Sun, 06 Nov 1994 08:49:38 GMT"),
        (0.0, "Thu, 01 Jan 1970 00:00:00 GMT"),
    ],
)
def test_dates_are_imf_fixdates_rounded_up(timestamp: float, date: str) -> None:
    """A date is in GMT, in the one form that senders must use, and never too early."""
    assert format_http_date(timestamp) == date


@given(st.floats(min_value=0, max_value=4e9))
def test_a_date_is_read_back_within_a_second(timestamp: float) -> None:
    """A formatted date is the time itself or at most a second after it."""
    read_back = parsedate_to_datetime(format_http_date(timestamp)).timestamp()
    assert 0 <= read_back - timestamp <= 1
