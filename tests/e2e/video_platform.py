"""The video platform of docs/examples, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs/examples/video-platform"
PASSWORDS = {"anna": "correct horse", "berta": "battery staple"}
_HOST = "127.0.0.1"
_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.02


def block(name: str) -> str:
    """Return the code block of the example's README that has this name."""
    text = (EXAMPLE / "README.md").read_text()
    match = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert match is not None
    return match[1]


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        return int(taken.getsockname()[1])


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(_LOOK_EVERY_S)


@dataclass
class Platform:
    """The example in a folder of its own.

    Attributes:
        folder: what it is run from.
        env: settings that differ from those of video.toml.
    """

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    hook_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        shutil.copytree(
            EXAMPLE, self.folder, ignore=shutil.ignore_patterns("node_modules", "data", "*-secret")
        )
        (self.folder / "node_modules").symlink_to(EXAMPLE / "node_modules")
        subprocess.run(["sh", "-ec", block("secrets")], cwd=self.folder, check=True)
        self.hooks_url = f"http://{_HOST}:{self.hook_port}/hooks"

    @property
    def site(self) -> str:
        """Where its pages are."""
        return f"http://{_HOST}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The creation URL."""
        return f"{self.site}/files/"

    @property
    def published(self) -> list[Path]:
        """The files of all videos that are published."""
        videos = self.folder / "data/videos"
        return sorted(videos.glob("*.mp4"))

    @property
    def uploads(self) -> set[str]:
        """The names in the upload directory: data and records."""
        uploads = self.folder / "data/uploads"
        return {path.name for path in uploads.iterdir() if path.is_file()}

    @contextlib.contextmanager
    def running(self, program: str, **env: str) -> Iterator[Server]:
        """Run one of its programs for the length of the context, and end it whatever happens."""
        log = self.folder / f"{program}.log"
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, program],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONUNBUFFERED": "1",
                    "TUSD_PY_PORT": str(self.port),
                    "TUSD_PY_HOOKS_HTTP": self.hooks_url,
                    **self.env,
                    **env,
                },
            )
        try:
            assert process.stdout is not None
            if "Running on" not in process.stdout.readline():
                pytest.fail(f"{program} did not start: {log.read_text()}")
            yield Server(
                url=self.endpoint,
                upload_dir=self.folder / "data/uploads",
                process=process,
                log=log,
            )
        finally:
            process.kill()
            process.communicate()

    def app(self) -> contextlib.AbstractContextManager[Server]:
        """Run the site."""
        return self.running("app.py")

    def publisher(self, **env: str) -> contextlib.AbstractContextManager[Server]:
        """Run the publisher."""
        hooks = f"http://{_HOST}:{self.hook_port}/hooks"
        return self.running("publish.py", **{"TUSD_PY_HOOKS_HTTP": hooks, **env})

    @contextlib.asynccontextmanager
    async def signed_in(self, name: str) -> AsyncIterator[User]:
        """Sign in for the length of the context."""
        async with aiohttp.ClientSession(self.site) as session:
            form = {"name": name, "password": PASSWORDS[name]}
            async with session.post("/login", data=form) as answer:
                assert answer.status == 200, await answer.text()
                token = (await answer.json())["token"]
            session.headers["Authorization"] = f"Bearer {token}"
            session.headers["Tus-Resumable"] = "1.0.0"
            yield User(session, {"Authorization": f"Bearer {token}"})


@dataclass(frozen=True)
class User:
    """Somebody who is signed in."""

    session: aiohttp.ClientSession
    headers: dict[str, str]

    async def catalogue(self) -> dict[str, list[dict[str, Any]]]:
        """Return the user's videos, and what went wrong with others."""
        async with self.session.get("/videos") as answer:
            assert answer.status == 200
            found: dict[str, list[dict[str, Any]]] = json.loads(await answer.text())
            return found

    async def videos(self, count: int) -> list[dict[str, Any]]:
        """Return the user's videos as soon as so many are published."""
        return await self._at_least(count, "videos")

    async def troubles(self, count: int) -> list[dict[str, Any]]:
        """Return what went wrong as soon as it is so much."""
        return await self._at_least(count, "troubles")

    async def _at_least(self, count: int, kind: str) -> list[dict[str, Any]]:
        async with asyncio.timeout(_PATIENCE_S):
            while len(rows := (await self.catalogue())[kind]) < count:  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_EVERY_S)  # another process does it
        return rows

    async def status(self, method: str, url: str, **headers: str) -> int:
        """Make a request without a body."""
        async with self.session.request(method, url, headers=headers) as answer:
            return answer.status
