"""Looks at what a server has stored: in its directory, and as it gives it back."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.server import Server

from .samples import Sample

_READ_BYTES = 1024 * 1024


def id_of(url: str) -> str:
    """Return the id at the end of the URL of an upload."""
    return url.rsplit("/", 1)[1]


def file_of(server: Server, url: str) -> Path:
    """Return the file of an upload."""
    return server.upload_dir / id_of(url)


def files_in(server: Server) -> set[str]:
    """Return the names of all files in the upload directory: data and records."""
    return {path.name for path in server.upload_dir.iterdir() if path.is_file()}


def sha256_of(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What HEAD says of an upload."""

    status: int
    headers: Mapping[str, str]

    @property
    def offset(self) -> int:
        """The offset of the upload."""
        return int(self.headers["Upload-Offset"])


async def head(url: str, *, timeout_s: float = 10) -> Head:
    """Ask for the state of an upload."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.head(url, headers={"Tus-Resumable": "1.0.0"}) as response,
    ):
        return Head(status=response.status, headers=response.headers.copy())


async def get_sha256(url: str) -> tuple[int, str]:
    """Download an upload; return its size and digest."""
    digest, size = hashlib.sha256(), 0
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        async for block in response.content.iter_chunked(_READ_BYTES):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


async def assert_stored(server: Server, url: str, sample: Sample) -> None:
    """The upload is complete and is the sample: by HEAD, in the directory, and by GET.

    Args:
        server: is asked directly, even if the client went through a proxy.
        url: of the upload, as the client knows it.
        sample: what was uploaded.
    """
    direct = server.url + id_of(url)
    state = await head(direct)
    assert state.status == 200
    assert (state.offset, int(state.headers["Upload-Length"])) == (sample.size, sample.size)
    path = file_of(server, url)
    assert path.stat().st_size == sample.size
    assert await asyncio.to_thread(sha256_of, path) == sample.sha256
    assert await get_sha256(direct) == (sample.size, sample.sha256)
