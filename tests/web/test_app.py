"""The application: mounted anywhere, or alone with a greeting and plain errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from tusd_py import UPLOADS, Settings
from tusd_py.web.app import make_root

from .serving import PATCH, V, connected, memory_app, serving

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]


def mounted(*prefixes: str) -> web.Application:
    """Return an application with ours below all prefixes, the outermost first."""
    app = memory_app()
    for prefix in reversed(prefixes):
        outer = web.Application()
        outer.add_subapp(prefix, app)
        app = outer
    return app


@pytest.mark.parametrize(
    ("prefixes", "base_path"),
    [
        ((), "/"),
        (("/files",), "/files/"),
        (("/files/",), "/files/"),
        (("/anything/at/all/",), "/anything/at/all/"),
        (("/outer/", "/inner/"), "/outer/inner/"),
    ],
)
async def test_uploads_live_below_wherever_it_is_mounted(
    aiohttp_client: MakeClient, prefixes: tuple[str, ...], base_path: str
) -> None:
    """Location names the place where the application is mounted, and works from creation to GET."""
    client = await aiohttp_client(mounted(*prefixes))
    for creation in {base_path, base_path.rstrip("/") or "/"}:
        answer = await client.post(creation, headers=V | {"Upload-Length": "5"})
        assert answer.status == 201
        location = URL(answer.headers["Location"])
        assert str(location).startswith(f"http://127.0.0.1:{client.port}{base_path}")
        path = location.path
        at = {"Upload-Offset": "0"}
        assert (await client.patch(path, headers=PATCH | at, data=b"hello")).status == 204
        assert await (await client.get(path)).read() == b"hello"
        relative = {"Upload-Concat": f"final;{location.name}"}
        assert (await client.post(creation, headers=V | relative)).status == 400  # no partial
        assert (await client.delete(path, headers=V)).status == 204
        assert (await client.head(path, headers=V)).status == 404


async def test_other_routes_are_left_alone(aiohttp_client: MakeClient) -> None:
    """Beside the uploads an application serves what it likes."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/hello", hello)
    app.add_subapp("/files/", memory_app())
    client = await aiohttp_client(app)
    assert await (await client.get("/hello")).text() == "hello"
    assert "Tus-Resumable" not in (await client.get("/hello")).headers
    assert (await client.get("/other")).status == 404
    assert (await client.options("/files/")).headers["Tus-Version"] == "1.0.0"


async def test_two_of_them_do_not_know_each_other(aiohttp_client: MakeClient) -> None:
    """Two applications in one server keep their uploads apart."""
    app = web.Application()
    app.add_subapp("/a/", memory_app())
    app.add_subapp("/b/", memory_app())
    client = await aiohttp_client(app)
    answer = await client.post("/a/", headers=V | {"Upload-Length": "5"})
    name = URL(answer.headers["Location"]).name
    assert (await client.head(f"/a/{name}", headers=V)).status == 200
    assert (await client.head(f"/b/{name}", headers=V)).status == 404


async def test_the_service_can_be_reached_from_code() -> None:
    """Code that embeds the application finds the service under its key."""
    app = memory_app()
    assert app[UPLOADS] is not None


@pytest.fixture
async def alone(aiohttp_client: MakeClient) -> Client:
    """A client of the whole server, with uploads below /files/."""
    return await aiohttp_client(make_root(memory_app(), "/files/", greeting="hello\n"))


async def test_a_greeting_tells_what_it_is(alone: Client) -> None:
    """GET of the root answers a line of text."""
    answer = await alone.get("/")
    assert (answer.status, await answer.text()) == (200, "hello\n")
    assert answer.content_type == "text/plain"


@pytest.mark.parametrize("path", ["/x", "/files-x", "/filesx/", "/x/files/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_a_path_that_nobody_serves_is_404(alone: Client, path: str, method: str) -> None:
    """Outside the base path there is nothing, in the form of all other errors."""
    answer = await alone.request(method, path, headers=V)
    assert answer.status == 404
    assert await answer.text() == "ERR_UPLOAD_NOT_FOUND: there is nothing at this path\n"
    assert answer.content_type == "text/plain"


async def test_the_root_takes_nothing_but_get(alone: Client) -> None:
    """Another method on the greeting is 405 with what is allowed."""
    answer = await alone.post("/", headers=V)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert (await answer.text()).startswith("ERR_METHOD_NOT_ALLOWED: ")


async def test_without_a_greeting_the_root_is_404(aiohttp_client: MakeClient) -> None:
    """Switched off, the greeting is a path that nobody serves."""
    client = await aiohttp_client(make_root(memory_app(), "/files/", greeting=None))
    assert (await client.get("/")).status == 404
    assert (await client.options("/files/")).status == 200


async def test_at_the_root_everything_is_an_upload(aiohttp_client: MakeClient) -> None:
    """With the base path / there is no room for a greeting."""
    client = await aiohttp_client(make_root(memory_app(), "/", greeting="hello\n"))
    assert (await client.get("/")).status == 405
    answer = await client.post("/", headers=V | {"Upload-Length": "5"})
    assert len(URL(answer.headers["Location"]).name) == 32


@pytest.mark.parametrize(
    ("settings", "method", "path", "allowed"),
    [
        (Settings(), "GET", "/", "POST, OPTIONS"),
        (Settings(), "PUT", "/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (Settings(), "POST", "/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (Settings(disable_termination=True), "DELETE", "/x", "GET, HEAD, PATCH, OPTIONS"),
    ],
)
async def test_a_method_that_is_not_allowed_is_told_the_others(
    aiohttp_client: MakeClient, settings: Settings, method: str, path: str, allowed: str
) -> None:
    """405 lists what the URL takes."""
    client = await aiohttp_client(memory_app(settings))
    answer = await client.request(method, path, headers=V)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize("method", ["POST", "HEAD", "GET", "PATCH", "DELETE", "PUT"])
async def test_every_answer_names_the_version(aiohttp_client: MakeClient, method: str) -> None:
    """Tus-Resumable is in every answer, refusals among them, and none may be sniffed."""
    client = await aiohttp_client(memory_app())
    for path in ("/", "/missing", "/%00"):
        answer = await client.request(method, URL(path, encoded=True))
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_base_url_is_used_as_it_is(aiohttp_client: MakeClient) -> None:
    """A58: with a configured URL, Host and proxies have no say in Location."""
    client = await aiohttp_client(memory_app(Settings(base_path="https://up.example.org/files")))
    lies = {"Host": "evil", "X-Forwarded-Host": "evil"}
    answer = await client.post("/", headers=V | lies | {"Upload-Length": "5"})
    assert answer.headers["Location"].startswith("https://up.example.org/files/")


async def test_a_server_that_stops_ends_bodies_first() -> None:
    """At shutdown a running PATCH is answered 503, and what arrived of it is kept."""
    app = memory_app(own_server=True)
    async with serving(app) as port, connected(port) as peer:
        await peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n")
        await peer.send(b"Upload-Length: 10\r\n\r\n")
        created = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
        path = created.partition("http://x")[2].partition("\r\n")[0]
        fields = "".join(f"{k}: {v}\r\n" for k, v in PATCH.items()) + "Upload-Offset: 0\r\n"
        head = f"PATCH {path} HTTP/1.1\r\nHost: x\r\n{fields}Content-Length: 10\r\n\r\n"
        await peer.send(head.encode(), b"hello")
        app[UPLOADS].stop_bodies()
        status, text = await peer.answer()
        assert (status, text.split(b":")[0]) == (503, b"ERR_SERVER_SHUTDOWN")
        async with connected(port) as other:
            await other.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"Upload-Offset: 5\r\n" in await other.reader.readuntil(b"\r\n\r\n")
            await other.send(head.replace("Offset: 0", "Offset: 5").encode())
            assert (await other.answer())[0] == 503  # nothing new is begun
