"""The guides to access and to file types do what they say: their own code is run."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
import tomllib
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.support import contents
from tests.support.server import Server, running_server
from tusd_py.access.tokens import parse_tokens
from tusd_py.interfaces import Grant

HOWTO = Path(__file__).resolve().parents[2] / "docs/howto"
AUTHORISE = (HOWTO / "authorise.md").read_text()
SHA256_HEX = 64


def block(name: str) -> str:
    """Return the code block of that name."""
    match = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", AUTHORISE, re.DOTALL)
    assert match is not None
    return match[1]


def run_shell(script: str, directory: Path) -> str:
    """Run a block of shell and return what it prints."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=directory, check=True, capture_output=True, text=True
    )
    return done.stdout


def serving(command: str, directory: Path) -> AbstractContextManager[Server]:
    """Start a server with the options of a command line, on a port of its own."""
    program, serve, *options = shlex.split(command)
    assert (program, serve) == ("tusd-py", "serve")
    if options[:2] == ["--port", "8080"]:
        options = options[2:]
    options = [str(directory / o) if (directory / o).is_file() else o for o in options]
    return running_server(directory / "data", *options)


def test_a_jwt_protected_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Secret, server, token, upload: in order, as on the page, and nobody else sees the file."""
    run_shell(block("secret"), tmp_path)
    with serving(block("serve"), tmp_path) as server, contextlib.chdir(tmp_path):
        scope: dict[str, Any] = {}
        exec(block("token"), scope)  # noqa: S102 - our own example
        upload = block("upload").replace("http://localhost:8080/files/", server.url)
        exec(upload, scope)  # noqa: S102 - our own example
        url = capsys.readouterr().out.strip()
        bearer = {"Authorization": f"Bearer {scope['token_for']('anna')}"}
        with urlopen(Request(url, headers=bearer)) as answer:  # noqa: S310 - the server's own URL
            assert answer.read() == b"hello"
        for headers, status in (
            ({}, 401),
            ({"Authorization": f"Bearer {scope['token_for']('berta')}"}, 404),
        ):
            with pytest.raises(TusCommunicationError) as caught:
                TusClient(server.url, headers=headers).uploader(
                    file_stream=BytesIO(b"hello"), url=url
                )
            assert caught.value.status_code == status
    log = server.log.read_text()
    assert "AccessRefused" in log
    assert (tmp_path / "jwt-secret").read_text().strip() not in log
    assert bearer["Authorization"] not in log


def test_tokens_in_a_file() -> None:
    """The example is a file that is accepted."""
    grants = list(parse_tokens(block("tokens").encode()).values())
    assert grants == [
        Grant(owner="backup"),
        Grant(owner="scanner", max_size=100 * 1024**2, types=("application/pdf", "image/*")),
    ]
    hashed = tomllib.loads(block("tokens"))["token"][0]["sha256"]
    assert len(hashed) == SHA256_HEX


def test_the_hash_of_a_token(tmp_path: Path) -> None:
    """The command prints what belongs into the file."""
    printed = run_shell(block("hash") + 'printf %s "$token"', tmp_path)
    hashed, _, token = printed.partition("  -\n")
    table = f'[[token]]\nowner = "anna"\nsha256 = "{hashed}"\n'
    clear = f'[[token]]\nowner = "anna"\ntoken = "{token}"\n'
    assert parse_tokens(table.encode()) == parse_tokens(clear.encode())


def test_only_some_kinds_of_files(tmp_path: Path) -> None:
    """The command of the page refuses an executable that calls itself a video."""
    page = (HOWTO / "file-types.md").read_text()
    command = page.split("```sh\n")[1].split("```")[0]
    with serving(command, tmp_path) as server:
        client = TusClient(server.url)
        for content, name, taken in (
            (contents.MP4, "a.mp4", True),
            (contents.EXE, "a.mp4", False),
            (contents.MP4, "a.exe", False),
        ):
            metadata = {"filetype": "video/mp4", "filename": name}

            def upload(content: bytes = content, metadata: dict[str, str] = metadata) -> None:
                client.uploader(file_stream=BytesIO(content), metadata=metadata).upload()

            if taken:
                upload()
                continue
            with pytest.raises(TusCommunicationError) as caught:
                upload()
            assert caught.value.status_code == 415
        kept = [file for file in server.upload_dir.iterdir() if file.suffix == ".info"]
        assert len(kept) == 1


@pytest.mark.parametrize(
    "options", [("--auth-jwt-secret-file", "none"), ("--auth-tokens-file", "none")]
)
def test_a_file_that_is_missing_is_said_at_once(tmp_path: Path, options: tuple[str, str]) -> None:
    """One sentence that names the setting, before anything is served."""
    done = subprocess.run(
        [sys.executable, "-m", "tusd_py", "serve", "--port", "0", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"tusd-py: {options[0].removeprefix('--')}: cannot read none")
