"""One server receives an upload, another one tells how it stands: they share only the stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.support.events import STREAM, events_of
from tests.support.redis_server import running_redis
from tests.support.server import Server, running_server

V = {"Tus-Resumable": "1.0.0"}
PATCH = V | {"Content-Type": "application/offset+octet-stream"}
PIECE = b"x" * 4096
SOON_S = 30.0


@pytest.fixture(params=["directory", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two processes on one directory, as workers are, or two nodes with Redis."""
    with ExitStack() as stack:
        options: tuple[str, ...] = ()
        if request.param == "redis":
            options = ("--redis-url", stack.enter_context(running_redis()).url)
        one, two = (
            stack.enter_context(running_server(tmp_path / "uploads", *options)) for _ in range(2)
        )
        yield one, two
        assert (one.stop(), two.stop()) == (0, 0)


async def test_what_another_process_receives(pair: tuple[Server, Server]) -> None:
    """Its offset grows and has a speed, it ends as finished, and its body was never disturbed."""
    receives, tells = pair
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while (piece := await pieces.get()) is not None:
            sent += len(piece)
            yield piece

    async def watch(client: ClientSession, url: str) -> list[dict[str, Any]]:
        async with client.get(f"{url}?status", headers=STREAM) as stream:
            assert stream.status == 200
            async for event in events_of(stream):
                seen.append(event)  # noqa: PERF401 - each is looked at when it comes
        return seen

    seen: list[dict[str, Any]] = []
    async with (
        asyncio.timeout(SOON_S),
        ClientSession(connector=TCPConnector(force_close=True)) as client,
    ):
        made = await client.post(receives.url, headers=V | {"Upload-Defer-Length": "1"})
        upload = made.headers["Location"]
        there = tells.url + upload.rpartition("/")[2]
        patch = asyncio.create_task(
            client.patch(upload, headers=PATCH | {"Upload-Offset": "0"}, data=body())
        )
        watcher = asyncio.create_task(watch(client, there))
        while not any(event["speed"] for event in seen):
            pieces.put_nowait(PIECE)
            async with client.get(f"{there}?status") as answer:
                assert answer.status == 200
        pieces.put_nowait(None)
        assert (await patch).status == 204
        end = PATCH | {"Upload-Offset": str(sent), "Upload-Length": str(sent)}
        assert (await client.patch(upload, headers=end)).status == 204
        await watcher
    offsets = [event["offset"] for event in seen]
    assert offsets == sorted(offsets)
    assert {"uploading", "finished"} <= {event["state"] for event in seen}
    assert (seen[-1]["state"], seen[-1]["offset"], seen[-1]["last_id"]) == ("finished", sent, "end")
