"""The upload as a value, and the one gate for ids."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.model import (
    LARGEST_SIZE,
    MAX_ID_LENGTH,
    TERMINATION,
    Capabilities,
    Final,
    Limits,
    Upload,
    UploadId,
    Whole,
    parse_storage_path,
    parse_upload_id,
)

IDS = [
    # realistic
    "24e533e02ec3bc40c387f1a0e460e216",
    "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
    "24e533e02ec3bc40c387f1a0e460e216+2~abc",  # tusd's S3 store
    "photos/2026/cat",  # a hook of tusd's may give folders
    "cat.jpg",
    # synthetic
    "a",
    "_",
    "~",
    "-",
    "a..b",
    "a@b=c+d",
    "x" * MAX_ID_LENGTH,
    "a/" * 99 + "a",
    "info",
    "x.info.x",
    # pathological
    "CON",
    "-rf",
]

NOT_IDS = [
    # realistic
    "",
    ".",
    "..",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a/",
    "a//b",
    ".htaccess",
    ".tusd_py",
    ".tusd_py/locks",
    "cat photo.jpg",
    # synthetic: the names of other uploads' side files
    "x.info",
    "x.lock",
    "x.stop",
    "x.state",
    "x.tmp",
    "x.part",
    "x.info/y",
    "x" * (MAX_ID_LENGTH + 1),
    # synthetic
    "%2e%2e",
    "a%2fb",
    "a?b",
    "a#b",
    "a:b",
    "a\\b",
    "C:\\x",
    "a;b",
    "a,b",
    "a&b",
    "*",
    # pathological
    "a\n",
    "\na",
    "a\0",
    "a\r\nX: 1",
    "\u202ea",
    "é",
    "\u0661",
    "\udcff",
    "a\xa0",
]


@pytest.mark.parametrize("text", IDS)
def test_ids_pass_as_they_are(text: str) -> None:
    """An id is its text, neither decoded nor changed."""
    assert parse_upload_id(text) == text


@pytest.mark.parametrize("text", NOT_IDS)
def test_what_could_name_another_file_is_no_id(text: str) -> None:
    """Nothing that leaves the directory, hides in it or names a side file is an id."""
    assert parse_upload_id(text) is None


@given(st.text() | st.from_regex(re.compile(r"[a./~%-]+", re.ASCII), fullmatch=True))
def test_an_id_is_always_a_path_below(text: str) -> None:
    """Whatever passes is made of plain segments, none of them empty or hidden."""
    upload_id = parse_upload_id(text)
    if upload_id is not None:
        segments = upload_id.split("/")
        assert all(segment and segment[0] != "." for segment in segments)
        assert upload_id.isascii()
        assert upload_id.isprintable()
        assert len(upload_id) <= MAX_ID_LENGTH


def upload(length: int | None, offset: int = 0, expires_at: float | None = None) -> Upload:
    """Return an upload with that much of it stored."""
    return Upload(id=UploadId("x"), length=length, offset=offset, expires_at=expires_at)


@pytest.mark.parametrize(
    ("length", "offset", "complete", "missing"),
    [
        # realistic
        (10, 0, False, 10),
        (10, 3, False, 7),
        (10, 10, True, 0),
        # synthetic
        (0, 0, True, 0),
        (None, 0, False, None),
        (None, 10, False, None),
        (LARGEST_SIZE, LARGEST_SIZE - 1, False, 1),
    ],
)
def test_an_upload_is_complete_when_nothing_is_missing(
    length: int | None,
    offset: int,
    *,
    complete: bool,
    missing: int | None,
) -> None:
    """Offset and length alone tell whether an upload is complete; an unknown length never does."""
    assert upload(length, offset).complete is complete
    assert upload(length, offset).missing == missing


@pytest.mark.parametrize(
    ("expires_at", "now", "expired"),
    [(None, 1e12, False), (5.0, 4.9, False), (5.0, 5.0, True), (5.0, 5.1, True)],
)
def test_an_upload_expires_at_its_time(
    expires_at: float | None,
    now: float,
    *,
    expired: bool,
) -> None:
    """An upload has expired from its time on; without one it never does."""
    assert upload(10, expires_at=expires_at).expired(now) is expired


def test_values_are_values() -> None:
    """Uploads compare by what they say and cannot be changed."""
    one, other = upload(10), upload(10)
    assert one == other
    assert Whole() == Whole()
    assert Final(parts=(one.id,)) != Final(parts=(one.id,), header="final;/files/x")
    with pytest.raises(FrozenInstanceError):
        one.offset = 3  # type: ignore[misc]


@pytest.mark.parametrize(("max_size", "ceiling"), [(None, LARGEST_SIZE), (0, 0), (1000, 1000)])
def test_there_is_always_a_largest_size(max_size: int | None, ceiling: int) -> None:
    """Without a limit of ours, the largest integer that every store can keep is the limit."""
    assert Limits(max_size=max_size).size_ceiling == ceiling


def test_the_largest_size_is_exact_in_a_double() -> None:
    """JSON and Lua count in doubles; the largest size is one that they can tell from the next."""
    assert float(LARGEST_SIZE) != float(LARGEST_SIZE + 1)
    assert len(str(LARGEST_SIZE)) == 15


def test_capabilities_are_asked_by_name() -> None:
    """An extension is on when it is announced."""
    assert TERMINATION in Capabilities(extensions=(TERMINATION,))
    assert TERMINATION not in Capabilities(extensions=())


@pytest.mark.parametrize("text", ["a", "a/b.mp4", "Jo Doe/caf\u00e9 (1).mov", "x", "a..b"])
def test_places_may_have_any_letters(text: str) -> None:
    """A storage path is more than an id may be: blanks, other letters, several dots."""
    assert parse_storage_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "/a", "a/", "a//b", ".", "..", "a/..", "../a", ".a", "a/.b", "a.info", "a.lock/b"),
        *("a,b", "a\\b", "a\x00", "a\n", "a\x7f", "\ud800", "a" * 201),
    ],
)
def test_places_lead_nowhere_else(text: str) -> None:
    """Neither out of the directory, nor to side files, nor to what cannot be written."""
    assert parse_storage_path(text) is None
