"""What the page about clients tells people to write goes on after the client itself has died."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import jwt
import pytest

from tests.support.chaos_proxy import ChaosProxy, Cut, Ending
from tests.support.server import Server

from .conftest import StartServer
from .samples import MB, Sample
from .stored import file_of, files_in, id_of, sha256_of
from .tusjs import FOLDER

pytestmark = pytest.mark.usefixtures("tus_js")

PAGE = (Path(__file__).resolve().parents[2] / "docs/howto/client-settings.md").read_text()
SECRET = "s" * 64
METADATA = {"filename": "holiday.mp4", "filetype": "video/mp4"}
POINT = 10 * MB + 7  # within the first chunk

RUN_NODE = """
const [path, endpoint, token] = process.argv.slice(2)
console.log(await upload(createReadStream(path), {
  endpoint,
  metadata: METADATA,
  freshToken: async () => token,
  urlStorage: new tus.FileUrlStorage('uploads.json'),
}))
// The client may still have to write to its storage.
setTimeout(() => process.exit(0), 500).unref()
"""
RUN_PYTHON = """
import sys
path, endpoint, token = sys.argv[1:]
print(upload(Path(path), endpoint, token, METADATA))
"""


def example(name: str) -> str:
    """Return the code block of the page that has this name."""
    match = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    return match[1]


def node_program(folder: Path) -> Sequence[str]:
    """Make a program of the page's JavaScript; return how to run it."""
    program = folder / "program.mjs"
    program.write_text(
        "import { createReadStream } from 'node:fs'\n"
        + example("tus-js-client")
        + f"const METADATA = {json.dumps(METADATA)}\n"
        + RUN_NODE
    )
    (folder / "node_modules").symlink_to(FOLDER / "node_modules")
    return ["node", str(program)]


def python_program(folder: Path) -> Sequence[str]:
    """Make a program of the page's Python; return how to run it."""
    program = folder / "program.py"
    program.write_text(
        example("tuspy") + f"\n\nMETADATA = {METADATA!r}\n" + textwrap.dedent(RUN_PYTHON)
    )
    return [sys.executable, str(program)]


@contextlib.asynccontextmanager
async def running(
    program: Sequence[str], folder: Path, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program for the length of the context."""
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
def secured(start_server: StartServer, tmp_path: Path) -> Server:
    """A server that wants tokens."""
    secret = tmp_path / "jwt-secret"
    secret.write_text(SECRET)
    return start_server("--auth-jwt-secret-file", str(secret))


@pytest.mark.parametrize("make", [node_program, python_program], ids=["tus-js-client", "tuspy"])
async def test_goes_on_after_its_death_and_ends_clean(
    secured: Server, video: Sample, tmp_path: Path, make: Callable[[Path], Sequence[str]]
) -> None:
    """Killed and run again it finds its upload, survives a cut, and uploads anew the next time."""
    token = jwt.encode({"sub": "anna", "exp": int(time.time()) + 600}, SECRET, algorithm="HS256")
    program = make(tmp_path)
    cuts = [Cut(after_bytes=POINT, ending=Ending.HOLD), Cut(after_bytes=MB, ending=Ending.FIN)]
    urls: list[str] = []
    async with ChaosProxy(secured.port, cuts) as proxy:
        arguments = str(video.path), proxy.url_of(secured.url), token
        async with running(program, tmp_path, *arguments):
            await proxy.wait_cut_offs(1)
        for _ in range(2):
            async with running(program, tmp_path, *arguments) as process:
                stdout, stderr = await process.communicate()
            assert process.returncode == 0, stderr.decode()
            urls.append(stdout.decode().strip())
        heads = [request for request in proxy.requests if request.method == "HEAD"]
        assert [cut.reached for cut in proxy.cut_offs] == [POINT, POINT + MB]
    assert len(heads) == 2
    assert len(set(urls)) == 2
    for url in urls:
        assert sha256_of(file_of(secured, url)) == video.sha256
    ids = {id_of(url) for url in urls}
    assert files_in(secured) == ids | {f"{name}.info" for name in ids}
