"""Finished files under readable names, over HTTP, as the settings say."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pydantic import ValidationError
from yarl import URL

from tusd_py import Access, HookEvent, Settings, SettingsError, create_app

from .serving import PATCH, V

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
CONTENT = bytes(range(256)) * 8192


async def anna(access: Access) -> str:
    """Everybody is Anna, who has a strange name."""
    return "anna/../.."


async def test_an_upload_is_placed(aiohttp_client: MakeClient, tmp_path: Path) -> None:
    """By its last PATCH; the hook is told where, GET goes on, and DELETE leaves it."""
    told: list[str] = []

    async def finished(event: HookEvent) -> None:
        told.append(event.upload.storage["PlacedAt"])

    settings = Settings(
        upload_dir=tmp_path / "up", place_dir=tmp_path / "out", place_as="{owner}/{filename}"
    )
    hooks = {"pre-terminate": finished}
    client = await aiohttp_client(create_app(settings, hooks=hooks, authorize=anna))
    name = b64encode("../été\n.bin".encode()).decode()
    headers = V | {"Upload-Length": str(len(CONTENT)), "Upload-Metadata": f"filename {name}"}
    path = URL((await client.post("/", headers=headers)).headers["Location"]).path
    middle = len(CONTENT) // 2
    for start, part in ((0, CONTENT[:middle]), (middle, CONTENT[middle:])):
        assert placed_in(tmp_path) == []
        headers = PATCH | {"Upload-Offset": str(start)}
        assert (await client.patch(path, headers=headers, data=part)).status == 204
    (placed,) = placed_in(tmp_path)
    assert (placed.name, placed.parent.name[:5]) == ("été.bin", "anna_")
    assert placed.read_bytes() == CONTENT
    assert await (await client.get(path)).read() == CONTENT
    answer = await client.get(path, headers={"Range": "bytes=1-2"})
    assert (answer.status, await answer.read()) == (206, CONTENT[1:3])
    headers = PATCH | {"Upload-Offset": str(len(CONTENT))}
    for body in (b"", no_chunks()):
        assert (await client.patch(path, headers=headers, data=body)).status == 204
    assert (await client.delete(path, headers=V)).status == 204
    assert told == [str(placed)]
    assert placed.read_bytes() == CONTENT
    assert (await client.get(path)).status == 404


def placed_in(directory: Path) -> list[Path]:
    """What has been placed there."""
    return list(directory.glob("out/*/*"))


async def no_chunks() -> AsyncIterator[bytes]:
    """A chunked body without a byte."""
    for chunk in list[bytes]():
        yield chunk


def test_files_are_not_placed_among_uploads(tmp_path: Path) -> None:
    """Nor uploads among them, through a link or not: one could be taken for the other."""
    up = tmp_path / "up"
    up.mkdir()
    (tmp_path / "link").symlink_to(up)
    for place in (up, up / "out", tmp_path, tmp_path / "link/out"):
        with pytest.raises(SettingsError, match="neither"):
            create_app(Settings(upload_dir=up, place_dir=place, place_as="{id}"))


@pytest.mark.parametrize("settings", [{"place_as": "{id}"}, {"place_dir": "/x"}])
def test_name_and_place_go_together(settings: dict[str, Any]) -> None:
    """One without the other says nothing."""
    with pytest.raises(ValidationError, match="together"):
        Settings(**settings)
    with pytest.raises(ValidationError, match="relative path"):
        Settings(place_as="/abs", place_dir=Path("/x"))
