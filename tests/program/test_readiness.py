"""Readiness of a real server: no while a part of it fails, yes again when it works again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import running_redis
from tests.support.server import running_server

from .test_admin import admin_of, fetch
from .test_metrics import PATCH, ask, create

ADMIN = ("--admin-listen", "127.0.0.1:0")
SOON_S = 20.0

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


def readiness(admin: str) -> tuple[int, dict[str, Any]]:
    """Status and what is said of each part."""
    status, text = fetch(f"{admin}readyz")
    return status, json.loads(text)


def wait_ready(admin: str, *, ready: bool) -> dict[str, Any]:
    """Wait until the server is ready, or is not, and return what is said of the parts."""
    deadline = time.monotonic() + SOON_S
    while (found := readiness(admin))[0] != (200 if ready else 503):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found[1]


@contextlib.contextmanager
def mounted(directory: Path, size: str) -> Iterator[None]:
    """A small file system in memory."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def remount(directory: Path, options: str) -> None:
    """Mount it anew with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(directory)], check=True)


def test_a_server_that_works_is_ready(tmp_path: Path) -> None:
    """Each part is named; of the outbox, which nobody needs here, nothing is said."""
    with running_server(tmp_path / "uploads", *ADMIN) as server:
        status, found = readiness(admin_of(server))
        assert (status, found["status"]) == (200, "ok")
        assert {name: part["ok"] for name, part in found["checks"].items()} == {
            "data": True,
            "offsets": True,
            "disk": True,
        }
        assert found["checks"]["disk"]["free_bytes"] > 0
        assert list((tmp_path / "uploads").glob("[!.]*")) == []


def test_too_little_room_is_not_ready(tmp_path: Path) -> None:
    """By the setting; the server is alive all the same."""
    options = (*ADMIN, "--ready-free-space", "1000000TiB")
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        status, found = readiness(admin)
        assert (status, found["status"]) == (503, "failing")
        failing = {name for name, part in found["checks"].items() if not part["ok"]}
        assert failing == {"disk"}
        assert fetch(f"{admin}healthz")[0] == 200


@as_root
def test_a_disk_that_takes_no_writes_is_not_ready_and_then_is(tmp_path: Path) -> None:
    """Read-only, then writable; full, then with room."""
    directory = tmp_path / "volume"
    # The file of a history is open all the time, and so keeps a healthy disk from being remounted.
    options = (*ADMIN, "--ready-free-space", "0", "--history", "off")
    with (
        mounted(directory, "4m"),
        running_server(directory, *options) as server,
    ):
        admin = admin_of(server)
        assert readiness(admin)[0] == 200
        remount(directory, "ro")
        found = wait_ready(admin, ready=False)
        assert "Read-only" in found["checks"]["data"]["error"]
        remount(directory, "rw")
        wait_ready(admin, ready=True)
        filler = directory / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        found = wait_ready(admin, ready=False)
        assert not found["checks"]["data"]["ok"]
        filler.unlink()
        wait_ready(admin, ready=True)


def test_without_redis_nobody_is_ready(tmp_path: Path) -> None:
    """Until it is there again; the disk is well meanwhile."""
    with running_redis() as redis:
        options = (*ADMIN, "--redis-url", redis.url, "--redis-timeout", "0.2s")
        with running_server(tmp_path / "uploads", *options) as server:
            admin = admin_of(server)
            wait_ready(admin, ready=True)
            redis.kill()
            found = wait_ready(admin, ready=False)
            assert {name: part["ok"] for name, part in found["checks"].items()} == {
                "data": True,
                "offsets": False,
                "disk": True,
            }
            redis.start()
            wait_ready(admin, ready=True)


def test_the_outbox_is_part_of_it_when_somebody_is_told(tmp_path: Path) -> None:
    """With how many events wait."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    options = (*ADMIN, "--hooks-dir", str(hooks))
    with running_server(tmp_path / "uploads", *options) as server:
        _, found = readiness(admin_of(server))
        outbox = found["checks"]["outbox"]
        assert (outbox["ok"], outbox["pending"], outbox["given_up"]) == (True, 0, 0)


def test_a_server_that_goes_down_is_not_ready(tmp_path: Path) -> None:
    """The admin listener tells it, as long as a request keeps the server from ending."""
    options = (*ADMIN, "--shutdown-timeout", "20s")
    content = bytes(64 << 20)  # more than the sockets hold
    with running_server(tmp_path / "uploads", *options) as server:
        admin = admin_of(server)
        upload_id = create(server, len(content))
        patch = PATCH | {"Upload-Offset": "0"}
        assert ask(server, "PATCH", upload_id, patch, content) == 204
        with urllib.request.urlopen(server.url + upload_id, timeout=20) as download:  # noqa: S310
            server.process.terminate()
            found = wait_ready(admin, ready=False)
            assert download.read() == content
        assert found["status"] == "stopping"
        assert server.process.wait(30) == 0
