"""Tokens in a file."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tusd_py.access.tokens import FileTokens, parse_tokens
from tusd_py.access.watched import WatchedFile
from tusd_py.interfaces import Grant, Operation
from tusd_py.protocol.quota import Quota

from .making import Clock

LONG = "a-token-that-is-long"
OTHER = "another-long-token=="
HASH = hashlib.sha256(OTHER.encode()).hexdigest()
TWO = f"""
[[token]]
owner = "anna"
token = "{LONG}"

[[token]]
owner = "berta"
sha256 = "{HASH}"
max_size = "2 MiB"
types = ["video/*", "image/png"]
"""


async def test_each_token_has_its_owner(tmp_path: Path) -> None:
    """In the clear or hashed, with limits or without."""
    path = tmp_path / "tokens.toml"
    path.write_text(TWO)
    tokens = FileTokens(path)
    assert await tokens.grant(LONG, Operation.CREATE) == Grant(owner="anna")
    assert await tokens.grant(OTHER, Operation.FETCH) == Grant(
        owner="berta", max_size=2 * 1024 * 1024, types=("video/*", "image/png")
    )
    for unknown in (LONG[:-1], LONG + "a", "", HASH, OTHER.rstrip("=")):
        assert await tokens.grant(unknown, Operation.CREATE) is None


WRONG = {
    "not TOML": "token = ",
    "a key that is none": '[[token]]\nowner = "a"\ntokn = "x"',
    "no owner": f'[[token]]\ntoken = "{LONG}"',
    "an empty owner": f'[[token]]\ntoken = "{LONG}"\nowner = ""',
    "no token": '[[token]]\nowner = "a"',
    "a token and its hash": f'[[token]]\nowner = "a"\ntoken = "{LONG}"\nsha256 = "{HASH}"',
    "a short token": '[[token]]\nowner = "a"\ntoken = "secret"',
    "a token that no header can have": '[[token]]\nowner = "a"\ntoken = "secret token with blanks"',
    "a hash that is none": '[[token]]\nowner = "a"\nsha256 = "secret"',
    "a size that is none": f'[[token]]\nowner = "a"\ntoken = "{LONG}"\nmax_size = "secret"',
    "a size of nothing": f'[[token]]\nowner = "a"\ntoken = "{LONG}"\nmax_size = 0',
    "a token twice": 2 * f'[[token]]\nowner = "a"\ntoken = "{LONG}"\n',
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong(content: str) -> None:
    """It is refused as a whole, and the message repeats no secret."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_tokens(content.encode())
    assert "secret" not in str(caught.value)
    assert LONG not in str(caught.value)


async def test_a_file_is_read_again_when_it_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Looked at once a second; while it is wrong or gone, what it said before still counts."""
    caplog.set_level("INFO")
    clock = Clock()
    path = tmp_path / "file"
    path.write_text("1")
    file = WatchedFile(path, int, clock=clock)
    path.write_text("22")
    assert await file.get() == 1
    clock.now += 1
    assert await file.get() == 22
    for broken in ("x", None):
        if broken is None:
            path.unlink()
        else:
            path.write_text(broken)
        clock.now += 1
        assert await file.get() == 22
    assert [record.message for record in caplog.records] == [
        *("FileReloaded", "FileNotReloaded", "FileNotReloaded")
    ]
    (tmp_path / "new").write_text("33")
    os.replace(tmp_path / "new", path)
    clock.now += 1
    assert await asyncio.gather(*(file.get() for _ in range(5))) in ([33, 22, 22, 22, 22], [33] * 5)
    assert await file.get() == 33


@pytest.mark.parametrize("content", [None, b"x", b"1" * (1024 * 1024 + 1)])
def test_at_the_start_a_file_has_to_be_good(tmp_path: Path, content: bytes | None) -> None:
    """Missing, wrong or far too large: nothing is guessed."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        WatchedFile(path, int)


def test_limits_of_the_owner() -> None:
    """Beside the token, sizes with or without a unit."""
    content = f"""[[token]]
owner = "a"
token = "{LONG}"
open_uploads = 0
total_bytes = "2 MiB"
uploads_per_minute = 3
bytes_per_second = 4096
upload_bytes_per_second = "1KiB"
"""
    (grant,) = parse_tokens(content.encode()).values()
    assert grant.quota == Quota(
        open_uploads=0, total_bytes=2 * 1024 * 1024, uploads_per_minute=3, bytes_per_second=4096
    )
    assert grant.bytes_per_second == 1024
