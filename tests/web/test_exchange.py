"""Every answer is noted: what was asked for, by whom it is named, and what was told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tusd_py.interfaces.occurrences import Answered, Occurrence

from .serving import PATCH, V, memory_app

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
LONG_ID = "x" * 50


def answers(noted: list[Occurrence]) -> list[Answered]:
    """The answers among what was noted."""
    return [one for one in noted if isinstance(one, Answered)]


async def test_answers_are_noted(aiohttp_client: MakeClient) -> None:
    """With the effective method, the status, and the offsets before and after."""
    noted: list[Occurrence] = []
    client = await aiohttp_client(memory_app(observe=noted.append))
    answer = await client.post("/", headers=V | {"Upload-Length": "5", "X-Request-ID": LONG_ID})
    path = URL(answer.headers["Location"]).path
    upload_id = path.strip("/")
    override = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0"}
    await client.post(path, headers=PATCH | override, data=b"abc")
    await client.head(path, headers=V)
    created, appended, inspected = answers(noted)
    assert (created.method, created.status, created.upload_id) == ("POST", 201, upload_id)
    assert (created.request_id, created.stored, created.offset) == (LONG_ID[:36], 0, None)
    assert (appended.method, appended.status, appended.path) == ("PATCH", 204, path)
    assert (appended.offset, appended.stored, appended.upload_id) == (0, 3, upload_id)
    assert (inspected.method, inspected.status, inspected.stored) == ("HEAD", 200, 3)
    assert all(one.code is None and one.duration_s >= 0 for one in (created, appended, inspected))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("HEAD", "/unknown", V, 404, "ERR_UPLOAD_NOT_FOUND"),
        ("POST", "/", {}, 412, "ERR_UNSUPPORTED_VERSION"),
        ("GET", "/a%20b?secret", {}, 404, "ERR_UPLOAD_NOT_FOUND"),
    ],
)
async def test_refusals_are_noted(
    aiohttp_client: MakeClient,
    *,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """With the code that says why, and a path without its query and as it was sent."""
    noted: list[Occurrence] = []
    client = await aiohttp_client(memory_app(observe=noted.append))
    await client.request(method, URL(path, encoded=True), headers=headers)
    (answered,) = answers(noted)
    assert (answered.status, answered.code) == (status, code)
    assert answered.path == path.removesuffix("?secret")
