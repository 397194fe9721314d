"""What files look like, and whether that fits what is said of them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import contents
from tusd_py.checks.sniffing import sniff
from tusd_py.protocol.filetypes import ISO_MEDIA, is_one_of, is_plausible


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (contents.EXE, "application/x-msdownload"),
        (contents.PNG, "image/png"),
        (contents.JPEG, "image/jpeg"),
        (contents.MP4, "video/mp4"),
        (contents.SONY, "video/mp4"),
        (contents.OLD_MOV, ISO_MEDIA),
        (contents.WEBM, "video/webm"),
        (contents.PDF, "application/pdf"),
        (contents.SCRIPT, None),
        (contents.TEXT, None),
        (b"BMW makes cars\n", None),
        (b"MZ is how some names begin\n", None),
        (b"", None),
    ],
)
def test_first_bytes(content: bytes, found: str | None) -> None:
    """Known beginnings are recognised, and text that only looks like one is not."""
    assert sniff(content) == found


@given(st.binary(max_size=9000))
def test_no_bytes_are_a_fault_of_ours(content: bytes) -> None:
    """Whatever a client sends, there is an answer."""
    assert sniff(content) is None or "/" in (sniff(content) or "")


HONEST = [
    ("image/png", contents.PNG),
    ("image/jpg", contents.JPEG),
    ("image/gif", contents.GIF),
    ("image/webp", contents.WEBP),
    ("image/heif", contents.HEIC),
    ("video/mp4", contents.MP4),
    ("video/mp4", contents.SONY),
    ("video/quicktime", contents.OLD_MOV),
    ("audio/mp4", contents.MP4),
    ("audio/webm", contents.WEBM),
    ("video/x-matroska", contents.WEBM),
    ("video/ogg", contents.OGG),
    ("audio/wave", contents.WAV),
    ("audio/mp3", contents.MP3),
    ("audio/mpeg", os.urandom(64)),
    ("application/pdf", contents.PDF),
    ("application/zip", contents.docx()),
    ("application/epub+zip", contents.ZIP),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", contents.docx()),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", contents.ZIP),
    ("application/x-gzip", contents.GZIP),
    ("text/plain", contents.TEXT),
    ("text/csv", b"a,b\n1,2\n"),
    ("application/json", b'{"a": 1}'),
    ("image/svg+xml", b"<svg/>"),
    ("model/stl", b"solid x"),
    ("application/octet-stream", contents.EXE),
]


@pytest.mark.parametrize(("declared", "content"), HONEST, ids=[name for name, _ in HONEST])
def test_honest_files(declared: str, content: bytes) -> None:
    """Whatever name its type goes by, a file that is what it says is taken."""
    assert is_plausible(sniff(content), declared)


LIES = [
    ("video/mp4", contents.EXE),
    ("video/mp4", contents.SCRIPT),
    ("video/mp4", contents.PNG),
    ("video/mp4", contents.WEBM),
    ("image/png", contents.HTML),
    ("image/png", contents.JPEG),
    ("image/png", contents.MP4),
    ("image/gif", contents.ZIP),
    ("application/pdf", contents.docx()),
    ("application/pdf", contents.TEXT),
    ("text/plain", contents.EXE),
    ("audio/mpeg", contents.EXE),
    ("application/zip", contents.EXE),
]


@pytest.mark.parametrize(("declared", "content"), LIES)
def test_lies(declared: str, content: bytes) -> None:
    """What begins like something else is not taken for what it says."""
    assert not is_plausible(sniff(content), declared)


@pytest.mark.parametrize(
    ("media_type", "globs", "matches"),
    [
        ("video/mp4", ["video/*"], True),
        ("video/mp4", ["image/*", "VIDEO/MP4"], True),
        ("video/mp4", ["video/mp"], False),
        ("video/mp4", ["video/mp4a", "ideo/*", "*/mp3"], False),
        ("video/mp4", ["*/*"], True),
        ("video/mp4", ["*"], True),
        ("video/mp4", ["video.mp4", "video/[a-z0-9]+"], False),
        ("video/mp4", [], False),
    ],
)
def test_globs(media_type: str, globs: list[str], matches: bool) -> None:  # noqa: FBT001
    """A star stands for anything, everything else for itself, and all of it has to match."""
    assert is_one_of(media_type, globs) is matches
