"""Upload-Concat: 'partial', or 'final;' and the URLs of uploads on this very server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.concat import Place, parse_concat
from tusd_py.protocol.errors import InvalidConcat, UploadNotFound
from tusd_py.protocol.model import Final, Partial, UploadId, parse_upload_id

HERE = Place(origin="https://example.org", base_path="/files/")
A, B = UploadId("a" * 32), UploadId("b" * 32)


def parts_of(header: str, place: Place = HERE) -> tuple[str, ...]:
    """Return the ids that a final upload is to be made of."""
    kind = parse_concat(header, place, 1000)
    assert isinstance(kind, Final)
    assert kind.header == header
    return kind.parts


def test_urls_are_absolute() -> None:
    """The URL of an upload has scheme, authority and path."""
    assert HERE.url_of(A) == f"https://example.org/files/{A}"


def test_partial_is_a_part() -> None:
    """The word alone makes a partial upload."""
    assert parse_concat("partial", HERE, 2) == Partial()


SAME_SERVER = [
    # realistic
    "https://example.org/files/",  # tus-js-client
    "/files/",  # aiotus
    "",  # relative to the creation URL
    "http://example.org/files/",  # a proxy took the TLS off
    # synthetic
    "https://example.org:443/files/",
    "http://example.org:80/files/",
    "https://EXAMPLE.org/files/",
]


@pytest.mark.parametrize("prefix", SAME_SERVER)
def test_parts_may_be_named_in_any_form(prefix: str) -> None:
    """Absolute URLs, absolute paths and relative references name the same parts, in order."""
    assert parts_of(f"final;{prefix}{A} {prefix}{B} {prefix}{A}") == (A, B, A)


@pytest.mark.parametrize(
    ("origin", "reference"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/files/x"),
        ("http://[::1]:8080", "http://[::1]:8080/files/x"),
        ("https://example.org", "https://example.org/files/with/folders/x"),
        ("", "/files/x"),  # HTTP/1.0 without Host
    ],
)
def test_ports_brackets_and_folders_are_compared(origin: str, reference: str) -> None:
    """The authority is compared with its port; ids given by hooks may have folders."""
    place = Place(origin=origin, base_path="/files/")
    assert parts_of(f"final;{reference}", place)[0] == reference.partition("/files/")[2]


def test_uploads_at_the_root_have_bare_paths() -> None:
    """A server without a base path takes every path for an id."""
    assert parts_of(f"final;/{A}", Place(origin="http://x", base_path="/")) == (A,)


REFUSED = [
    # realistic
    "",
    "final",
    "final;",
    "final; ",
    "Partial",
    "partial;x",
    f"final:/files/{A}",
    f"final;https://other.example.org/files/{A}",
    f"final;/files/{A}  /files/{B}",
    f"final; /files/{A}",
    f"final;/files/{A} ",
    # synthetic
    f"final;https://example.org:8443/files/{A}",
    f"final;//evil/files/{A}",
    f"final;ftp://example.org/files/{A}",
    f"final;/files/{A}?x=1",
    f"final;/files/{A}?",
    f"final;/files/{A}#x",
    f"final;?/files/{A}",
    f"final;/files/./{A}",
    "final;../../etc/passwd",
    "final;/files/../../etc/passwd",
    "final;/files/%2e%2e/etc/passwd",
    f"final;/files/%61{A[1:]}",
    "final;..\\x",
    f"final;https://example.org@evil/files/{A}",
    f"final;https://user@example.org/files/{A}",
    f"final;https://example.org.evil/files/{A}",
    # pathological
    "final;javascript:alert(1)",
    "final;file:///etc/passwd",
    "final;http://[::1/files/x",
    "final;http://[x]/files/x",
    f"final;/files/{A[:9]}\t{A[9:]}",  # urlsplit would drop the tab
    f"final;\x01/files/{A}",
    f"final;/files/{A}\0",
    "final;/files/\u202e",
    "final;\udcff",
]


@pytest.mark.parametrize("header", REFUSED)
def test_other_forms_and_other_servers_are_refused(header: str) -> None:
    """Another form, an unclean path or another server is a malformed request."""
    with pytest.raises(InvalidConcat):
        parse_concat(header, HERE, 1000)


@pytest.mark.parametrize(
    "reference",
    [
        # realistic
        "/other/x",
        "/files",
        "/files/",
        # synthetic
        "/etc/passwd",
        "/files/.hidden",
        "/files/x.info",
        "/files//x",
        "/files/x/",
        "x" * 201,
        # pathological
        "/files/-/x/.tusd_py",
        "https://example.org",
        "https://example.org/",
    ],
)
def test_what_cannot_be_an_upload_looks_missing(reference: str) -> None:
    """A clean path that names no upload of ours is answered like one that is gone."""
    with pytest.raises(UploadNotFound):
        parse_concat(f"final;{reference}", HERE, 1000)


def test_the_number_of_parts_is_bounded() -> None:
    """As many parts as allowed are taken, and not one more."""
    three = f"final;{A} {A} {A}"
    assert len(parts_of(three)) == 3
    assert isinstance(parse_concat(three, HERE, 3), Final)
    with pytest.raises(InvalidConcat, match="at most 2 parts"):
        parse_concat(three, HERE, 2)


IDS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)


@given(st.lists(IDS, min_size=1, max_size=20))
def test_urls_of_uploads_are_parsed_back(ids: list[str]) -> None:
    """The URLs that this server gives out name the uploads it gave them out for."""
    urls = " ".join(HERE.url_of(UploadId(upload_id)) for upload_id in ids)
    assert list(parts_of(f"final;{urls}")) == ids


@given(st.text() | st.text().map("final;".__add__) | st.text().map("final;/files/".__add__))
def test_any_text_is_a_kind_or_refused(header: str) -> None:
    """Nothing but these two errors is ever raised, and every part is a valid id."""
    try:
        kind = parse_concat(header, HERE, 1000)
    except (InvalidConcat, UploadNotFound):
        return
    assert isinstance(kind, Partial) or all(parse_upload_id(part) for part in kind.parts)
