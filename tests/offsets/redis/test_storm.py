"""Many nodes and uploads, while Redis is flushed, killed, stopped and cut off at random."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.protocol.errors import ClaimLost, StoreUnavailable, UploadLocked
from tusd_py.protocol.model import Upload, UploadId

from .conftest import StartNode, add

IDS = [UploadId(name) for name in "abc"]
NODES = 3
BLOWS = 14
PEACE_S = 0.12


class Client:
    """Appends one byte after the other to an upload, and remembers what it was promised."""

    def __init__(self, upload_id: UploadId) -> None:
        self.acknowledged = 0
        self._id = upload_id

    async def append(self, store: RedisOffsets, chance: random.Random) -> None:
        """Append a byte through one node; whatever may go wrong may go wrong."""
        with contextlib.suppress(StoreUnavailable, ClaimLost, UploadLocked):
            async with store.claim(self._id, timeout_s=2) as claim:
                offset = claim.upload.offset
                assert offset >= self.acknowledged, "an acknowledged offset went back"
                _write(claim.upload.storage["Path"], offset)
                saved = replace(claim.upload, offset=offset + 1)
                await claim.save(saved, release=chance.random() < 0.5)
                self.acknowledged = max(self.acknowledged, offset + 1)


def _write(path: str, offset: int) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"x", offset)
    os.close(fd)


def _restart(server: RedisServer) -> None:
    server.kill()
    server.start()


async def _pause(server: RedisServer) -> None:
    server.pause()
    await asyncio.sleep(PEACE_S * 2)
    server.resume()


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_acknowledged_offset_goes_back(
    start: StartNode, own_server: RedisServer, directory: Path, seed: int
) -> None:
    """I1: whatever happens to Redis, each offset that was saved is found again, by every node."""
    chance = random.Random(seed)  # noqa: S311 - repeatable
    stores = [await start(lease_s=1, timeout_s=0.2) for _ in range(NODES)]
    clients = {upload_id: Client(upload_id) for upload_id in IDS}
    for upload_id in IDS:
        await add(stores[0], directory, Upload(id=upload_id, length=10**6))
    over = asyncio.Event()

    async def work(client: Client, store: RedisOffsets) -> None:
        while not over.is_set():
            await client.append(store, chance)
            await asyncio.sleep(0)

    blows: list[Callable[[], object]] = [
        lambda: own_server.ask("FLUSHALL"),
        lambda: own_server.ask("SCRIPT", "FLUSH"),
        lambda: own_server.ask("CLIENT", "KILL", "TYPE", "normal"),
        lambda: own_server.ask("CLIENT", "KILL", "TYPE", "pubsub"),
        lambda: _restart(own_server),
    ]
    async with asyncio.TaskGroup() as group:
        for client in clients.values():
            for store in stores:
                group.create_task(work(client, store))
        for _ in range(BLOWS):
            await asyncio.sleep(PEACE_S)
            if chance.random() < 0.2:
                await _pause(own_server)
            else:
                chance.choice(blows)()
        await asyncio.sleep(1)
        over.set()
    for upload_id, client in clients.items():
        assert client.acknowledged > BLOWS
        for store in stores:
            assert (await store.get(upload_id)).offset >= client.acknowledged
