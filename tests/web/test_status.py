"""The status of an upload over HTTP: for its owner, at once and as it moves, without a claim."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.support.events import STREAM, events_of
from tusd_py import UPLOADS, Access, Settings, create_app
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import Operation
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.protocol.errors import Unauthorized, UploadDamaged
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.service.status import State, describe
from tusd_py.service.watching import Watching
from tusd_py.web.status import StatusBody
from tusd_py.wiring import Stores

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
SOON_S = 5.0


async def create(client: Client, length: int | None, **fields: str) -> str:
    """Create an upload and return its path."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    answer = await client.post("/", headers=V | size | fields)
    assert answer.status == 201, await answer.text()
    return URL(answer.headers["Location"]).path


async def status_of(client: Client, path: str, **headers: str) -> dict[str, Any]:
    """Ask for the status."""
    answer = await client.get(f"{path}?status", headers=headers)
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = await answer.json()
    return found


class Sending:
    """A body that goes on when the test says so."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def body(self) -> AsyncIterator[bytes]:
        """What is sent."""
        while (piece := await self.pieces.get()) is not None:
            yield piece


async def test_the_life_of_an_upload(aiohttp_client: MakeClient) -> None:
    """Created, uploading, finished; every field is there each time."""
    client = await aiohttp_client(memory_app(Settings(expire_after=3600)))
    name = base64.b64encode("Käse.txt".encode()).decode()
    path = await create(client, 10, **{"Upload-Metadata": f"filename {name},flag"})
    found = await status_of(client, path)
    assert found["created"] <= found["expires"]
    assert found["created"].endswith("Z")
    times = {key: found.pop(key) for key in ("created", "expires", "updated")}
    assert None not in times.values()
    assert found == {
        "id": path.rpartition("/")[2],
        "state": "created",
        "kind": "whole",
        "offset": 0,
        "length": 10,
        "progress": 0,
        "speed": None,
        "eta": None,
        "metadata": {"filename": "Käse.txt", "flag": ""},
    }
    await client.patch(path, headers=PATCH | {"Upload-Offset": "0"}, data=b"abc")
    found = await status_of(client, path)
    assert (found["state"], found["offset"], found["progress"]) == ("uploading", 3, 30)
    await client.patch(path, headers=PATCH | {"Upload-Offset": "3"}, data=b"defghij")
    found = await status_of(client, path)
    assert (found["state"], found["offset"], found["progress"]) == ("finished", 10, 100)
    assert (found["expires"], found["eta"]) == (None, None)


async def test_a_json_file_is_still_downloaded(aiohttp_client: MakeClient) -> None:
    """Whatever a client accepts: only the query asks for the status, and for nothing else."""
    client = await aiohttp_client(memory_app())
    path = await create(
        client,
        2,
        **{"Upload-Metadata": f"filetype {base64.b64encode(b'application/json').decode()}"},
    )
    await client.patch(path, headers=PATCH | {"Upload-Offset": "0"}, data=b"{}")
    for accept in ("application/json", "application/json, text/plain, */*", "text/event-stream"):
        for query in ("", "?state", "?a=status"):
            answer = await client.get(path + query, headers={"Accept": accept})
            assert (answer.status, await answer.read()) == (200, b"{}")
            assert answer.content_type == "application/json"
    answer = await client.head(f"{path}?status", headers=V)
    assert answer.headers["Upload-Offset"] == "2"


async def test_the_status_needs_no_downloads(aiohttp_client: MakeClient) -> None:
    """To know how far it is, is not to read it."""
    client = await aiohttp_client(memory_app(Settings(disable_download=True)))
    path = await create(client, 2)
    assert (await client.get(path)).status == 405
    assert (await status_of(client, path))["offset"] == 0


async def test_who_watches_disturbs_nobody(aiohttp_client: MakeClient) -> None:
    """While a body streams, its bytes are counted, and it goes on to its end."""
    client = await aiohttp_client(memory_app())
    path = await create(client, 9)
    sending = Sending()
    patch = asyncio.create_task(
        client.patch(path, headers=PATCH | {"Upload-Offset": "0"}, data=sending.body())
    )
    for piece, offset in ((b"abc", 3), (b"def", 6)):
        sending.pieces.put_nowait(piece)
        async with asyncio.timeout(SOON_S):
            while (found := await status_of(client, path))["offset"] != offset:
                pass
        assert found["state"] == "uploading"
        assert found["speed"] > 0
        assert found["eta"] is not None
    sending.pieces.put_nowait(b"ghi")
    sending.pieces.put_nowait(None)
    assert (await patch).status == 204


async def test_a_stream_ends_with_the_upload(aiohttp_client: MakeClient) -> None:
    """Events come while the body does; the last one is that it is finished, and is marked so."""
    client = await aiohttp_client(memory_app())
    path = await create(client, 9)
    sending = Sending()
    seen = []
    async with asyncio.timeout(4 * SOON_S), client.get(f"{path}?status", headers=STREAM) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert stream.headers["X-Accel-Buffering"] == "no"
        patch = None
        async for event in events_of(stream):
            seen.append(event)
            if patch is None:
                patch = asyncio.create_task(
                    client.patch(path, headers=PATCH | {"Upload-Offset": "0"}, data=sending.body())
                )
                sending.pieces.put_nowait(b"abc")
            elif event["offset"] == 3 and sending.pieces.empty():
                sending.pieces.put_nowait(b"defghi")
                sending.pieces.put_nowait(None)
        assert patch is not None
        assert (await patch).status == 204
    assert [event["offset"] for event in seen] == sorted(event["offset"] for event in seen)
    assert {"created", "uploading", "finished"} >= {event["state"] for event in seen}
    assert (seen[0]["state"], seen[0]["last_id"]) == ("created", None)
    assert (seen[-1]["state"], seen[-1]["offset"]) == ("finished", 9)
    assert (seen[-1]["event"], seen[-1]["last_id"]) == ("status", "end")
    assert 3 in {event["offset"] for event in seen}


async def test_a_browser_that_comes_again_is_told_to_stop(aiohttp_client: MakeClient) -> None:
    """204 ends an EventSource; it comes again by itself after each end of a stream."""
    client = await aiohttp_client(memory_app())
    path = await create(client, 0)
    async with client.get(f"{path}?status", headers=STREAM) as stream:
        (event,) = [event async for event in events_of(stream)]
    assert event["state"] == "finished"
    again = STREAM | {"Last-Event-ID": event["last_id"]}
    assert (await client.get(f"{path}?status", headers=again)).status == 204


async def test_a_stream_ends_when_the_upload_is_removed(aiohttp_client: MakeClient) -> None:
    """The last event says that it is gone."""
    client = await aiohttp_client(memory_app())
    path = await create(client, 9)
    async with asyncio.timeout(SOON_S), client.get(f"{path}?status", headers=STREAM) as stream:
        states = []
        async for event in events_of(stream):
            states.append((event["state"], event["last_id"]))
            if len(states) == 1:
                assert (await client.delete(path, headers=V)).status == 204
    assert states == [("created", None), ("gone", "end")]


async def test_a_stream_ends_when_the_server_does(aiohttp_client: MakeClient) -> None:
    """In order, and without the mark: the client comes again, to the next server."""
    app = memory_app()
    client = await aiohttp_client(app)
    path = await create(client, 9)
    async with asyncio.timeout(SOON_S), client.get(f"{path}?status", headers=STREAM) as stream:
        events = []
        async for event in events_of(stream):
            events.append(event)
            app[UPLOADS].stop_bodies()
    assert [event["last_id"] for event in events] == [None]


async def test_foreign_looks_like_missing(aiohttp_client: MakeClient) -> None:
    """Row A52 for the status, both ways; who may not ask at all is told that first."""
    asked = []

    async def authorize(access: Access) -> str:
        asked.append((access.operation, access.upload is not None))
        if (name := access.request.headers.get("X-User")) is None:
            raise Unauthorized
        return name[0]

    client = await aiohttp_client(memory_app(authorize=authorize))
    path = await create(client, 9, **{"X-User": "anna"})
    missing = path.rpartition("/")[0] + "/missing"
    for headers in ({}, STREAM):
        assert (await client.get(f"{path}?status", headers=headers)).status == 401
        assert (await client.get(f"{missing}?status", headers=headers)).status == 401
        for user, where in (("berta", path), ("anna", missing), ("berta", missing)):
            answer = await client.get(f"{where}?status", headers={**headers, "X-User": user})
            assert (answer.status, await answer.text()) == (
                404,
                "ERR_UPLOAD_NOT_FOUND: Upload not found.\n",
            )
    asked.clear()
    assert (await status_of(client, path, **{"X-User": "anna"}))["length"] == 9
    assert asked == [(Operation.WATCH, True)]


async def test_streams_are_bounded(
    aiohttp_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more than there may be is refused, and one is let in when another has ended."""
    monkeypatch.setattr("tusd_py.web.status.MOST_STREAMS", 1)
    client = await aiohttp_client(memory_app())
    path = await create(client, 9)
    async with client.get(f"{path}?status", headers=STREAM) as stream:
        assert await anext(events_of(stream))
        answer = await client.get(f"{path}?status", headers=STREAM)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert (await status_of(client, path))["offset"] == 0
    async with asyncio.timeout(SOON_S):
        while True:
            async with client.get(f"{path}?status", headers=STREAM) as stream:
                if stream.status == 200:
                    break


class DamagedOffsets(MemoryOffsets):
    """Says of every upload that its bytes are missing."""

    async def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        upload = await super().get(upload_id, damaged=damaged)
        if not damaged:
            raise UploadDamaged
        return replace(upload, offset=0)


async def test_a_damaged_upload_has_failed(aiohttp_client: MakeClient) -> None:
    """Its owner sees which one it was, by its metadata."""
    app = create_app(stores=Stores(DamagedOffsets(), MemoryData()))
    client = await aiohttp_client(app)
    path = await create(client, 9, **{"Upload-Metadata": "a YQ=="})
    found = await status_of(client, path)
    assert (found["state"], found["metadata"]) == ("failed", {"a": "a"})
    async with client.get(f"{path}?status", headers=STREAM) as stream:
        assert [event["state"] async for event in events_of(stream)] == ["failed"]


@pytest.mark.parametrize(
    ("upload", "updated_at", "state"),
    [
        (Upload(id=UploadId("a"), length=10), 100.0, State.CREATED),
        (Upload(id=UploadId("a"), length=10, offset=1), 96.0, State.UPLOADING),
        (Upload(id=UploadId("a"), length=10, offset=1), 95.0, State.IDLE),
        (Upload(id=UploadId("a"), length=10, offset=1), None, State.IDLE),
        (Upload(id=UploadId("a"), length=10, offset=1, expires_at=100.0), 99.0, State.EXPIRED),
        (Upload(id=UploadId("a"), length=10, offset=10, finished=True), 1.0, State.FINISHED),
        (Upload(id=UploadId("a"), length=10, offset=10), 1.0, State.IDLE),
    ],
)
def test_states(upload: Upload, updated_at: float | None, state: State) -> None:
    """Bytes within five seconds make it uploading, at whichever process they came."""
    found = describe(upload, now=100.0, updated_at=updated_at)
    assert found.state is state
    assert json.loads(StatusBody.of(found).text)["state"] == state.value


async def test_a_stream_without_changes_stays_alive(
    aiohttp_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment now and then, for the proxies between."""
    monkeypatch.setattr("tusd_py.web.status.ALIVE_S", 0.0)
    monkeypatch.setattr("tusd_py.service.watching.LOOK_EVERY_S", 0.01)
    client = await aiohttp_client(memory_app())
    path = await create(client, 9)
    async with asyncio.timeout(SOON_S), client.get(f"{path}?status", headers=STREAM) as stream:
        async for line in stream.content:
            if line == b": still there\n":
                break


async def test_a_permission_that_was_withdrawn_ends_a_stream(
    aiohttp_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for again while somebody watches."""
    monkeypatch.setattr("tusd_py.service.watching._ASK_AGAIN_S", 0.0)
    monkeypatch.setattr("tusd_py.service.watching.LOOK_EVERY_S", 0.01)
    allowed = ["yes"]

    async def authorize(access: Access) -> str:
        if not allowed:
            raise Unauthorized
        return "anna"

    client = await aiohttp_client(memory_app(authorize=authorize))
    path = await create(client, 9)
    async with asyncio.timeout(SOON_S), client.get(f"{path}?status", headers=STREAM) as stream:
        marks = []
        async for event in events_of(stream):
            marks.append(event["last_id"])
            allowed.clear()
    assert marks == [None]


def test_an_application_can_watch_its_own_uploads() -> None:
    """The service has what the pages show, for code that embeds it."""
    app: web.Application = memory_app()
    assert isinstance(app[UPLOADS].watching, Watching)
