"""The log of a real server, field by field."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_http import RawConnection, request
from tests.support.server import Server, running_server

from .test_metrics import PATCH, ask, create, send
from .test_metrics import V as HEADERS

ID_PATH = "/files/"


def lines_of(server: Server, *events: str) -> list[dict[str, Any]]:
    """The lines with those events; the server has ended."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    return [line for line in lines if line["event"] in events]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that says much."""
    with running_server(tmp_path / "uploads", "--verbose") as running:
        yield running


def test_each_request_is_one_line(server: Server) -> None:
    """With the upload, its offset before and after, the bytes, the outcome and the request id."""
    upload_id = create(server, 10)
    named = {"X-Request-ID": "r-1", "Upload-Offset": "0"}
    assert ask(server, "PATCH", upload_id, PATCH | named, b"abcd") == 204
    assert ask(server, "PATCH", upload_id, PATCH | {"Upload-Offset": "9"}, b"x") == 409
    override = HEADERS | {"X-HTTP-Method-Override": "HEAD"}
    assert ask(server, "POST", upload_id, override) == 200
    assert server.stop() == 0
    lines = lines_of(server, "ResponseOutgoing")
    assert all(line.pop("duration_ms") > 0 for line in lines)
    assert all(line.pop("timestamp").endswith("Z") for line in lines)
    path = ID_PATH + upload_id
    common = {"event": "ResponseOutgoing", "level": "info", "requestId": None, "id": upload_id}
    assert lines == [
        {
            **common,
            "method": "POST",
            "path": ID_PATH,
            "status": 201,
            "outcome": "ok",
            "code": None,
            "offset": None,
            "offset_after": 0,
            "bytes": 0,
        },
        {
            **common,
            "method": "PATCH",
            "path": path,
            "status": 204,
            "outcome": "ok",
            "code": None,
            "offset": 0,
            "offset_after": 4,
            "bytes": 4,
            "requestId": "r-1",
        },
        {
            **common,
            "method": "PATCH",
            "path": path,
            "status": 409,
            "outcome": "refused",
            "code": "ERR_MISMATCHED_OFFSET",
            "offset": 9,
            "offset_after": 4,
            "bytes": 0,
        },
        {
            **common,
            "method": "HEAD",
            "path": path,
            "status": 200,
            "outcome": "ok",
            "code": None,
            "offset": None,
            "offset_after": 4,
            "bytes": 0,
        },
    ]


def test_what_happens_to_uploads_is_named_as_tusd_names_it(server: Server) -> None:
    """Created, a chunk with its bytes, finished, terminated; each with the id."""
    whole = HEADERS | {"Upload-Length": "3", "Content-Type": "application/offset+octet-stream"}
    status, first = send(server, "POST", "", whole, b"abc")
    assert status == 201
    second = create(server, 8)
    assert ask(server, "PATCH", second, PATCH | {"Upload-Offset": "0"}, b"abcd") == 204
    assert ask(server, "DELETE", second, HEADERS) == 204
    assert server.stop() == 0
    names = ("UploadCreated", "ChunkWriteComplete", "UploadFinished", "UploadTerminated")
    lines = lines_of(server, *names)
    assert [(line["event"], line["level"], line["id"]) for line in lines] == [
        ("UploadCreated", "info", first),
        ("ChunkWriteComplete", "debug", first),
        ("UploadFinished", "info", first),
        ("UploadCreated", "info", second),
        ("ChunkWriteComplete", "debug", second),
        ("UploadTerminated", "info", second),
    ]
    assert [line.get("size") for line in lines] == [3, None, 3, 8, None, 8]
    assert [line.get("bytesWritten") for line in lines] == [None, 3, None, None, 4, None]
    assert (lines[4]["offset"], lines[4]["cause"], lines[5]["offset"]) == (4, None, 4)


def test_a_hook_that_fails_is_a_warning(tmp_path: Path) -> None:
    """The client is told 500, the log names the hook."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    hook = hooks / "pre-create"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    with running_server(tmp_path / "uploads", "--hooks-dir", str(hooks)) as server:
        assert ask(server, "POST", "", HEADERS | {"Upload-Length": "1"}) >= 500
        assert server.stop() == 0
    (line,) = lines_of(server, "HookInvocationError")
    assert (line["level"], line["hook"]) == ("warning", "pre-create")
    (answer,) = lines_of(server, "ResponseOutgoing")
    assert line["reason"] == "HookError"
    assert (answer["outcome"], answer["level"]) == ("failed", "error")


def test_requests_are_not_logged_when_nobody_wants_them(tmp_path: Path) -> None:
    """Only what concerns the server itself is."""
    with running_server(tmp_path / "uploads", "--no-log-requests") as server:
        create(server, 1)
        assert server.stop() == 0
    assert [line["event"] for line in lines_of(server, "Listening", "UploadCreated")] == [
        "Listening"
    ]
    assert lines_of(server, "ResponseOutgoing") == []


def test_a_terminal_gets_colours_and_nothing_that_a_client_has_sent_as_it_is(
    tmp_path: Path,
) -> None:
    """Control characters in what a client sends arrive escaped."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tusd_py", "serve", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        [*command, "--upload-dir", str(tmp_path / "uploads")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1].partition("/")[0])
        with RawConnection(port) as connection:
            evil = "a\u202e\tb"
            connection.send(
                request(
                    "POST",
                    "/files/",
                    *HEADERS.items(),
                    ("Upload-Length", "1"),
                    ("X-Request-ID", evil),
                )
            )
            assert connection.answer().status == 201
        process.terminate()
        seen = "".join(read_all(ours))
        assert process.wait(30) == 0
    assert "\x1b[" in seen
    assert "ResponseOutgoing" in seen
    assert "\\u202e" in seen
    assert "\u202e" not in seen


def read_all(descriptor: int) -> Iterator[str]:
    """What a terminal shows until nobody writes to it any more."""
    with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
        try:
            yield from file
        except OSError:  # EIO: the other side is closed
            return
