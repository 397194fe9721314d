"""CORS: said on every answer, for the pages that may use the server and for no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDictProxy

from tusd_py import Settings
from tusd_py.protocol.errors import OriginNotAllowed
from tusd_py.web.cors import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS, Cors

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
PAGE = {"Origin": "https://page.example.org"}


def policy(origin: str = ".*", *, credentials: bool = False) -> Cors:
    """Return a policy that adds one name to each list."""
    return Cors.of(
        origin=origin,
        credentials=credentials,
        methods=("PUT",),
        request_headers=("X-Ours",),
        response_headers=("X-Theirs",),
        max_age_s=60,
    )


def names(headers: CIMultiDictProxy[str], name: str) -> set[str]:
    """Return the elements of a list."""
    return set(headers[name].split(", "))


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        # realistic
        (".*", "https://a.example.org", True),
        (".*", "null", True),
        (r"https://(.*\.)?example\.org", "https://a.example.org", True),
        (r"https://example\.org", "https://example.org", True),
        # pathological
        (r"https://example\.org", "https://example.org.evil.com", False),
        (r"https://example\.org", "evil-https://example.org", False),
        (r"https://example\.org", "https://exampleXorg", False),
        (r"https://example\.org", "https://EXAMPLE.org", False),
        (r"https://example\.org", "https://example.org\n", False),
        (r"https://example\.org", "null", False),
        (r"https://example\.org", "", False),
        (".*", "https://\udcff", False),
        (".*", "https://\u00e9", False),
    ],
)
def test_the_whole_origin_has_to_match(pattern: str, origin: str, *, allowed: bool) -> None:
    """An origin that only begins, ends or looks like an allowed one is refused, and not echoed."""
    cors = policy(pattern)
    headers = cors.headers_for(origin, preflight=False)
    assert headers["Vary"] == "Origin"
    assert headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    if allowed:
        cors.check(origin)
    else:
        with pytest.raises(OriginNotAllowed):
            cors.check(origin)


def test_who_names_no_origin_is_no_page() -> None:
    """Requests that no page makes are let through, and told nothing."""
    cors = policy("https://one")
    cors.check(None)
    assert cors.headers_for(None, preflight=True) == {"Vary": "Origin"}


def test_a_preflight_lists_what_may_be_sent() -> None:
    """A preflight lists methods, headers and how long that holds; '*' would not do."""
    headers = policy().headers_for("https://a", preflight=True)
    assert headers["Access-Control-Allow-Methods"] == ", ".join((*METHODS, "PUT"))
    assert headers["Access-Control-Allow-Headers"] == ", ".join((*REQUEST_HEADERS, "X-Ours"))
    assert headers["Access-Control-Max-Age"] == "60"
    assert "Access-Control-Expose-Headers" not in headers
    assert "Authorization" in REQUEST_HEADERS


def test_other_answers_list_what_may_be_read() -> None:
    """Any other answer lists the headers that a page may read."""
    headers = policy().headers_for("https://a", preflight=False)
    assert headers["Access-Control-Expose-Headers"] == ", ".join((*RESPONSE_HEADERS, "X-Theirs"))
    assert "Access-Control-Allow-Methods" not in headers
    assert "Access-Control-Allow-Credentials" not in headers


def test_credentials_are_allowed_by_name() -> None:
    """With credentials the answer names the one origin that asked."""
    headers = policy("https://a", credentials=True).headers_for("https://a", preflight=False)
    assert headers["Access-Control-Allow-Origin"] == "https://a"
    assert headers["Access-Control-Allow-Credentials"] == "true"


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> Client:
    """A client of an application for the pages of one origin."""
    return await aiohttp_client(memory_app(Settings(max_size=1000)))


async def new_upload(client: Client) -> str:
    """Create an upload and return its path."""
    answer = await client.post("/", headers=V | PAGE | {"Upload-Length": "3"})
    assert answer.status == 201
    return answer.headers["Location"].partition(f":{client.port}")[2]


async def test_every_answer_says_it(client: Client) -> None:
    """Success or refusal, whatever the method: a page can read every answer and its headers."""
    path = await new_upload(client)
    at = {"Upload-Offset": "0"}
    cases: list[tuple[int, str, str, dict[str, str], bytes]] = [
        (201, "POST", "/", V | {"Upload-Length": "5"}, b""),
        (200, "HEAD", path, V, b""),
        (400, "GET", path, {}, b""),
        (409, "PATCH", path, PATCH | {"Upload-Offset": "1"}, b"abc"),
        (413, "PATCH", path, PATCH | at, b"abcd"),
        (204, "PATCH", path, PATCH | at, b"abc"),
        (200, "GET", path, {}, b""),
        (416, "GET", path, {"Range": "bytes=9-"}, b""),
        (204, "DELETE", path, V, b""),
        (404, "GET", path, {}, b""),
        (404, "HEAD", "/..%2f", V, b""),
        (405, "PUT", path, V, b""),
        (412, "POST", "/", {}, b""),
        (413, "POST", "/", V | {"Upload-Length": "1001"}, b""),
        (415, "PATCH", path, V | at, b"abc"),
        (417, "PATCH", path, PATCH | {"Expect": "x"}, b""),
    ]
    for status, method, target, headers, data in cases:
        answer = await client.request(method, target, headers=headers | PAGE, data=data)
        assert answer.status == status, (method, target, await answer.text())
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        assert answer.headers["Vary"] == "Origin"
        assert set(RESPONSE_HEADERS) <= names(answer.headers, "Access-Control-Expose-Headers")


@pytest.mark.parametrize("path", ["/", "/missing", "/a/b/c", "/..", "/%00"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "HEAD", "GET"])
async def test_a_preflight_succeeds_for_any_url(client: Client, path: str, method: str) -> None:
    """A browser may ask about an upload that is gone, without credentials, and gets 200."""
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "tus-resumable,upload-length,upload-metadata",
    }
    answer = await client.options(path, headers=PAGE | asked)
    assert answer.status == 200
    assert method in names(answer.headers, "Access-Control-Allow-Methods")
    assert set(REQUEST_HEADERS) <= names(answer.headers, "Access-Control-Allow-Headers")
    assert answer.headers["Access-Control-Max-Age"] == "86400"


async def test_a_locked_upload_is_told_to_pages_too(aiohttp_client: MakeClient) -> None:
    """423, which makes tus-js-client try again, can be read like any other answer."""
    client = await aiohttp_client(memory_app(Settings(acquire_lock_timeout=0)))
    path = await new_upload(client)

    async def endless() -> Any:
        yield b"a"
        answer = await client.head(path, headers=V | PAGE)
        assert answer.status == 423
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE["Origin"]
        yield b"bc"

    answer = await client.patch(path, headers=PATCH | {"Upload-Offset": "0"}, data=endless())
    assert answer.status == 204


async def test_another_page_changes_nothing(aiohttp_client: MakeClient) -> None:
    """A refused origin is 403 before anything is done, on every method."""
    client = await aiohttp_client(memory_app(Settings(cors_allow_origin="https://ours")))
    for method in ("POST", "HEAD", "GET", "PATCH", "DELETE", "OPTIONS"):
        answer = await client.request(method, "/x", headers=V | PAGE)
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"


async def test_without_cors_nothing_is_said(aiohttp_client: MakeClient) -> None:
    """Switched off, no page is refused and none is told anything."""
    client = await aiohttp_client(memory_app(Settings(disable_cors=True)))
    answer = await client.options("/", headers=PAGE)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert "Vary" not in answer.headers
