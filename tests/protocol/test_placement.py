"""Names of placed files: whatever clients say, they are names, and say nothing else."""

from __future__ import annotations

import unicodedata
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.protocol.placement import (
    MAX_NAME_BYTES,
    MOST_NUMBERED,
    candidate_names,
    parse_template,
    place_name,
    safe_name,
)

AT = 1_700_000_000.0  # 2023-11-14 in UTC
ID = UploadId("0123456789abcdef0123456789abcdef")
_TEXT = st.text(max_size=300) | st.text(st.sampled_from("./\\ ~_-\u202e\u0301aä\x00\U0001f600"))


def uploaded(
    filename: str | bytes | None = None, owner: str | None = None, upload_id: str = ID
) -> Upload:
    """An upload of that name."""
    if isinstance(filename, str):
        filename = filename.encode(errors="surrogatepass")
    pairs = {} if filename is None else {"filename": filename}
    return Upload(id=UploadId(upload_id), length=0, metadata=format_metadata(pairs), owner=owner)


def name_of(template: str, upload: Upload) -> str:
    """Fill in a template."""
    return place_name(parse_template(template), upload, AT)


def test_every_field() -> None:
    """The example of the documentation, and the others."""
    upload = uploaded("Summer 1.JPG", "ann")
    assert name_of("{owner}/{date}/{id}-{filename}", upload) == (
        f"ann/2023-11-14/{ID}-Summer 1.JPG"
    )
    assert name_of("in box/{year}/{month}/{day}/{id}.{ext}", upload) == (
        f"in box/2023/11/14/{ID}.jpg"
    )


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a/b/", "unnamed"),
        ("..", "unnamed"),
        (".htaccess", "htaccess"),
        ("...x...", "x"),
        (" x ", "x"),
        ("a\r\nb\x00c\x1b[31m", "abc[31m"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\u200bb\u2028c\ufeff", "abc"),
        ('a:b*c?d"e<f>g|h', "a_b_c_d_e_f_g_h"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com¹.x", "_com¹.x"),
        ("console.txt", "console.txt"),
        ("e\u0301.txt", "é.txt"),
        ("{id}", "{id}"),
        ("", "unnamed"),
        (None, "unnamed"),
        (b"\xff\xfe", "unnamed"),
    ],
)
def test_what_clients_call_their_files(told: str | None, name: str) -> None:
    """No folder is left or made, nothing is hidden, and it reads as it is."""
    assert name_of("{filename}", uploaded(told)) == name


@pytest.mark.parametrize(
    ("told", "extension"),
    [("a.tar.gz", "gz"), ("a", ""), (".bashrc", ""), ("a.", ""), ("a.j-s", ""), ("a.PhP5", "php5")],
)
def test_extensions(told: str, extension: str) -> None:
    """Plain letters and digits, or none; then no dot is left over either."""
    assert name_of("x.{ext}", uploaded(told)) == f"x.{extension}".rstrip(".")


def test_long_names_keep_their_extension() -> None:
    """They are cut between characters; the way to make them unique still fits."""
    name = name_of("{filename}", uploaded("ä" * 300 + ".jpeg"))
    assert name == "ä" * 97 + ".jpeg"
    assert max(len(n.encode()) for n in candidate_names(name, uploaded())) <= 255
    long_id = uploaded(upload_id="x" * 200)
    assert max(len(n.encode()) for n in candidate_names(name, long_id)) <= 255
    assert len(name_of("{id}-{filename}", long_id).encode()) <= MAX_NAME_BYTES


def test_owners_never_share_a_folder() -> None:
    """What has to be changed to be a name gets a part that only that owner has."""
    owners = [
        *(None, "", "_", ".", "..", "a/b", "a_b", "a\\b", "ab", "ab ", ".ab", "a\u202eb"),
        *("e\u0301", "é", "x" * 300, "x" * 301, "a~b", "~", "con", "\udcff", "\udcfe"),
    ]
    names = [name_of("{owner}", uploaded(owner=owner)) for owner in owners]
    assert len(set(names)) == len(owners)
    assert (names[0], names[6], names[8]) == ("_", names[6], "ab")
    assert name_of("{owner}", uploaded(owner="anna@example.org")) == "anna@example.org"


def test_candidates() -> None:
    """Numbers before the extension, and at last the id."""
    names = list(candidate_names("a.b.txt", uploaded()))
    assert names[:3] == ["a.b.txt", "a.b-1.txt", "a.b-2.txt"]
    assert names[-1] == f"a.b-{ID}.txt"
    assert len(names) == MOST_NUMBERED + 2
    assert list(islice(candidate_names("Makefile", uploaded()), 2)) == ["Makefile", "Makefile-1"]
    foldered = list(candidate_names("a", uploaded(upload_id="in/box")))
    assert "/" not in foldered[-1]


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "/abs/{id}", "a//b", "../{id}", "{id}/..", ".{id}", "{id}.", " {id}", "{id} /x"),
        *("{nobody}", "{id", "id}", "{}", "{id!r}", "{id.x}", "{Id}", "a\\b", "a\x00", "{{id}}"),
    ],
)
def test_templates_that_are_refused(text: str) -> None:
    """Whoever configures it is told."""
    with pytest.raises(ValueError, match=r"must|has no"):
        parse_template(text)


@given(_TEXT, _TEXT, st.sampled_from(["{owner}/{filename}", "{owner}-{filename}/x{ext}"]))
def test_every_name_is_safe(filename: str, owner: str, template: str) -> None:
    """Two segments, whatever is said; each a plain name that any file system takes."""
    path = name_of(template, uploaded(filename, owner))
    segments = path.split("/")
    assert len(segments) == 2
    for segment in [*segments, *candidate_names(segments[1], uploaded())]:
        assert segment
        assert len(segment.encode()) <= 255
        assert segment[0] != "."
        assert segment[-1] not in ". "
        assert not {unicodedata.category(c) for c in segment} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not set(segment) & set('/\\:*?"<>|')
    assert safe_name(segments[1]) == segments[1]
