"""The tree of errors is what its picture says, and every answer is short plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tusd_py.protocol import error_limits, errors
from tusd_py.protocol.errors import (
    BadRequest,
    InternalError,
    MaxSizeExceeded,
    MethodNotAllowed,
    MismatchedOffset,
    QuotaExceeded,
    ServerShutdown,
    StoreUnavailable,
    TooManyCreations,
    TusError,
    UnsupportedVersion,
    UploadExists,
)

ROW = re.compile(r"[├└]── (\w+) +(\d{3})  (ERR_\w+)$", re.MULTILINE)
BETWEEN_ROOMS = (UploadExists,)


def descendants(parent: type[TusError]) -> Iterator[type[TusError]]:
    """Yield every class below, at any depth."""
    for child in parent.__subclasses__():
        yield child
        yield from descendants(child)


MODULES = {errors.__name__, error_limits.__name__}
CLASSES = [c for c in descendants(TusError) if c.__module__ in MODULES]
ANSWERED = [c for c in CLASSES if c not in BETWEEN_ROOMS]


def an_error(kind: type[TusError]) -> TusError:
    """Return an error of that class, with the values that it needs."""
    if kind is MismatchedOffset:
        return MismatchedOffset(offset=3)
    if kind is MaxSizeExceeded:
        return MaxSizeExceeded(5)
    if kind is QuotaExceeded:
        return QuotaExceeded(left=5)
    if kind is TooManyCreations:
        return TooManyCreations(5)
    return kind()


def test_the_picture_shows_every_class_with_its_code_and_status() -> None:
    """The docstring of the module lists exactly the classes there are, as they are."""
    drawn = ROW.findall(errors.__doc__ or "")
    assert sorted(drawn) == sorted((c.__name__, str(c.status), c.code) for c in ANSWERED)


def test_what_stays_between_our_rooms_is_drawn_apart() -> None:
    """The errors that no client sees share the last line of the picture."""
    line = ", ".join(c.__name__ for c in BETWEEN_ROOMS)
    assert f"└── {line:<30} 500  between our own rooms" in (errors.__doc__ or "")
    assert {(c.code, c.status) for c in BETWEEN_ROOMS} == {(TusError.code, TusError.status)}


def test_a_code_is_a_class() -> None:
    """No two classes share a code, but for the one that stands for all inner faults."""
    codes = [c.code for c in ANSWERED]
    assert len(set(codes)) == len(codes)
    assert InternalError.code == TusError.code


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_a_short_line_of_plain_text(kind: type[TusError]) -> None:
    """The answer is the code, a sentence and a newline; its headers are those of HTTP."""
    error = an_error(kind)
    assert re.fullmatch(r"ERR_[A-Z_]+: [ -~]{10,110}\n", error.text)
    assert error.text == f"{kind.code}: {error}\n"
    assert all(re.fullmatch(r"[A-Z][A-Za-z-]+", name) for name in error.headers)
    assert 400 <= kind.status < 600


@pytest.mark.parametrize("kind", ANSWERED, ids=lambda c: c.__name__)
def test_only_409_and_423_invite_a_retry_among_the_4xx(kind: type[TusError]) -> None:
    """Whatever invites a retry says so with 409, 423 or 5xx, as tus clients expect."""
    said = kind.sentence.fget(an_error(kind)) if isinstance(kind.sentence, property) else ""
    if "try again" in said:
        assert kind.status in (409, 423) or kind.status >= 500


def test_a_sentence_can_be_more_precise() -> None:
    """The sentence given takes the place of the general one; code and status stay."""
    error = BadRequest("the Host header is not a host")
    assert error.text == "ERR_BAD_REQUEST: the Host header is not a host\n"
    assert BadRequest().text == "ERR_BAD_REQUEST: The request is malformed.\n"


def test_a_class_without_a_docstring_still_has_a_sentence() -> None:
    """An application's own error without a docstring answers with its code."""

    class Quiet(TusError):
        code, status = "ERR_QUIET", 418

    assert Quiet().text == "ERR_QUIET: ERR_QUIET\n"


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (BadRequest(), {}),
        (MethodNotAllowed("POST", "OPTIONS"), {"Allow": "POST, OPTIONS"}),
        (UnsupportedVersion("1.0.0", "0.2.2"), {"Tus-Version": "1.0.0,0.2.2"}),
        (MaxSizeExceeded(5), {"Tus-Max-Size": "5"}),
        (MismatchedOffset(offset=3), {"Upload-Offset": "3"}),
        (ServerShutdown(), {"Retry-After": "1"}),
        (StoreUnavailable(), {"Retry-After": "1"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_some_errors_carry_headers(error: TusError, headers: dict[str, str]) -> None:
    """What the protocol or HTTP wants beside a status is in the headers of the error."""
    assert error.headers == headers


def test_values_are_kept_and_told() -> None:
    """Errors made of values keep them, and put them into their sentence."""
    mismatch, too_big = MismatchedOffset(offset=3), MaxSizeExceeded(5)
    assert (mismatch.offset, str(mismatch)) == (3, "the upload continues at offset 3")
    assert (too_big.max_size, str(too_big)) == (5, "the upload may have at most 5 bytes")
    assert MethodNotAllowed("GET").allowed == ("GET",)
    assert UnsupportedVersion("1.0.0").versions == ("1.0.0",)
