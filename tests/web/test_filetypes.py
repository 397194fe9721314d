"""Files that are not taken, over HTTP, on both lanes, as the settings say."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.access.making import SECRET, token
from tests.support import contents
from tusd_py import Settings, create_app

from .serving import PATCH, V, connected, memory_app, serving

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
VIDEO = {"Upload-Metadata": f"filetype {b64encode(b'video/mp4').decode()}"}
SAID = "ERR_FILE_TYPE_NOT_ALLOWED: the file is not what its name and filetype say\n"
LARGE = 2 * 1024 * 1024


async def test_an_executable_that_says_it_is_a_video(
    aiohttp_client: MakeClient, tmp_path: Path
) -> None:
    """415 at the first PATCH, with a sentence, and nothing is left of it."""
    settings = Settings(allowed_types=("video/*",), upload_dir=tmp_path / "data")
    client = await aiohttp_client(create_app(settings))
    answer = await client.post("/", headers=V | VIDEO | {"Upload-Length": "99999"})
    path = URL(answer.headers["Location"]).path
    headers = PATCH | {"Upload-Offset": "0", "Origin": "https://app.example"}
    answer = await client.patch(path, headers=headers, data=contents.EXE)
    assert (answer.status, await answer.text()) == (415, SAID)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert (await client.head(path, headers=V)).status == 404
    assert not [file for file in (tmp_path / "data").iterdir() if file.name[0] != "."]


async def test_a_small_one_with_its_creation(aiohttp_client: MakeClient) -> None:
    """Refused before it exists."""
    client = await aiohttp_client(memory_app(Settings(allowed_types=("video/*",))))
    headers = PATCH | VIDEO | {"Upload-Length": str(len(contents.EXE))}
    answer = await client.post("/", headers=headers, data=contents.EXE)
    assert (answer.status, await answer.text()) == (415, SAID)
    assert "Location" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("framing", ["known", "chunked"])
async def test_a_large_one_on_either_lane(method: str, framing: str, tmp_path: Path) -> None:
    """A body of known length goes the fast way, a chunked one the other: both are looked at."""
    settings = Settings(allowed_types=("video/*",), upload_dir=tmp_path / "data")
    for head, status in ((contents.EXE, 415), (contents.MP4, 201 if method == "POST" else 204)):
        content = head + bytes(LARGE - len(head))
        async with serving(create_app(settings, own_server=True)) as port, connected(port) as peer:
            path = "/"
            fields = V | VIDEO | {"Host": "a", "Upload-Length": str(LARGE)}
            if method == "PATCH":
                peer.writer.write(_head("POST", "/", fields | {"Content-Length": "0"}))
                answer = await peer.reader.readuntil(b"\r\n\r\n")
                location = answer.split(b"Location: ")[1].split(b"\r\n")[0].decode()
                path, fields = URL(location).path, PATCH | {"Host": "a", "Upload-Offset": "0"}
            fields |= {"Content-Type": "application/offset+octet-stream"}
            if framing == "known":
                peer.writer.write(_head(method, path, fields | {"Content-Length": str(LARGE)}))
                peer.writer.write(content)
            else:
                peer.writer.write(_head(method, path, fields | {"Transfer-Encoding": "chunked"}))
                peer.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (LARGE, content))
            assert await peer.status() == status


def _head(method: str, path: str, fields: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_token_names_the_types(aiohttp_client: MakeClient, tmp_path: Path) -> None:
    """The claim counts where the server takes everything."""
    (tmp_path / "secret").write_text(SECRET)
    client = await aiohttp_client(memory_app(Settings(auth_jwt_secret_file=tmp_path / "secret")))
    for text in (token(), token(upload_types=["video/*"])):
        headers = {"Authorization": f"Bearer {text}", "Upload-Length": "5"}
        assert (await client.post("/", headers=V | VIDEO | headers)).status == 201
    headers = {"Authorization": f"Bearer {token(upload_types=['image/*'])}", "Upload-Length": "5"}
    answer = await client.post("/", headers=V | VIDEO | headers)
    assert answer.status == 415
    assert (await answer.text()).endswith("must have a filetype that is accepted: image/*\n")


@pytest.mark.parametrize(
    "wrong", [{"allowed_types": "video"}, {"allowed_types": "a/b/c"}, {"allowed_extensions": "a/b"}]
)
def test_settings_that_mean_nothing(wrong: dict[str, Any]) -> None:
    """A type has two halves, and an extension is no path."""
    with pytest.raises(ValueError, match="must be"):
        Settings(**wrong)


def test_settings_in_any_spelling() -> None:
    """Dots before extensions and capitals do not matter."""
    settings = Settings.model_validate(
        {"allowed_types": "Video/*, image/PNG", "allowed_extensions": ".MP4,tar.gz"}
    )
    assert settings.allowed_types == ("video/*", "image/png")
    assert settings.allowed_extensions == ("mp4", "tar.gz")
