"""The API of operators: what it shows and does, and whom it lets in."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tusd_py import Settings, SettingsError, Stores, create_admin_app, create_app
from tusd_py.data.memory import MemoryData
from tusd_py.hooks.outbox_memory import MemoryOutbox
from tusd_py.interfaces import Entry, HookEvent, HookType
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.protocol.metadata import parse_metadata
from tusd_py.protocol.model import Final, Partial, Upload, UploadId

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
CHANGE = {"X-Requested-With": "test"}
TOKEN = "-".join(["token"] * 4)


@dataclass(frozen=True)
class Operator:
    """A client of the API, and the stores behind it."""

    client: Client
    stores: Stores
    told: list[HookEvent]

    async def add(self, name: str, **fields: Any) -> Upload:
        """Make an upload."""
        upload = Upload(**{"id": UploadId(name), "length": 10, "created_at": time.time(), **fields})
        upload = replace(upload, storage=self.stores.data.place(upload.id))
        async with self.stores.offsets.create(upload):
            await self.stores.data.create(upload, b"x" * upload.offset)
        return upload

    async def ids(self, query: str = "") -> list[str]:
        """List."""
        answer = await self.client.get(f"/api/uploads{query}")
        assert answer.status == 200, await answer.text()
        return [upload["id"] for upload in (await answer.json())["uploads"]]


@pytest.fixture
async def operator(aiohttp_client: MakeClient) -> Operator:
    """An operator of an application in memory, which is told of what is removed."""
    told: list[HookEvent] = []

    async def note(event: HookEvent) -> None:
        told.append(event)

    stores = Stores(MemoryOffsets(), MemoryData(), outbox=MemoryOutbox())
    app = create_app(stores=stores, hooks={"post-terminate": note, "post-expire": note})
    await aiohttp_client(app)
    return Operator(await aiohttp_client(create_admin_app(app)), stores, told)


async def test_an_empty_server_has_an_empty_list(operator: Operator) -> None:
    """There is nothing, and no next page."""
    answer = await operator.client.get("/api/uploads")
    assert await answer.json() == {"uploads": [], "cursor": None}
    assert answer.headers["Cache-Control"] == "no-store"


async def test_filters(operator: Operator) -> None:
    """By state, kind, owner and age, and all of them together."""
    now = time.time()
    await operator.add("a", owner="anna", created_at=now - 100)
    await operator.add("b", owner="berta", offset=3, kind=Partial(), created_at=now - 10)
    await operator.add("c", offset=10, finished=True)
    await operator.add("d", owner="anna", expires_at=now - 1, created_at=None)
    parts = (UploadId("b"),)
    await operator.add("e", kind=Final(parts=parts), length=None)
    for query, ids in {
        "": "abcde",
        "?state=created": "a",
        "?state=created,finished": "ac",
        "?state=uploading": "b",
        "?state=expired": "d",
        "?state=assembling": "e",
        "?kind=partial": "b",
        "?kind=partial,final": "be",
        "?owner=anna": "ad",
        "?owner=anna&state=expired": "d",
        "?owner=nobody": "",
        "?older_than=50": "a",
        "?younger_than=50": "bce",
        "?older_than=5&younger_than=50": "b",
    }.items():
        assert await operator.ids(query) == list(ids), query


async def test_pages(operator: Operator) -> None:
    """Each upload is on one page, also when others come and go meanwhile."""
    names = [f"{number:02}" for number in range(25)]
    for name in names:
        await operator.add(name)
    seen, cursor, pages = [], "", 0
    while True:
        answer = await operator.client.get(f"/api/uploads?limit=10&cursor={cursor}")
        page = await answer.json()
        seen += [upload["id"] for upload in page["uploads"]]
        pages += 1
        if (cursor := page["cursor"]) is None:
            break
        answer = await operator.client.delete(f"/api/uploads/{seen[-1]}", headers=CHANGE)
        assert answer.status == 204
        await operator.add(f"00-{pages}")
    assert (seen, pages) == (names, 3)


async def test_a_page_ends_before_it_takes_too_long(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However rare what is asked for is; the cursor goes on from there."""
    monkeypatch.setattr("tusd_py.service.administration.MOST_LOOKED_AT", 2)
    for name in "abcde":
        await operator.add(name, owner=name)
    found, cursors, cursor = [], [], ""
    while True:
        answer = await operator.client.get(f"/api/uploads?owner=d&cursor={cursor}")
        page = await answer.json()
        found += [upload["id"] for upload in page["uploads"]]
        cursors.append(cursor := page["cursor"])
        if cursor is None:
            break
    assert (found, cursors) == (["d"], ["b", "d", None])


async def test_show(operator: Operator) -> None:
    """One of any id, with what only operators see; what is missing or no id is 404."""
    metadata = parse_metadata("filename YQ==")
    await operator.add("in/a/folder", owner="anna", offset=4, metadata=metadata, expires_at=2e9)
    answer = await operator.client.get("/api/uploads/in/a/folder")
    shown = await answer.json()
    assert shown.pop("created")
    assert shown.pop("updated")
    assert shown == {
        "id": "in/a/folder",
        "state": "uploading",
        "kind": "whole",
        "offset": 4,
        "length": 10,
        "progress": 40.0,
        "speed": None,
        "eta": None,
        "metadata": {"filename": "a"},
        "expires": "2033-05-18T03:33:20Z",
        "owner": "anna",
        "storage": {"Type": "memorystore"},
        "parts": [],
    }
    for path in ("missing", "..%2fx", "a.info"):
        answer = await operator.client.get(f"/api/uploads/{path}")
        assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "path", "event"),
    [
        ("DELETE", "/api/uploads/a", HookType.POST_TERMINATE),
        ("POST", "/api/uploads/a/expire", HookType.POST_EXPIRE),
    ],
)
async def test_removing(operator: Operator, method: str, path: str, event: HookType) -> None:
    """Record and bytes go, hooks are told, and who holds the upload is asked to leave."""
    upload = await operator.add("a", offset=4)
    answer = await operator.client.request(method, path)
    assert answer.status == 403
    assert await operator.ids() == ["a"]
    answer = await operator.client.request(method, path, headers=CHANGE)
    assert (answer.status, await answer.text()) == (204, "")
    assert await operator.ids() == []
    assert await operator.stores.data.touched([upload]) == [None]
    answer = await operator.client.request(method, path, headers=CHANGE)
    assert answer.status == 404
    while not operator.told:  # the timeout of tests bounds it
        await operator.client.get("/healthz")
    assert [(told.type, told.upload.id) for told in operator.told] == [(event, "a")]


async def test_events(operator: Operator) -> None:
    """What was not delivered is shown, counted, and delivered when that is wanted."""
    upload = await operator.add("a")
    event = HookEvent(type=HookType.POST_FINISH, upload=upload, request=None, at=1.7e9)
    outbox = operator.stores.outbox
    entry = Entry(event=event, receiver="elsewhere")
    await outbox.prepare([entry], 1.7e9)
    await outbox.confirm([event])
    await outbox.lease(1.7e9, 1e10, 10)
    await outbox.give_up(entry, error="503")
    answer = await operator.client.get("/api/events?limit=10")
    assert await answer.json() == {
        "events": [
            {
                "event": event.id,
                "type": "post-finish",
                "upload": "a",
                "receiver": "elsewhere",
                "state": "given up",
                "happened": "2023-11-14T22:13:20Z",
                "attempts": 1,
                "due": "1970-01-01T00:00:00Z",
                "error": "503",
            }
        ],
        "counts": {"prepared": 0, "pending": 0, "given up": 1},
    }
    for which, due in (("unknown", 0), (event.id, 1)):
        answer = await operator.client.post("/api/events/retry", json={"event": which})
        assert await answer.json() == {"due": due}


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("GET", "/api/uploads?state=done", None, "state: input should be 'created', "),
        ("GET", "/api/uploads?limit=0", None, "limit: input should be greater than"),
        ("GET", "/api/uploads?limit=1001", None, "limit: input should be less than"),
        ("GET", "/api/uploads?older_than=-1", None, "older_than: "),
        ("GET", "/api/uploads?limit=5&limit=6", None, "a parameter was given twice"),
        ("GET", "/api/uploads?page=2", None, "an unknown field: "),
        ("GET", "/api/events?limit=x", None, "limit: "),
        ("POST", "/api/events/retry", "{", "the body must be JSON"),
        ("POST", "/api/events/retry", "[" * 100_000, "the body must be JSON"),
        ("POST", "/api/events/retry", "\udcff", "the body must be JSON"),
        ("POST", "/api/events/retry", "{}", "event: field required"),
        ("POST", "/api/events/retry", "[]", "an unknown field: "),
        ("POST", "/api/events/retry", '{"event": false}', "event: "),
        ("POST", "/api/events/retry", '{"event": "a", "<b>": 1}', "an unknown field: "),
    ],
)
async def test_bad_input(
    operator: Operator, method: str, path: str, body: str | None, sentence: str
) -> None:
    """One sentence, which repeats nothing that was sent."""
    data = None if body is None else body.encode(errors="surrogateescape")
    headers = {"Content-Type": "application/json"}
    answer = await operator.client.request(method, path, data=data, headers=headers)
    text = await answer.text()
    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert text.startswith(f"ERR_BAD_REQUEST: {sentence}")
    assert "<b>" not in text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:9000"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "admin.localhost"}, 200),
        ({"Host": "Admin.Example"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "evil.example@localhost"}, 403),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 200),
        ({"Host": "127.0.0.1", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1", "Origin": "null"}, 403),
    ],
)
async def test_pages_of_others_are_kept_out(
    aiohttp_client: MakeClient, headers: dict[str, str], status: int
) -> None:
    """No name that was made to lead here, and no page of another origin."""
    app = create_app(
        Settings(admin_hosts=("admin.example",)), stores=Stores(MemoryOffsets(), MemoryData())
    )
    await aiohttp_client(app)
    client = await aiohttp_client(create_admin_app(app))
    assert (await client.get("/api/uploads", headers=headers)).status == status
    assert (await client.get("/healthz", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ({"Content-Type": "application/json"}, 404),
        ({"Content-Type": "application/json; charset=utf-8"}, 404),
        (CHANGE, 404),
    ],
)
async def test_a_form_of_another_site_changes_nothing(
    operator: Operator, headers: dict[str, str], status: int
) -> None:
    """Only what needs a preflight does, and that is never granted."""
    answer = await operator.client.post("/api/uploads/a/expire", data=b"", headers=headers)
    assert answer.status == status
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "DELETE"}
    answer = await operator.client.options("/api/uploads/a", headers=preflight)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_a_token(aiohttp_client: MakeClient, tmp_path: Path) -> None:
    """With a file of tokens nothing of the API is to be had without one of them."""
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\nanother-token-of-good-length\n")
    app = create_app(Settings(admin_token_file=file), stores=Stores(MemoryOffsets(), MemoryData()))
    await aiohttp_client(app)
    client = await aiohttp_client(create_admin_app(app))
    for path in ("/api/uploads", "/api/events", "/api/openapi.json", "/api/uploads/a"):
        answer = await client.get(path)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        for wrong in ("Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer \xff"):
            answer = await client.get(path, headers={"Authorization": wrong})
            assert answer.status == 401
    for token in (TOKEN, "another-token-of-good-length"):
        answer = await client.get("/api/uploads", headers={"Authorization": f"bearer {token}"})
        assert answer.status == 200
    assert (await client.get("/healthz")).status == 200


@pytest.mark.parametrize("content", [None, "", "short\n", f"{TOKEN}\nshort\n"])
def test_a_bad_file_of_tokens_is_an_error_at_the_start(tmp_path: Path, content: str | None) -> None:
    """It names the setting, and no token."""
    file = tmp_path / "tokens"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=r"^admin-token-file: ") as caught:
        create_app(Settings(admin_token_file=file), stores=Stores(MemoryOffsets(), MemoryData()))
    assert TOKEN not in str(caught.value)
