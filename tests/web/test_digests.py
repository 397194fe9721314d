"""Digests of files, over HTTP with real bytes on a disk."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tusd_py import Settings, create_app

from .serving import PATCH, V, connected, memory_app, serving

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
LARGE = bytes(range(256)) * 8192  # two lanes' worth
SHA = hashlib.sha256(LARGE)
REPR = f"sha-256=:{b64encode(SHA.digest()).decode()}:"


def metadata(digest: str) -> dict[str, str]:
    """The header that declares a digest."""
    return {"Upload-Metadata": f"sha256 {b64encode(digest.encode()).decode()}"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything is hashed, and what is declared is compared."""
    return Settings(digests=("sha256", "md5"), digest_metadata=("sha256",), upload_dir=tmp_path)


async def upload(client: Client, headers: dict[str, str] | None = None) -> str:
    """Create an upload and send all but its last byte."""
    fields = V | (headers or {}) | {"Upload-Length": str(len(LARGE))}
    path = URL((await client.post("/", headers=fields)).headers["Location"]).path
    middle = len(LARGE) // 2
    for start, stop in ((0, middle), (middle, len(LARGE) - 1)):
        fields = PATCH | {"Upload-Offset": str(start)}
        assert (await client.patch(path, headers=fields, data=LARGE[start:stop])).status == 204
    return path


LAST = PATCH | {"Upload-Offset": str(len(LARGE) - 1)}


async def test_repr_digest(aiohttp_client: MakeClient, settings: Settings) -> None:
    """On HEAD and GET of the finished file, of a range as well, and for pages of others."""
    client = await aiohttp_client(create_app(settings))
    path = await upload(client)
    assert "Repr-Digest" not in (await client.head(path, headers=V)).headers
    assert (await client.patch(path, headers=LAST, data=LARGE[-1:])).status == 204
    answer = await client.head(path, headers=V | {"Origin": "https://app.example"})
    assert answer.headers["Repr-Digest"] == REPR
    assert "Repr-Digest" in answer.headers["Access-Control-Expose-Headers"]
    answer = await client.get(path)
    assert (answer.headers["Repr-Digest"], await answer.read()) == (REPR, LARGE)
    answer = await client.get(path, headers={"Range": "bytes=0-9"})
    assert (answer.status, answer.headers["Repr-Digest"]) == (206, REPR)


async def test_after_a_restart(aiohttp_client: MakeClient, settings: Settings) -> None:
    """What came before is read back; the digest is of all of it."""
    path = await upload(await aiohttp_client(create_app(settings)))
    client = await aiohttp_client(create_app(settings))
    assert (await client.patch(path, headers=LAST, data=LARGE[-1:])).status == 204
    assert (await client.head(path, headers=V)).headers["Repr-Digest"] == REPR
    client = await aiohttp_client(create_app(settings))
    assert (await client.head(path, headers=V)).headers["Repr-Digest"] == REPR


@pytest.mark.parametrize("spelled", [SHA.hexdigest(), b64encode(SHA.digest()).decode()])
async def test_a_file_that_is_as_declared(
    aiohttp_client: MakeClient, settings: Settings, spelled: str
) -> None:
    """204."""
    client = await aiohttp_client(create_app(settings))
    path = await upload(client, metadata(spelled))
    assert (await client.patch(path, headers=LAST, data=LARGE[-1:])).status == 204


async def test_a_file_that_is_not(aiohttp_client: MakeClient, settings: Settings) -> None:
    """460 for the last byte, 410 from then on, also after a restart, and DELETE works."""
    client = await aiohttp_client(create_app(settings))
    path = await upload(client, metadata(SHA.hexdigest()))
    answer = await client.patch(path, headers=LAST, data=b"?")
    assert (answer.status, answer.reason) == (460, "Checksum Mismatch")
    said = "ERR_CHECKSUM_MISMATCH: The file is not the one that its metadata announced;"
    assert (await answer.text()).startswith(said)
    client = await aiohttp_client(create_app(settings))
    assert (await client.head(path, headers=V)).status == 410
    answer = await client.patch(path, headers=LAST, data=b"?")
    assert (answer.status, (await answer.text())[:18]) == (410, "ERR_UPLOAD_FAILED:")
    assert (await client.get(path)).status == 410
    assert (await client.delete(path, headers=V)).status == 204
    assert (await client.head(path, headers=V)).status == 404


async def test_a_whole_file_at_its_post(aiohttp_client: MakeClient, settings: Settings) -> None:
    """Wrong: 460 and nothing there. Right: 201, and its digest is told."""
    client = await aiohttp_client(create_app(settings))
    for digest, status in (("0" * 64, 460), (hashlib.sha256(b"abc").hexdigest(), 201)):
        headers = PATCH | metadata(digest) | {"Upload-Length": "3"}
        answer = await client.post("/", headers=headers, data=b"abc")
        assert answer.status == status
    head = await client.head(URL(answer.headers["Location"]).path, headers=V)
    assert head.headers["Repr-Digest"] == "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"


async def test_on_the_fast_lane(settings: Settings) -> None:
    """A large body whose bytes are only lent is hashed as it is written."""
    async with serving(create_app(settings, own_server=True)) as port, connected(port) as peer:
        head = {"Host": "a", "Upload-Length": str(len(LARGE)), "Content-Length": str(len(LARGE))}
        fields = V | PATCH | metadata(SHA.hexdigest()) | head
        lines = [f"{name}: {value}" for name, value in fields.items()]
        peer.writer.write("\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + LARGE)
        assert await peer.status() == 201


@pytest.mark.parametrize("value", ["abc", "0" * 63, "é"])
async def test_a_declaration_that_is_none(aiohttp_client: MakeClient, value: str) -> None:
    """400 at the POST."""
    client = await aiohttp_client(memory_app(Settings(digest_metadata=("sha256",))))
    answer = await client.post("/", headers=V | metadata(value) | {"Upload-Length": "3"})
    assert (answer.status, (await answer.text())[:21]) == (400, "ERR_INVALID_METADATA:")
