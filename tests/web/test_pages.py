"""What is built for people to look at: served whole, hardened, and nothing beside it."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from tusd_py import Settings
from tusd_py.web.app import make_root
from tusd_py.web.pages import Pages
from tusd_py.wiring.pages import upload_page_routes

from .serving import V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]

PAGE = "<!doctype html><title>pages</title>"
SCRIPT = "console.log('hello')\n" * 100


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as Vite leaves it."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "upload.html").write_text(PAGE)
    (folder / "assets/upload-1a2b.js").write_text(SCRIPT)
    (tmp_path / "secret.js").write_text("nobody may read this")
    return folder


def _root(built: Path, **settings: Any) -> web.Application:
    given = Settings(**settings)
    routes = upload_page_routes(given, built)
    path = urlsplit(given.base_path).path
    return make_root(memory_app(), path, greeting="hello\n", routes=routes)


async def test_the_page_takes_the_place_of_the_greeting(
    aiohttp_client: MakeClient, built: Path
) -> None:
    """GET / is the page as it was built, asked for anew each time."""
    client = await aiohttp_client(_root(built))
    answer = await client.get("/")
    assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
    assert await answer.text() == PAGE
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_the_page_runs_nothing_but_its_own_assets(
    aiohttp_client: MakeClient, built: Path
) -> None:
    """Scripts and styles come from this server; nothing inline, no eval, no frame around it."""
    client = await aiohttp_client(_root(built))
    headers = (await client.get("/")).headers
    parts = headers["Content-Security-Policy"].split("; ")
    policy = dict(part.split(" ", 1) for part in parts)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_uploads_to_another_server_are_allowed_to_go_there(
    aiohttp_client: MakeClient, built: Path
) -> None:
    """With a URL as base path, the page may talk to that origin, and to no other."""
    url = "https://uploads.example.org:8443/files/"
    client = await aiohttp_client(_root(built, base_path=url))
    policy = (await client.get("/")).headers["Content-Security-Policy"]
    assert "; connect-src 'self' https://uploads.example.org:8443; " in policy
    assert (await (await client.get("/config.json")).json())["endpoint"] == url


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_assets_are_kept_for_ever(
    aiohttp_client: MakeClient, built: Path, coding: str
) -> None:
    """An asset has its type and its bytes, packed for who can unpack them, and never changes."""
    client = await aiohttp_client(_root(built), auto_decompress=False)
    asked = {"Accept-Encoding": coding}
    answer = await client.get("/assets/upload-1a2b.js", headers=asked)
    body = await answer.read()
    assert (gzip.decompress(body) if coding == "gzip" else body).decode() == SCRIPT
    assert answer.content_type == "text/javascript"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/assets/missing.js", "/assets/", "/assets/..%2fupload.html", "/assets/..%2f..%2fsecret.js"],
)
async def test_nothing_else_can_be_read(aiohttp_client: MakeClient, built: Path, path: str) -> None:
    """Whatever was not built is not there, however it is asked for."""
    client = await aiohttp_client(_root(built))
    assert (await client.get(path)).status == 404


async def test_the_page_is_told_the_limits(aiohttp_client: MakeClient, built: Path) -> None:
    """The settings that matter to the page are those of the server."""
    root = _root(
        built,
        max_size="10MB",
        allowed_types="image/*",
        allowed_extensions="png",
        pages_chunk_size="5MB",
        disable_download=True,
        auth_tokens_file="tokens.toml",
    )
    client = await aiohttp_client(root)
    answer = await client.get("/config.json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert await answer.json() == {
        "endpoint": "files/",
        "max_size": 10_000_000,
        "allowed_types": ["image/*"],
        "allowed_extensions": ["png"],
        "small_size": 64 * 1024,
        "chunk_size": 5_000_000,
        "downloads": False,
        "termination": True,
        "token": True,
    }


async def test_uploads_and_the_page_share_the_root(aiohttp_client: MakeClient, built: Path) -> None:
    """With the base path / the page is at GET /, and everything else there creates uploads."""
    client = await aiohttp_client(_root(built, base_path="/"))
    assert await (await client.get("/")).text() == PAGE
    created = await client.post("/", headers=V | {"Upload-Length": "5"})
    assert created.status == 201
    assert (await client.head(URL(created.headers["Location"]).path, headers=V)).status == 200
    assert (await client.options("/")).headers["Tus-Version"] == "1.0.0"
    assert (await (await client.get("/config.json")).json())["endpoint"] == "./"


@pytest.mark.parametrize("why", ["switched off", "not built"])
async def test_without_pages_the_greeting_stays(
    aiohttp_client: MakeClient, built: Path, tmp_path: Path, why: str
) -> None:
    """Without pages there is the line of text, and nothing to configure."""
    off = why == "switched off"
    root = _root(built, pages=False) if off else _root(tmp_path / "missing")
    client = await aiohttp_client(root)
    assert await (await client.get("/")).text() == "hello\n"
    assert (await client.get("/config.json")).status == 404


def test_a_page_that_was_not_built_is_a_mistake(built: Path) -> None:
    """Asking for a page by the wrong name fails at the start, not at the first request."""
    with pytest.raises(KeyError):
        Pages(built).routes({"/": "other.html"})
