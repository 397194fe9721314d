"""The scanner of trailers: follows the framing of a chunked body, or says that it was lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.raw_http import chunked
from tusd_py.web.trailers import MAX_TRAILER_BYTES, TrailerScanner

SUM = [("Upload-Checksum", "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")]
FOUND = {"upload-checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}

FOLLOWED: dict[str, tuple[bytes, dict[str, str]]] = {
    # realistic
    "one chunk": (chunked(b"hello world", trailers=SUM), FOUND),
    "many chunks": (chunked(*[b"x"] * 9, trailers=SUM), FOUND),
    "no trailer": (chunked(b"hello"), {}),
    "no chunk": (chunked(trailers=SUM), FOUND),
    # synthetic
    "two fields": (chunked(b"x", trailers=[*SUM, ("X", "1")]), FOUND | {"x": "1"}),
    "upper case size": (b"A\r\n0123456789\r\n0\r\n\r\n", {}),
    "leading zeros": (b"00a\r\n0123456789\r\n000\r\nX: 1\r\n\r\n", {"x": "1"}),
    "extension": (b'1;a=b;c="d"\r\nx\r\n0;e\r\nX: 1\r\n\r\n', {"x": "1"}),
    "blanks around": (b"1 \r\nx\r\n0\r\nX:\t 1 2 \t\r\n\r\n", {"x": "1 2"}),
    "empty value": (b"0\r\nX:\r\n\r\n", {"x": ""}),
    "data like a trailer": (chunked(b"0\r\nX: 1\r\n\r\n", trailers=SUM), FOUND),
    "data like a chunk": (chunked(b"\r\n5\r\n", b"\r\n\r\n", trailers=SUM), FOUND),
    "a request behind": (chunked(b"x", trailers=SUM) + b"PATCH / HTTP/1.1\r\nX: 2\r\n\r\n", FOUND),
}

LOST = {
    # realistic
    "cut within a chunk": b"5\r\nhel",
    "cut before the last chunk": b"5\r\nhello\r\n",
    "cut before the blank line": b"0\r\nX: 1\r\n",
    # synthetic
    "no size": b"\r\n",
    "negative": b"-1\r\nx\r\n0\r\n\r\n",
    "no number": b"nonsense\r\n0\r\n\r\n",
    "prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "16 digits": b"f" * 16 + b"\r\nx",
    "no field": b"0\r\nnonsense\r\n\r\n",
    "blank in the name": b"0\r\nX Y: 1\r\n\r\n",
    "blank before the colon": b"0\r\nX : 1\r\n\r\n",
    "no name": b"0\r\n: 1\r\n\r\n",
    "folded": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "control": b"0\r\nX: 1\x01\r\n\r\n",
    "not ASCII": b"0\r\nX: \xff\r\n\r\n",
    # pathological
    "twice": chunked(b"x", trailers=SUM * 2),
    "endless size": b"0" * (MAX_TRAILER_BYTES + 1),
    "endless extension": b"0;" + b"a" * MAX_TRAILER_BYTES + b"\r\n\r\n",
    "endless field": b"0\r\nX: " + b"1" * MAX_TRAILER_BYTES + b"\r\n\r\n",
    "many fields": b"0\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(2000)) + b"\r\n",
}


@pytest.mark.parametrize(("stream", "fields"), FOLLOWED.values(), ids=FOLLOWED)
def test_a_trailer_is_found_however_it_is_cut(stream: bytes, fields: dict[str, str]) -> None:
    """The fields are the same whether they come at once, byte by byte, or cut anywhere."""
    cuts = [[stream], [bytes([byte]) for byte in stream]]
    cuts += [[stream[:at], stream[at:]] for at in range(len(stream))]
    for pieces in cuts:
        scanner = TrailerScanner()
        for piece in pieces:
            scanner.feed(piece)
        assert scanner.fields == fields


@pytest.mark.parametrize("stream", LOST.values(), ids=LOST)
def test_a_trailer_that_cannot_be_followed_is_none(stream: bytes) -> None:
    """Broken or endless framing yields no fields at all, also when more comes after it."""
    scanner = TrailerScanner()
    scanner.feed(stream)
    assert scanner.fields is None
    if "cut" not in stream.decode("latin-1"):
        scanner.feed(b"")
    assert scanner.fields is None


def test_nothing_is_known_before_the_end() -> None:
    """Fields are told when the blank line behind them has come, and not before."""
    scanner = TrailerScanner()
    scanner.feed(chunked(b"hello", trailers=SUM)[:-1])
    assert scanner.fields is None
    scanner.feed(b"\n")
    assert scanner.fields == FOUND


NAMES = st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True)
VALUES = st.from_regex(r"([!-~]([ -~]*[!-~])?)?", fullmatch=True)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.dictionaries(NAMES.map(str.lower), VALUES, max_size=4),
    st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=20),
)
def test_whatever_is_formatted_is_found(
    chunks: list[bytes], fields: dict[str, str], sizes: list[int]
) -> None:
    """Any chunks with any trailer, in segments of any size, yield that trailer."""
    stream = chunked(*chunks, trailers=fields.items())
    scanner = TrailerScanner()
    while stream:
        size = sizes[len(stream) % len(sizes)]
        scanner.feed(stream[:size])
        stream = stream[size:]
    assert scanner.fields == fields


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_followed_or_lost(pieces: list[bytes]) -> None:
    """Whatever comes, the scanner raises nothing and names only well-formed fields."""
    scanner = TrailerScanner()
    for piece in pieces:
        scanner.feed(piece)
    assert all(name == name.lower() and name.isascii() for name in scanner.fields or {})
