"""A receiver that fails, hangs, lies and disappears, and a server that is killed, lose no event."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.hooks import receiving
from tests.support.nodes import Node
from tests.support.patient_client import PatientClient
from tests.support.redis_server import running_redis
from tusd_py.config import Settings
from tusd_py.interfaces import EventState
from tusd_py.wiring import make_outbox

UPLOADS = 60
ROUNDS = 12
# A lease of a dead process, and the longest pause after a few failures.
DELIVERED_WITHIN_S = 60.0


class Unreliable:
    """Receives events, and does with them whatever a receiver may do.

    Attributes:
        healthy: whether it does what it should.
        taken: payloads it has answered well, in order.
    """

    def __init__(self, chance: random.Random) -> None:
        self.healthy = False
        self.taken: list[Any] = []
        self._chance = chance

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take the event, or fail in one way or other."""
        payload = json.loads(await request.read())
        if self.healthy or self._chance.random() < 0.5:
            self.taken.append(payload)
            if self.healthy or self._chance.random() < 0.8:
                return web.json_response({})
        match self._chance.randrange(4):
            case 0:
                return web.Response(status=503)
            case 1:  # it disappears, perhaps after it has taken the event
                assert request.transport is not None
                request.transport.abort()
            case 2:
                await asyncio.sleep(self._chance.uniform(0.1, 2))
                return web.Response(status=500)
        self.taken.append(payload)  # any 2xx means that, whatever comes with it
        return web.Response(text="no JSON, and no reply to a hook")

    def types_of(self, upload_id: str) -> list[str]:
        """What it was told of an upload, without what it was told again."""
        told = {
            payload["Event"]["ID"]: payload["Type"]
            for payload in self.taken
            if payload["Event"]["Upload"]["ID"] == upload_id
        }
        return list(told.values())


@pytest.fixture(params=["files", "redis"])
def store_options(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Where records and events are kept."""
    if request.param == "files":
        yield []
        return
    with running_redis("--appendonly", "yes") as redis:
        yield ["--redis-url", redis.url, "--redis-lease", "2s"]


@contextlib.asynccontextmanager
async def uploading(port: Callable[[], int], deleted: int) -> AsyncIterator[list[PatientClient]]:
    """Let clients upload; the first of them delete what they have uploaded."""
    clients = [PatientClient(port=port, seed=n, size=1000 + n) for n in range(UPLOADS)]

    async def run(client: PatientClient, *, then_delete: bool) -> None:
        await asyncio.sleep(client.seed * 0.1)
        await client.run()
        if then_delete:
            await client.delete()

    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        for number, client in enumerate(clients):
            tasks.create_task(run(client, then_delete=number < deleted))
        yield clients


async def wait_delivered(settings: Settings, known: set[str]) -> None:
    """Wait until everything has been delivered that is to be.

    What a creation has prepared that was cut short, and that no client was told of, is settled
    when the search for orphans finds its record.
    """
    outbox = make_outbox(settings)
    await outbox.open()
    try:
        async with asyncio.timeout(DELIVERED_WITHIN_S):
            while any(  # noqa: ASYNC110 - it is another process that changes
                entry.state is EventState.PENDING or entry.event.upload.id in known
                for entry in await outbox.entries(10_000)
            ):
                await asyncio.sleep(0.2)
    finally:
        await outbox.close()


async def test_no_event_is_lost(tmp_path: Path, store_options: list[str]) -> None:
    """Whatever was acknowledged is told, in order, under one id; nothing else is told."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    receiver = Unreliable(chance)
    deleted = UPLOADS // 3
    async with receiving(receiver.handle) as url:
        node = Node(
            tmp_path / "data",
            *store_options,
            *("--hooks-http", url, "--hooks-http-retry", "1", "--hooks-http-timeout", "1s"),
            *("--hooks-enabled-events", "post-create,post-finish,post-terminate"),
        )
        node.start()
        try:
            async with uploading(lambda: node.port, deleted) as clients:
                for _ in range(ROUNDS):
                    await asyncio.sleep(chance.uniform(0.05, 0.5))
                    await asyncio.to_thread(node.end, signal.SIGKILL)
                    await asyncio.to_thread(node.start)
            receiver.healthy = True
            redis_url = store_options[1] if store_options else None
            known = {client.path.removeprefix("/files/") for client in clients}
            settings = Settings(upload_dir=tmp_path / "data", redis_url=redis_url)
            await wait_delivered(settings, known)
        finally:
            await asyncio.to_thread(node.end, signal.SIGKILL)
    for number, client in enumerate(clients):
        ending = ["post-terminate"] if number < deleted else []
        told = receiver.types_of(client.path.removeprefix("/files/"))
        assert told == ["post-create", "post-finish", *ending], client.path
