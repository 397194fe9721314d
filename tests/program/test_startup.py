"""What the server says at its start about the machine that it runs on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from aiohttp import http_parser

from tests.support.server import running_server
from tusd_py import Settings
from tusd_py.startup import look_around

NOW = 1_800_000_000.0


def findings(directory: Path, kind: str = "ext4", redis: str | None = None) -> list[str]:
    """Return what is found when the directory is on such a file system."""
    directory.mkdir(mode=0o755, exist_ok=True)
    os.utime(directory, (NOW, NOW))
    mounts = directory.parent / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / {directory} rw - {kind} b rw\n")
    settings = Settings(upload_dir=directory, redis_url=redis)
    found = look_around(
        settings, mounts=mounts, clock=lambda: NOW, parser=http_parser.HttpRequestParser
    )
    return [f"{finding.event}: {finding.reason}" for finding in found]


def test_a_sound_machine_is_no_news(tmp_path: Path) -> None:
    """On a local disk of one's own, with the compiled parser and a clock, nothing is said."""
    assert findings(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("tmpfs", "a reboot loses all of them"),
        ("overlay", "mount a volume"),
        ("nfs4", "only one host"),
        ("fuse.sshfs", "only one host"),
    ],
)
def test_a_file_system_that_loses_or_shares_is_named(tmp_path: Path, kind: str, what: str) -> None:
    """Where uploads get lost or other hosts may write, it says so, and what it means."""
    (found,) = findings(tmp_path / "data", kind)
    assert found.startswith(f"FileSystemUnsafe: uploads are on {kind}")
    assert what in found


def test_with_redis_a_shared_file_system_is_meant(tmp_path: Path) -> None:
    """Several nodes need a shared file system, so it is no news."""
    assert findings(tmp_path / "data", "nfs4", "redis://localhost") == []


@pytest.mark.parametrize(
    ("parent", "own", "count"),
    [
        (0o755, 0o775, 0),
        (0o755, 0o777, 1),
        (0o777, 0o755, 1),
        (0o1777, 0o755, 0),
        (0o777, 0o777, 2),
    ],
)
def test_a_directory_that_everybody_can_replace_is_named(
    tmp_path: Path, parent: int, own: int, count: int
) -> None:
    """The directory and those above it must not be writable for all, but for sticky ones."""
    above = tmp_path / "above"
    directory = above / "data"
    directory.mkdir(parents=True)
    found = []
    try:
        directory.chmod(own)
        above.chmod(parent)
        found = findings(directory)
    finally:
        above.chmod(0o755)
    assert len(found) == count
    assert all(text.startswith("PermissionsUnsafe") for text in found)


@pytest.mark.parametrize("now", [0.0, NOW - 2 * 86400])
def test_a_clock_that_is_behind_is_noticed(tmp_path: Path, now: float) -> None:
    """A clock that was never set, or went back by days, is told."""
    assert findings(tmp_path / "data") == []
    (found,) = look_around(
        Settings(upload_dir=tmp_path / "data"),
        mounts=tmp_path / "mountinfo",
        clock=lambda: now,
        parser=http_parser.HttpRequestParser,
    )
    assert found.event == "ClockUnsafe"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_slow_parser_is_told_once(tmp_path: Path, workers: str) -> None:
    """Without aiohttp's compiled parser the server starts, and warns, however many workers."""
    env = {"AIOHTTP_NO_EXTENSIONS": "1"}
    with running_server(tmp_path / "data", "--workers", workers, env=env) as server:
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    told = [line for line in lines if line["event"] == "ParserUnsafe"]
    assert [line["level"] for line in told] == ["warning"]
    assert "AIOHTTP_NO_EXTENSIONS" in told[0]["reason"]
