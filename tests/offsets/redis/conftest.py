"""Nodes that share one Redis and one upload directory, all in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.redis_server import RedisServer, running_redis
from tests.support.work import running_lanes
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_claims import RedisClaim
from tusd_py.offsets.redis_copies import Copies
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.redis_client.address import RedisAddress, RedisOptions

ID = UploadId("0123456789abcdef0123456789abcdef")
KEY = f"tusd-py:{{{ID}}}"
SOON_S = 5.0
HAND_OVER_S = 1.0
START_S = 20.0


class StartNode(Protocol):
    """Starts a node; by default on the server and the directory of the test."""

    async def __call__(
        self,
        *,
        url: str | None = None,
        lease_s: float = 30.0,
        timeout_s: float = 0.5,
        boot: str | None = None,
        copies: bool = True,
    ) -> RedisOffsets:
        """Return an open store."""


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    """A server that no test ends."""
    with running_redis() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """The same, empty."""
    shared_server.ask("FLUSHALL")
    return shared_server


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that the test may do anything to."""
    with running_redis() as own:
        yield own


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The upload directory."""
    path = tmp_path / "uploads"
    path.mkdir()
    return path


@pytest.fixture
async def start(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[StartNode]:
    """Start nodes; they are closed at the end."""
    names = request.fixturenames
    server: RedisServer = request.getfixturevalue(
        "own_server" if "own_server" in names else "server"
    )
    async with running_lanes() as run, contextlib.AsyncExitStack() as stack:

        async def begin(
            *,
            url: str | None = None,
            lease_s: float = 30.0,
            timeout_s: float = 0.5,
            boot: str | None = None,
            copies: bool = True,
        ) -> RedisOffsets:
            address = RedisAddress(url or server.url)
            options = RedisOptions(address=address, lease_s=lease_s, timeout_s=timeout_s)
            beside = Copies(directory, boot=boot) if copies else None
            store = RedisOffsets(options, run, copies=beside)
            await store.open()
            stack.push_async_callback(store.close)
            return store

        yield begin


async def add(
    store: RedisOffsets, directory: Path, upload: Upload | None = None, data: bytes = b""
) -> Upload:
    """Keep an upload whose bytes are `data`."""
    upload = upload or Upload(id=ID, length=10, offset=len(data))
    path = directory / upload.id
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    upload = replace(upload, storage={"Path": str(path), "Type": "filestore"})
    async with store.create(upload):
        pass
    return upload


@contextlib.asynccontextmanager
async def held(
    store: RedisOffsets, upload_id: UploadId = ID
) -> AsyncIterator[tuple[RedisClaim, asyncio.Event]]:
    """Claim the upload; the event is set when it is wanted."""
    wanted = asyncio.Event()
    async with store.claim(upload_id, timeout_s=SOON_S) as claim:
        claim.on_wanted(wanted.set)
        yield claim, wanted


async def soon(event: asyncio.Event) -> None:
    """Wait for something that has to happen soon."""
    async with asyncio.timeout(SOON_S):
        await event.wait()
