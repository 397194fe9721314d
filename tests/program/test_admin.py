"""The listener for operators, as a user starts it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.server import Server, running_server


def admin_of(server: Server) -> str:
    """Where the admin listener is, as the server announced it behind the URL of uploads."""
    assert server.process.stdout is not None
    match = re.fullmatch(r"Admin at (\S+)\n", server.process.stdout.readline())
    assert match is not None
    return match[1]


def fetch(url: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_health_is_on_a_listener_of_its_own(tmp_path: Path, workers: str) -> None:
    """It is not on that of uploads, and has nothing of uploads."""
    options = ("--admin-listen", "127.0.0.1:0", "--workers", workers)
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        status, text = fetch(f"{admin}healthz")
        assert (status, json.loads(text)) == (200, {"status": "ok"})
        assert fetch(f"{admin}readyz")[0] == 200
        assert fetch(f"{admin}files/")[0] == 404
        assert fetch(server.url.replace("/files/", "/healthz"))[0] == 404
        assert server.stop() == 0
