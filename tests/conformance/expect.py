"""What tests say about answers; a failure shows the heads of the request and the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from .tus import is_number
from .wire import CLIENT_ERROR, SUCCESS

if TYPE_CHECKING:
    from .wire import Response


def fail(message: str, answer: Response) -> NoReturn:
    """End the test with a sentence and the exchange it speaks of."""
    pytest.fail(f"{message}\n{answer.transcript()}", pytrace=False)


def expect(answer: Response, fact: object, message: str) -> None:
    """State a fact about an answer."""
    if not fact:
        fail(message, answer)


def expect_status(answer: Response, *allowed: int) -> None:
    """State which statuses an answer may have."""
    if answer.status not in allowed:
        wanted = " or ".join(str(status) for status in allowed)
        fail(f"status is {answer.status}, not {wanted}", answer)


def expect_success(answer: Response) -> None:
    """State that an answer has a 2xx status."""
    expect(answer, answer.status in SUCCESS, f"status is {answer.status}, not 2xx")


def expect_refused(answer: Response) -> None:
    """State that an answer has a 4xx status."""
    expect(answer, answer.status in CLIENT_ERROR, f"status is {answer.status}, not 4xx")


def expect_field(answer: Response, name: str, value: str) -> None:
    """State the value of a field."""
    got = answer.get(name)
    shown = "missing" if got is None else repr(got)
    expect(answer, got == value, f"{name} is {shown}, not {value!r}")


def expect_present(answer: Response, name: str) -> str:
    """State that an answer has a field, and return its value."""
    value = answer.get(name)
    if value is None:
        fail(f"{name} is missing", answer)
    return value


def expect_absent(answer: Response, name: str) -> None:
    """State that an answer lacks a field."""
    expect(answer, answer.get(name) is None, f"{name} is {answer.get(name)!r}, not absent")


def expect_number(answer: Response, name: str) -> int:
    """State that a field is a non-negative integer, and return it."""
    value = expect_present(answer, name)
    expect(answer, is_number(value), f"{name} is {value!r}, not a non-negative integer")
    return int(value)


def expect_offset(answer: Response, offset: int) -> None:
    """State the offset a successful answer tells."""
    expect_success(answer)
    expect_field(answer, "Upload-Offset", str(offset))
