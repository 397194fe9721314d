"""GET: a complete upload comes back, in whole or in part, and never as something that runs."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psutil
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from tusd_py import Settings, create_app

from .serving import PATCH, V, connected, memory_app, serving

Client = TestClient[Any, Any]
MakeClient = Callable[..., Awaitable[Client]]
DATA = b"0123456789"


@pytest.fixture(params=["disk", "memory"])
async def client(
    request: pytest.FixtureRequest, aiohttp_client: MakeClient, tmp_path: Path
) -> Client:
    """A client of an application, with files to send from and without."""
    if request.param == "memory":
        return await aiohttp_client(memory_app())
    return await aiohttp_client(create_app(Settings(upload_dir=tmp_path / "uploads")))


async def upload(
    client: Client, data: bytes = DATA, *, length: int | None = None, metadata: str = ""
) -> str:
    """Upload these bytes and return the path."""
    fields = {"Upload-Length": str(len(data) if length is None else length)}
    headers = PATCH | fields | {"Upload-Metadata": metadata}
    answer = await client.post("/", headers=headers, data=io.BytesIO(data))
    assert answer.status == 201
    return answer.headers["Location"].partition(f":{client.port}")[2]


def described(**pairs: bytes) -> str:
    """Return metadata."""
    return ",".join(f"{k} {base64.b64encode(v).decode()}" for k, v in pairs.items())


def etag_of(path: str) -> str:
    """Return the entity tag that an upload has."""
    return f'"{path.strip("/")}"'


async def test_the_bytes_come_back(client: Client) -> None:
    """A complete upload is given back as it is, with all that makes it safe to look at."""
    path = await upload(client)
    answer = await client.get(path)
    assert (answer.status, await answer.read()) == (200, DATA)
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == etag_of(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_no_bytes_come_back_as_none(client: Client) -> None:
    """An empty upload is an empty file; no part of it can be asked for."""
    path = await upload(client, b"")
    answer = await client.get(path)
    assert (answer.status, await answer.read()) == (200, b"")
    assert answer.headers["Content-Length"] == "0"
    assert (await client.get(path, headers={"Range": "bytes=0-"})).status == 416


async def test_an_incomplete_upload_is_not_given_back(client: Client) -> None:
    """Half a file with a 200 would look like the whole of it."""
    path = await upload(client, DATA, length=20)
    answer = await client.get(path)
    assert answer.status == 400
    assert (await answer.text()).startswith("ERR_INCOMPLETE_UPLOAD: ")
    assert "ETag" not in answer.headers


async def test_head_tells_of_the_upload_not_of_the_download(client: Client) -> None:
    """HEAD is for tus: offset and length, and no type, name or range."""
    path = await upload(client, metadata=described(filename=b"a.png", filetype=b"image/png"))
    answer = await client.head(path, headers={"Range": "bytes=0-1"})
    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "10")
    assert not {"ETag", "Content-Disposition", "Content-Range"} & set(answer.headers)


RANGES = [
    # realistic
    ("bytes=0-4", "0-4", b"01234"),
    ("bytes=5-", "5-9", b"56789"),
    ("bytes=-3", "7-9", b"789"),
    ("bytes=0-0", "0-0", b"0"),
    ("bytes=9-9", "9-9", b"9"),
    # synthetic: more than there is
    ("bytes=0-99", "0-9", DATA),
    ("bytes=9-9999999999999999999", "9-9", b"9"),
    ("bytes=-99", "0-9", DATA),
    ("bytes=0-", "0-9", DATA),
]


@pytest.mark.parametrize(("asked", "given", "data"), RANGES)
async def test_a_part_can_be_asked_for(client: Client, asked: str, given: str, data: bytes) -> None:
    """One range is answered with 206 and just these bytes."""
    path = await upload(client)
    answer = await client.get(path, headers={"Range": asked})
    assert (answer.status, await answer.read()) == (206, data)
    assert answer.headers["Content-Range"] == f"bytes {given}/10"
    assert answer.headers["Content-Length"] == str(len(data))


@pytest.mark.parametrize(
    "asked",
    ["bytes=10-", "bytes=10-20", "bytes=99-", "bytes=5-4", "bytes=a-b", "bytes=-"],
)
async def test_a_part_that_is_not_there_is_told_the_size(client: Client, asked: str) -> None:
    """A range beyond the end, or none at all, is 416 with the size there is."""
    path = await upload(client)
    answer = await client.get(path, headers={"Range": asked})
    assert (answer.status, await answer.read()) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=0-1, -1", "lines=0-1", "0-1", ""])
async def test_other_ranges_get_everything(client: Client, asked: str) -> None:
    """Several ranges, or units that nobody knows, are answered with the whole."""
    path = await upload(client)
    answer = await client.get(path, headers={"Range": asked})
    assert (answer.status, await answer.read()) == (200, DATA)
    assert "Content-Range" not in answer.headers


@pytest.mark.parametrize(
    ("condition", "status"),
    [("{etag}", 206), ('"other"', 200), ("W/{etag}", 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)],
)
async def test_a_part_of_something_else_is_not_given(
    client: Client, condition: str, status: int
) -> None:
    """If-Range: only who has the rest of the very same bytes gets a part."""
    path = await upload(client)
    headers = {"Range": "bytes=5-", "If-Range": condition.format(etag=etag_of(path))}
    answer = await client.get(path, headers=headers)
    assert (answer.status, await answer.read()) == (status, DATA[5:] if status == 206 else DATA)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("nonsense", 200),
    ],
)
async def test_what_is_known_is_not_sent_again(client: Client, condition: str, status: int) -> None:
    """If-None-Match: the same bytes are not sent twice."""
    path = await upload(client)
    etag = etag_of(path)
    answer = await client.get(path, headers={"If-None-Match": condition.format(etag=etag)})
    assert (answer.status, await answer.read()) == (status, b"" if status == 304 else DATA)
    assert answer.headers["ETag"] == etag


TYPES = [
    # realistic
    (b"image/png", "image/png", "inline"),
    (b"IMAGE/JPEG", "image/jpeg", "inline"),
    (b"video/mp4", "video/mp4", "inline"),
    (b"text/plain", "text/plain", "inline"),
    (b"application/zip", "application/zip", "attachment"),
    (b"application/vnd.ms-excel", "application/vnd.ms-excel", "attachment"),
    (b"", "application/octet-stream", "attachment"),
    # pathological: what a browser might run
    (b"text/html", "application/octet-stream", "attachment"),
    (b"text/html;charset=utf-7", "application/octet-stream", "attachment"),
    (b"TEXT/HTML", "application/octet-stream", "attachment"),
    (b"image/svg+xml", "application/octet-stream", "attachment"),
    (b"application/xhtml+xml", "application/octet-stream", "attachment"),
    (b"text/xml", "application/octet-stream", "attachment"),
    (b"text/javascript", "application/octet-stream", "attachment"),
    (b"application/ecmascript", "application/octet-stream", "attachment"),
    (b"application/pdf", "application/octet-stream", "attachment"),
    (b"application/x-shockwave-flash", "application/octet-stream", "attachment"),
    (b"text/plain;charset=utf-7", "application/octet-stream", "attachment"),
    # pathological: what would be a header of its own
    (b"x/y\r\nSet-Cookie: a=b", "application/octet-stream", "attachment"),
    (b"x/y\0", "application/octet-stream", "attachment"),
    (b"image/png\n", "image/png", "inline"),
    (b"x/" + b"y" * 5000, "application/octet-stream", "attachment"),
    (b"x", "application/octet-stream", "attachment"),
    (b"*/*", "application/octet-stream", "attachment"),
    (b"\xff/\xff", "application/octet-stream", "attachment"),
    ("\u0456mage/png".encode(), "application/octet-stream", "attachment"),
]


@pytest.mark.parametrize(("told", "given", "disposition"), TYPES)
@pytest.mark.parametrize("key", ["filetype", "type"])
async def test_no_type_is_given_that_a_browser_would_run(
    client: Client, key: str, told: bytes, given: str, disposition: str
) -> None:
    """A43: the type that the client told counts only if nothing can happen by it."""
    path = await upload(client, metadata=described(**{key: told}))
    answer = await client.get(path)
    assert answer.headers["Content-Type"] == given
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


NAMES = [
    # realistic
    ("cat.jpg", "cat.jpg", "cat.jpg"),
    ("my cat.jpg", "my cat.jpg", "my cat.jpg"),
    ("s\u0142 o\u0144ce.bin", "s_ o_ce.bin", "s\u0142 o\u0144ce.bin"),
    ("\u732b.jpg", "_.jpg", "\u732b.jpg"),
    ("C:\\fakepath\\cat.jpg", "cat.jpg", "cat.jpg"),
    # pathological
    ('a"b.txt', "a_b.txt", 'a"b.txt'),
    ("a;b.txt", "a_b.txt", "a;b.txt"),
    ("a%41.txt", "a_41.txt", "a%41.txt"),
    ("a'b*.txt", "a'b*.txt", "a'b*.txt"),
    ("a\r\nX: 1", "a__X: 1", "a\r\nX: 1"),
    ("a\0b", "a_b", "a\0b"),
    ("\u202egpj.exe", "_gpj.exe", "\u202egpj.exe"),
    ("../../etc/passwd", "passwd", "passwd"),
    ("..\\..\\x", "x", "x"),
    (".htaccess", ".htaccess", ".htaccess"),
    ("CON", "CON", "CON"),
    ("a/", "download", "download"),
    ("x" * 5000, "x" * 255, "x" * 255),
]


@pytest.mark.parametrize(("told", "plain", "full"), NAMES, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("key", ["filename", "name"])
async def test_a_name_is_told_in_two_spellings(
    client: Client, key: str, told: str, plain: str, full: str
) -> None:
    """A42: old clients get plain ASCII, others the whole name; neither leaves its quotes."""
    path = await upload(client, metadata=described(**{key: told.encode()}))
    answer = await client.get(path)
    disposition = answer.headers["Content-Disposition"]
    first, extended = disposition.split("; filename*=UTF-8''")
    assert first == f'attachment; filename="{plain}"'
    assert unquote(extended) == full
    assert extended.isascii()
    assert not set(extended) & set(" \"'();,/\\\r\n")


async def test_a_name_that_is_no_text_is_left_out(client: Client) -> None:
    """Bytes that are not UTF-8 are no name."""
    path = await upload(client, metadata=described(filename=b"\xff\xfe"))
    answer = await client.get(path)
    assert answer.headers["Content-Disposition"] == "attachment"


# --- large ones


@pytest.fixture(scope="module")
def large() -> bytes:
    """Twenty megabytes, no two kilobytes of which are the same."""
    return b"".join(n.to_bytes(4, "big") * 256 for n in range(20 * 1024))


async def test_a_large_file_comes_back_byte_for_byte(client: Client, large: bytes) -> None:
    """What goes through the kernel, or in pieces, is what was stored; so is a part of it."""
    path = await upload(client, large)
    answer = await client.get(path)
    assert await answer.read() == large
    answer = await client.get(path, headers={"Range": "bytes=1000-15000000"})
    assert await answer.read() == large[1000:15_000_001]


def open_uploads(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open."""
    return [f.path for f in psutil.Process().open_files() if f.path.startswith(os.fspath(folder))]


async def until_closed(folder: Path) -> None:
    """Wait until no file below the folder is open any more."""
    async with asyncio.timeout(10):
        while open_uploads(folder):  # noqa: ASYNC110 - what a thread does at its end is no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("read", [0, 100_000], ids=["at once", "in the middle"])
async def test_a_reader_that_leaves_holds_nothing(
    aiohttp_client: MakeClient,
    tmp_path: Path,
    large: bytes,
    caplog: pytest.LogCaptureFixture,
    read: int,
) -> None:
    """Whoever breaks a download off leaves no open file, and that is no fault of ours."""
    client = await aiohttp_client(create_app(Settings(upload_dir=tmp_path)))
    path = await upload(client, large)
    answer: ClientResponse = await client.get(path)
    assert answer.status == 200
    await answer.content.readexactly(read)
    answer.close()
    await until_closed(tmp_path)
    assert (await client.head(path, headers=V)).status == 200
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


async def test_a_slow_reader_gets_everything(tmp_path: Path, large: bytes) -> None:
    """A client that reads now and then gets all of it, while others are served."""
    app = create_app(Settings(upload_dir=tmp_path), own_server=True)
    async with serving(app) as port:
        async with connected(port) as peer:
            fields = f"Upload-Length: {len(large)}\r\nContent-Length: {len(large)}\r\n"
            kind = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
            peer.writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{kind}{fields}\r\n".encode())
            peer.writer.write(large)
            created = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
            path = created.partition("http://x")[2].partition("\r\n")[0]
        async with connected(port) as slow, connected(port) as other:
            slow.writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await slow.reader.readuntil(b"\r\n\r\n")
            received = bytearray()
            while len(received) < len(large):
                received += await slow.reader.read(1 << 20)
                other.writer.write(b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert await other.answer() == (200, b"")
            assert received == large
            # The connection is in order: another request follows on it.
            slow.writer.write(b"OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await slow.answer() == (200, b"")
    assert open_uploads(tmp_path) == []


async def test_a_file_that_is_cut_short_does_not_look_complete(
    aiohttp_client: MakeClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If bytes are missing on disk, the connection breaks off instead of ending well."""
    client = await aiohttp_client(create_app(Settings(upload_dir=tmp_path)))
    path = await upload(client)
    answer = await client.get(path)
    await answer.read()
    # A record vouches for its size only when it is read, so the cut comes after that.
    os.truncate(tmp_path / path.strip("/"), 5)
    broken = await client.get(path)
    assert broken.status in (200, 410)
    if broken.status == 200:
        with pytest.raises(Exception, match=r"payload|closed"):
            await broken.read()
        assert "DownloadError" in caplog.text


async def test_head_that_means_get_has_no_body(client: Client) -> None:
    """The body of a download is left out of the answer to HEAD, whatever the override says."""
    path = await upload(client)
    answer = await client.head(path, headers={"X-HTTP-Method-Override": "GET"})
    assert (answer.status, answer.headers["Content-Length"]) == (200, "10")
    assert (await client.get(path)).status == 200


async def test_downloads_can_be_switched_off(aiohttp_client: MakeClient) -> None:
    """Without downloads GET is not allowed, and nothing tells whether the upload is there."""
    client = await aiohttp_client(memory_app(Settings(disable_download=True)))
    path = await upload(client)
    for target in (path, "/missing"):
        answer = await client.get(target)
        assert answer.status == 405
        assert "GET" not in answer.headers["Allow"]
