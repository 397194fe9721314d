"""Upload-Metadata: kept as it came, strict in what it is."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.errors import InvalidMetadata
from tusd_py.protocol.metadata import (
    MAX_HEADER_BYTES,
    MAX_KEYS,
    NO_METADATA,
    Metadata,
    format_metadata,
    parse_metadata,
)

ACCEPTED: list[tuple[str, dict[str, bytes]]] = [
    # realistic
    ("filename d29ybGQ=", {"filename": b"world"}),
    (
        "name YS50eHQ=,type dGV4dC9wbGFpbg==",
        {"name": b"a.txt", "type": b"text/plain"},
    ),
    ("", {}),  # tuspy without metadata
    ("is_confidential", {"is_confidential": b""}),  # aiotus
    ("a ,z MQ==,e", {"a": b"", "z": b"1", "e": b""}),  # tus-js-client
    ("a MQ==, b Mg==", {"a": b"1", "b": b"2"}),  # behind a proxy that joins fields
    # synthetic
    ("  ", {}),
    ("a AP+A", {"a": b"\x00\xff\x80"}),
    ("!#$%&'*+-.^_`|~/:;?@[]{}()\"\\ MQ==", {"!#$%&'*+-.^_`|~/:;?@[]{}()\"\\": b"1"}),
    ("A MQ==,a Mg==", {"A": b"1", "a": b"2"}),
    (",".join(f"k{n}" for n in range(MAX_KEYS)), {f"k{n}": b"" for n in range(MAX_KEYS)}),
    # pathological
    ("filename " + base64.b64encode(b"\r\nX: 1\0").decode(), {"filename": b"\r\nX: 1\0"}),
    ("k " + "A" * 8188, {"k": b"\0" * 6141}),
]

REFUSED = [
    # realistic
    "filename world.txt",
    "filename d29ybGQ",  # the padding is missing
    "filename d29ybGQ=,filename d29ybGQ=",
    "a MQ==,",
    # synthetic
    ",",
    ",,",
    "a,a",
    ",a MQ==",
    "a  MQ==",
    "a MQ== x",
    "a MQ== ",
    "a\tMQ==",
    "a=b MQ==",
    "clé MQ==",
    "a -_-_",  # the alphabet of URLs
    "a YQ==YQ==",
    "a YR==",  # decodes to what YQ== decodes to
    "a =",
    "a MQ=",
    "a M Q==",
    ",".join(f"k{n}" for n in range(MAX_KEYS + 1)),
    # pathological
    "a\0 MQ==",
    "a MQ==\n",
    "a \u0661\u0661==",
    "\u202ea MQ==",
    "a \udcff\udcfe",  # bytes beyond ASCII as the HTTP parser hands them on
    "\udcff MQ==",
    "k " + "A" * (MAX_HEADER_BYTES - 1),
]


@pytest.mark.parametrize(("header", "pairs"), ACCEPTED)
def test_accepted_headers_are_kept_as_they_came(header: str, pairs: dict[str, bytes]) -> None:
    """Values are decoded to bytes, and the header stays as the client wrote it."""
    metadata = parse_metadata(header)
    assert metadata.pairs == pairs
    assert metadata.header == header


@pytest.mark.parametrize("header", REFUSED)
def test_refused_headers_raise_one_error(header: str) -> None:
    """What is not the grammar of the protocol is refused, and not repeated in the answer."""
    with pytest.raises(InvalidMetadata) as refused:
        parse_metadata(header)
    assert len(refused.value.text) < 120
    assert refused.value.text.isascii()


def test_no_header_is_no_metadata() -> None:
    """Without the header there is nothing to repeat on HEAD."""
    assert parse_metadata(None) == NO_METADATA
    assert parse_metadata(None).header is None
    assert parse_metadata("").header == ""


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("name c8WCIG/FhGNl", "s\u0142 o\u0144ce"),  # realistic
        ("name", ""),
        ("other MQ==", None),  # synthetic
        ("name /w==", None),  # pathological: not UTF-8
        ("name 7aCA", None),  # pathological: a lone surrogate
    ],
)
def test_text_is_utf_8_or_nothing(header: str, text: str | None) -> None:
    """A value is text only if it is UTF-8."""
    assert parse_metadata(header).text("name") == text


@given(st.text())
def test_any_text_is_metadata_or_refused(header: str) -> None:
    """Nothing but InvalidMetadata is ever raised."""
    try:
        metadata = parse_metadata(header)
    except InvalidMetadata:
        return
    assert parse_metadata(format_metadata(metadata.pairs).header).pairs == metadata.pairs


KEYS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",="),
    min_size=1,
    max_size=20,
)


@given(st.dictionaries(KEYS, st.binary(max_size=50), max_size=20))
def test_what_is_formatted_is_parsed_back(pairs: dict[str, bytes]) -> None:
    """Formatting and parsing are inverse, in the same order."""
    metadata = format_metadata(pairs)
    assert list(metadata.pairs.items()) == list(pairs.items())
    assert (metadata == NO_METADATA) is (not pairs)


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=3))
def test_keys_that_cannot_be_written_are_refused(pairs: dict[str, bytes]) -> None:
    """A key is written as it is or refused: never shortened, split or dropped."""
    try:
        metadata = format_metadata(pairs)
    except InvalidMetadata:
        return
    assert metadata.pairs == pairs


@pytest.mark.parametrize("key", ["", " ", "a ", "a\n", "a b", "a,b", "a MQ==", "a=b", "cl\u00e9"])
def test_a_key_is_never_mistaken_for_syntax(key: str) -> None:
    """Blanks, commas and values within a key cannot make other pairs of it."""
    with pytest.raises(InvalidMetadata):
        format_metadata({key: b""})


def test_a_record_of_metadata_is_a_value() -> None:
    """Metadata compares by its header and decodes only when it is asked."""
    assert Metadata("a MQ==") == Metadata("a MQ==")
    assert Metadata("a MQ==") != Metadata("a Mg==")
    with pytest.raises(InvalidMetadata):
        _ = Metadata("broken from disk").pairs
