"""Header values: strict parsers and their formatters.

`int()` is never asked first: it takes '+5', ' 5 ', '5_0' and digits of other alphabets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.utils import formatdate
from typing import Protocol

# Up to 15 digits: below 2**53, and the largest integer of RFC 9651 structured fields.
_INTEGER = re.compile(r"0|[1-9][0-9]{0,14}")
_DIGITS = re.compile(r"[0-9]+")


class Headers(Protocol):
    """A multi-valued, case-insensitive mapping of header fields."""

    def get(self, name: str, /) -> str | None:
        """Return the first value, or None."""

    def getall(self, name: str, default: Sequence[str], /) -> Sequence[str]:
        """Return every field line of that name, in order."""

    def __contains__(self, name: object, /) -> bool:
        """Whether there is a field of that name."""


def the_only(headers: Headers, name: str, error: type[Exception]) -> str | None:
    """Return the one value of `name`, or None when it was not sent.

    Raises:
        error: when the field came more than once, even with equal values.
    """
    values = headers.getall(name, ())
    if len(values) > 1:
        raise error(f"{name} was sent {len(values)} times")
    return values[0] if values else None


def parse_integer(text: str) -> int | None:
    """Return a non-negative integer as tus writes it, or None.

    Plain ASCII digits, no sign, no leading zero, at most 15 of them (tus 1.0, Upload-Offset).
    """
    return int(text) if _INTEGER.fullmatch(text) else None


def is_too_long_integer(text: str) -> bool:
    """Whether `text` is a number, only one beyond every limit."""
    return len(text) > 15 and text[0] != "0" and bool(_DIGITS.fullmatch(text))


def format_http_date(timestamp: float) -> str:
    """Return an IMF-fixdate, rounded up to the second (RFC 9110, 5.6.7)."""
    return formatdate(-(-timestamp // 1), usegmt=True)


def canonical_name(name: str) -> str:
    """Return a header name as Go writes it, and so tusd in hooks: ``upload-length`` capitalised.

    Unlike `str.title` it leaves letters alone that follow a digit.
    """
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
