"""``ls``, ``show``, ``rm``, ``expire``, ``check``: beside servers that run, on their stores."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.program.test_cli import tusd_py
from tests.support.raw_http import RawConnection, exchange, head, request
from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server
from tusd_py.cli import main
from tusd_py.interfaces import HookType

V = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", "application/offset+octet-stream")
EVIL = "a\x1b[31m\nb\x9b.txt"


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the program and return what came of it."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["tusd-py", *arguments])
        patched.setattr("sys.stdout", out)
        patched.setattr("sys.stderr", err)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Place:
    """A server, and how its stores are named on the command line."""

    server: Server
    options: tuple[str, ...]

    def spawn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program on the stores, as a user does."""
        return tusd_py(*arguments, *self.options)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it in this process, which saves the time to start one."""
        return called(*arguments, *self.options)

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """Run it with ``--json``, and return the objects."""
        done = self.run(*arguments, "--json")
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    def create(self, length: int = 10, body: bytes = b"", name: str = "a.txt") -> str:
        """Make an upload, and return its id."""
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        fields = [V, ("Upload-Length", str(length)), ("Upload-Metadata", metadata)]
        answer = exchange(
            self.server.port,
            request("POST", "/files/", *fields, *([TYPE] if body else []), body=body),
        )
        assert answer.status == 201
        return answer.headers["Location"].rpartition("/")[2]

    def offset(self, upload_id: str) -> str | None:
        """What the server tells."""
        answer = exchange(self.server.port, request("HEAD", f"/files/{upload_id}", V), "HEAD")
        return answer.headers.get("Upload-Offset")

    def files(self) -> set[str]:
        """What lies in the directory."""
        return {entry.name for entry in os.scandir(self.server.upload_dir) if entry.is_file()}


@pytest.fixture(params=["directory", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A server of two workers that runs all the time."""
    with ExitStack() as stack:
        options: tuple[str, ...] = ()
        if request.param == "redis":
            options = ("--redis-url", stack.enter_context(running_redis()).url)
        directory = tmp_path / "uploads"
        server = stack.enter_context(running_server(directory, *options, "--workers", "2"))
        yield Place(server, ("--upload-dir", str(directory), *options))
        assert server.stop() == 0


def test_ls(place: Place) -> None:
    """A line for each, in the order of ids; what clients wrote is shown, and not obeyed."""
    assert place.run("ls").stdout == "no uploads\n"
    one, two = place.create(body=b"abc"), place.create(5, b"12345", EVIL)
    done = place.run("ls")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "OFFSET", "LENGTH", "NAME"]
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:]}
    assert list(shown) == sorted([one, two])
    assert shown[one].split()[1:] == ["3", "B", "10", "B", "a.txt"]
    assert shown[two].endswith("5 B        5 B  a\ufffd[31m\ufffdb\ufffd.txt")
    rows = {row["id"]: row for row in place.rows("ls")}
    assert rows[one]["offset"] == 3
    assert rows[one]["state"] in {"uploading", "idle"}  # this may be a slow machine
    assert (rows[two]["metadata"], rows[two]["state"]) == ({"filename": EVIL}, "finished")
    assert [row["id"] for row in place.rows("ls", "--state", "finished")] == [two]
    assert [row["id"] for row in place.rows("ls", "--limit", "1")] == [min(one, two)]
    assert place.rows("ls", "--older-than", "1h", "--kind", "whole") == []
    assert len(place.rows("ls", "--younger-than", "1h")) == 2
    assert place.run("ls", "--owner", "anna").stdout == "no uploads\n"


def test_show(place: Place) -> None:
    """All that is known of one."""
    upload_id = place.create(body=b"abc", name=EVIL)
    done = place.run("show", upload_id)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"id: {upload_id}"
    assert lines[1] in {"state: uploading", "state: idle"}
    assert lines[2] == "kind: whole"
    assert "metadata.filename: a\ufffd[31m\ufffdb\ufffd.txt" in lines
    (row,) = place.rows("show", upload_id)
    assert (row["offset"], row["length"], row["progress"]) == (3, 10, 30)
    assert row["storage"]["Path"] == str(place.server.upload_dir / upload_id)
    done = place.run("show", "missing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tusd-py: missing: Upload not found.\n"


def test_who_only_looks_changes_nothing(place: Place) -> None:
    """Neither a byte nor a record, nor does a running body notice."""
    upload_id = place.create(body=b"abc")
    data = place.server.upload_dir / upload_id
    record = data.with_name(f"{upload_id}.info")
    before = (data.read_bytes(), record.read_bytes(), record.stat().st_mtime_ns, place.files())
    path = f"/files/{upload_id}"
    with RawConnection(place.server.port) as sending:
        fields = (V, TYPE, ("Upload-Offset", "3"), ("Content-Length", "7"))
        sending.send(head("PATCH", path, *fields) + b"def")
        for command in (["ls"], ["show", upload_id], ["check"], ["expire", "--dry-run"]):
            assert place.spawn(*command).returncode == 0
        assert (record.read_bytes(), record.stat().st_mtime_ns) == before[1:3]
        sending.send(b"ghij")
        assert sending.answer("PATCH").status == 204
    assert data.read_bytes() == b"abcdefghij"
    assert place.files() == before[3]


def test_rm_stops_who_sends(place: Place) -> None:
    """Like DELETE: the body is asked to leave, record and bytes go, and others stay."""
    kept, upload_id = place.create(body=b"kept"), place.create(body=b"abc")
    with RawConnection(place.server.port) as sending:
        fields = (V, TYPE, ("Upload-Offset", "3"), ("Content-Length", "7"))
        sending.send(head("PATCH", f"/files/{upload_id}", *fields) + b"def")
        done = place.spawn("rm", upload_id, "missing")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "tusd-py: missing: Upload not found.\n"
        assert sending.answer("PATCH").status in {404, 423, 503}
    assert place.offset(upload_id) is None
    assert place.offset(kept) == "4"
    assert place.files() == {kept, f"{kept}.info"}
    assert place.rows("rm", kept) == [{"id": kept, "outcome": "removed"}]
    assert place.rows("rm", kept) == [{"id": kept, "outcome": "ERR_UPLOAD_NOT_FOUND"}]
    assert place.files() == set()


def test_removal_is_told_to_hooks(tmp_path: Path) -> None:
    """What the command removes is in the outbox, for the servers to deliver."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-terminate").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "post-terminate").chmod(0o755)
    options = ("--hooks-dir", str(hooks), "--upload-dir", str(tmp_path / "uploads"))
    with running_server(tmp_path / "uploads") as server:
        upload_id = Place(server, options).create()
        assert server.stop() == 0
    assert called("rm", upload_id, *options).returncode == 0
    done = called("hooks", "list", "--json", *options)
    (event,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (event["type"], event["upload"], event["state"]) == (
        HookType.POST_TERMINATE.value,
        upload_id,
        "pending",
    )


def test_expire(tmp_path: Path) -> None:
    """What is over goes, and nothing else; first it can be seen what that would be."""
    directory = tmp_path / "uploads"
    options = ("--upload-dir", str(directory))
    with running_server(directory, "--expire-after", "1s") as server:
        old = Place(server, options).create(body=b"abc")
        done = Place(server, options).create(3, b"abc")
        ends = time.time() + 1.0
        server.process.kill()
        server.process.wait()
    while time.time() < ends:  # a second has to pass
        os.sched_yield()
    for _ in range(2):
        dry = called("expire", "--dry-run", *options)
        assert (dry.returncode, dry.stdout) == (0, f"{old}\n")
    expired = tusd_py("expire", *options)
    assert (expired.returncode, expired.stdout, expired.stderr) == (0, "1 removed\n", "")
    assert {entry.name for entry in directory.iterdir() if entry.is_file()} == {
        done,
        f"{done}.info",
    }


def test_check(place: Place) -> None:
    """All is well, or what is not is named, with advice, and the exit code says so."""
    broken = place.create(6, b"abcdef")
    rows = place.rows("check")
    assert {row["level"] for row in rows} <= {"good", "advice", "warning"}
    assert {"level": "good", "subject": "uploads", "sentence": "1 finished"} in rows
    (place.server.upload_dir / broken).unlink()
    done = place.run("check")
    assert (done.returncode, done.stderr) == (1, "")
    error = [line for line in done.stdout.splitlines() if line.startswith("error")]
    assert len(error) == 1
    assert error[0].endswith(f"remove them with rm: {broken}")


def test_check_without_stores(tmp_path: Path) -> None:
    """A missing directory and a Redis that is not there are errors, and nothing is made."""
    missing = tmp_path / "missing"
    done = called("check", "--upload-dir", str(missing))
    assert done.returncode == 1
    assert f"error    directory: there is no {missing}" in done.stdout
    assert not missing.exists()
    url = f"unix://{tmp_path}/nobody"
    done = called("check", "--upload-dir", str(tmp_path), "--redis-url", url)
    assert (done.returncode, "error    stores: " in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ls", "--state", "done"], "'done' is not one of 'created', 'uploading'"),
        (["ls", "--older-than", "soon"], "'soon' is no duration such as 90s"),
        (["ls", "--limit", "0"], "0 is not in the range x>=1"),
        (["show"], "Missing argument 'ID'"),
        (["rm"], "Missing argument 'ID...'"),
        (["rm", "../x"], "../x is no id of an upload"),
        (["show", "a\x1b.info"], "a\ufffd.info is no id of an upload"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """One sentence, and the exit code of a mistake."""
    done = called(*arguments, "--upload-dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("tusd-py: ")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize("arguments", [["ls"], ["show", "a"], ["rm", "a"], ["expire"]])
def test_a_missing_directory_is_not_made(tmp_path: Path, arguments: list[str]) -> None:
    """It is named, with the option that names another."""
    missing = tmp_path / "missing"
    done = called(*arguments, "--upload-dir", str(missing))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no directory {missing}; name another with --upload-dir" in done.stderr
    assert not missing.exists()


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """``ls | head`` ends without a word."""
    with running_server(tmp_path / "uploads") as server:
        Place(server, ()).create()
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "tusd_py", "ls", "--upload-dir", str(tmp_path / "uploads")],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_progress_is_for_a_terminal(tmp_path: Path) -> None:
    """Long work counts there, and leaves no trace of it behind."""
    with running_server(tmp_path / "uploads") as server:
        Place(server, ()).create()
    ours, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "tusd_py", "check", "--upload-dir", str(tmp_path / "uploads")],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
        timeout=30,
    )
    os.close(terminal)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert shown.startswith("\r1 uploads looked at\r")
    assert shown.endswith("\r")
    assert "looked at" not in done.stdout
