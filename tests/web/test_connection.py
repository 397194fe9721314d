"""One connection of our own server: trailers, half-closes, and errors below HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator

import psutil
import pytest
from aiohttp import web

from tests.support.raw_http import chunked, head, request
from tusd_py.web.app import make_root

from .serving import PATCH, Peer, V, connected, handling, memory_app, serving

LENGTH = 20_000
TRAILED = (*PATCH.items(), ("Transfer-Encoding", "chunked"), ("Trailer", "Upload-Checksum"))


def sum_of(data: bytes) -> list[tuple[str, str]]:
    """Return the trailer that belongs to these bytes."""
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return [("Upload-Checksum", "sha1 " + base64.b64encode(digest).decode())]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """An application that reads trailers; its port."""
    async with serving(memory_app(own_server=True)) as port:
        yield port


@pytest.fixture
async def peer(port: int) -> AsyncIterator[Peer]:
    """A connection to it."""
    async with connected(port) as peer:
        yield peer


async def new_upload(peer: Peer) -> str:
    """Create an upload and return its path."""
    peer.writer.write(request("POST", "/", *V.items(), ("Upload-Length", str(LENGTH))))
    answer = await peer.reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 ")
    return answer.partition(b"Location: http://server")[2].partition(b"\r\n")[0].decode()


async def offset_of(peer: Peer, path: str) -> int:
    """Return the offset of an upload."""
    peer.writer.write(request("HEAD", path, *V.items()))
    answer = await peer.reader.readuntil(b"\r\n\r\n")
    return int(answer.partition(b"Upload-Offset: ")[2].partition(b"\r\n")[0])


def trailed(path: str, offset: int, body: bytes) -> bytes:
    """Return the head of a PATCH whose checksum comes behind its body, and the body."""
    return head("PATCH", path, *TRAILED, ("Upload-Offset", str(offset))) + body


async def test_a_trailer_is_read_wherever_the_stream_is_cut(port: int, peer: Peer) -> None:
    """In one segment or in two, cut at every byte: a right checksum is seen and verified."""
    path = await new_upload(peer)
    size = len(trailed(path, 0, chunked(b"x", trailers=sum_of(b"x"))))
    for cut in range(size):
        data = trailed(path, cut, chunked(b"x", trailers=sum_of(b"x")))
        async with connected(port) as other:
            await other.send(data[:cut], data[cut:])
            assert await other.answer() == (204, b"")
    assert await offset_of(peer, path) == size


async def test_a_wrong_trailer_is_seen_wherever_the_stream_is_cut(port: int, peer: Peer) -> None:
    """However it arrives, a wrong checksum is 460 and nothing is kept."""
    path = await new_upload(peer)
    data = trailed(path, 0, chunked(b"x", trailers=sum_of(b"y")))
    for cut in range(len(data)):
        async with connected(port) as other:
            await other.send(data[:cut], data[cut:])
            assert (await other.answer())[0] == 460
    assert await offset_of(peer, path) == 0


async def test_a_trailer_behind_a_large_body_is_read(port: int, peer: Peer) -> None:
    """A body of many segments and chunks has its trailer at the end."""
    path = await new_upload(peer)
    chunks = [bytes([n]) * 1000 for n in range(20)]
    stream = chunked(*chunks, trailers=sum_of(b"".join(chunks)))
    await peer.send(trailed(path, 0, b""), *(stream[n : n + 999] for n in range(0, 22_000, 999)))
    assert await peer.answer() == (204, b"")
    async with connected(port) as other:
        assert await offset_of(other, path) == LENGTH


@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_trailer_that_does_not_come_is_missed(peer: Peer, pieces: int) -> None:
    """An announced checksum that is not there is 400, and nothing is kept."""
    path = await new_upload(peer)
    data = trailed(path, 0, chunked(b"x"))
    await peer.send(*([data] if pieces == 1 else [data[:-7], data[-7:]]))
    status, text = await peer.answer()
    assert (status, text) == (
        400,
        b"ERR_INVALID_CHECKSUM: the announced trailer Upload-Checksum did not come\n",
    )
    assert await offset_of(peer, path) == 0


@pytest.mark.parametrize("trailer", [b"X: 1\r\n", b"X: 1\r\nX-HTTP-Method-Override: DELETE\r\n"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_no_request_gets_fields_from_the_trailer_before_it(
    port: int, peer: Peer, trailer: bytes, pieces: int
) -> None:
    """A request with a trailer is the last on its connection, for the parser mixes them up."""
    path = await new_upload(peer)
    announced = ("Trailer", "X, X-HTTP-Method-Override")
    framing = ("Transfer-Encoding", "chunked")
    fields = (*PATCH.items(), ("Upload-Offset", "0"), framing, announced)
    data = head("PATCH", path, *fields) + b"1\r\nx\r\n0\r\n" + trailer + b"\r\n"
    victim = request("POST", path, *V.items())  # a DELETE, if it got the field
    if pieces == 1:
        await peer.send(data + victim)
    else:
        await peer.send(data[:-9], data[-9:], victim)
    head_of_answer = await peer.reader.readuntil(b"\r\n\r\n")
    assert head_of_answer.startswith(b"HTTP/1.1 204 ")
    assert b"Connection: close\r\n" in head_of_answer
    assert await peer.rest() == b""
    async with connected(port) as other:
        assert await offset_of(other, path) == 1


async def test_nor_does_a_path_that_nobody_serves_mix_them_up() -> None:
    """A trailer ends the connection whoever answers the request."""
    root = make_root(memory_app(own_server=True), "/files/", greeting="hello\n")
    async with serving(root) as port, connected(port) as peer:
        fields = ("Transfer-Encoding", "chunked")
        data = head("POST", "/", fields) + chunked(b"x", trailers=[("X", "1")])
        await peer.send(data + request("OPTIONS", "/files/"))
        assert (await peer.answer())[0] == 405
        assert await peer.rest() == b""


@pytest.mark.parametrize("cut", [0, 5, -3, -6, -9])
async def test_chunks_without_a_trailer_keep_the_connection(peer: Peer, cut: int) -> None:
    """Chunked requests follow one another on a connection as long as no trailer comes."""
    path = await new_upload(peer)
    for offset in range(3):
        fields = (*PATCH.items(), ("Upload-Offset", str(offset)), ("Transfer-Encoding", "chunked"))
        data = head("PATCH", path, *fields) + chunked(b"x")
        await peer.send(data[:cut], data[cut:])
        assert await peer.answer() == (204, b"")
    assert await offset_of(peer, path) == 3


async def test_pipelined_chunks_are_answered_one_by_one(peer: Peer) -> None:
    """Where it cannot be told whether a trailer came, the first answer is the last."""
    path = await new_upload(peer)
    first = trailed(path, 0, chunked(b"a", trailers=sum_of(b"a")))
    second = trailed(path, 1, chunked(b"b", trailers=sum_of(b"b")))
    await peer.send(first + second)
    assert (await peer.answer())[0] == 400  # whose trailer is whose is not known
    assert await peer.rest() == b""


async def test_a_trailer_cannot_be_had_on_plain_connections(peer: Peer) -> None:
    """An application that does not run on our server does not announce what it cannot do."""
    async with serving(memory_app()) as port, connected(port) as plain:
        plain.writer.write(request("OPTIONS", "/"))
        announced = await plain.reader.readuntil(b"\r\n\r\n")
        assert b"checksum" in announced
        assert b"checksum-trailer" not in announced
    peer.writer.write(request("OPTIONS", "/"))
    assert b"checksum-trailer" in await peer.reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("cut", [0, 40, -1])
async def test_a_half_close_behind_a_whole_request_is_answered(peer: Peer, cut: int) -> None:
    """Whoever has sent everything and says so gets an answer, and then the connection ends."""
    path = await new_upload(peer)
    data = trailed(path, 0, chunked(b"hello", trailers=sum_of(b"hello")))
    await peer.send(data[:cut], data[cut:])
    peer.writer.write_eof()
    assert await peer.answer() == (204, b"")
    assert await peer.rest() == b""


async def test_a_half_close_within_a_body_keeps_what_arrived(peer: Peer) -> None:
    """A body that can no longer end is cut short; what came of it counts."""
    path = await new_upload(peer)
    fields = (*PATCH.items(), ("Upload-Offset", "0"), ("Content-Length", "9"))
    await peer.send(head("PATCH", path, *fields), b"hello")
    peer.writer.write_eof()
    status, text = await peer.answer()
    assert (status, text.split(b":")[0]) == (400, b"ERR_UNEXPECTED_EOF")
    assert await peer.rest() == b""


async def test_a_half_close_of_an_idle_connection_closes_it(peer: Peer) -> None:
    """Nothing is asked, so nothing is answered."""
    await new_upload(peer)
    peer.writer.write_eof()
    assert await peer.rest() == b""


async def test_broken_chunks_are_answered_at_once(peer: Peer) -> None:
    """A chunk that is none ends its request with 400; the chunks before it are kept."""
    path = await new_upload(peer)
    fields = (*PATCH.items(), ("Upload-Offset", "0"), ("Transfer-Encoding", "chunked"))
    await peer.send(head("PATCH", path, *fields), b"5\r\nhello\r\n", b"nonsense\r\n")
    status, text = await peer.answer()
    assert (status, text.split(b":")[0]) == (400, b"ERR_INVALID_BODY")
    assert b"HTTP/1.1 2" not in await peer.rest()


async def test_broken_chunks_of_a_verified_body_are_dropped() -> None:
    """With a checksum to come nothing is kept of a body whose framing breaks."""
    async with serving(memory_app(own_server=True)) as port:
        async with connected(port) as peer:
            path = await new_upload(peer)
            await peer.send(trailed(path, 0, b""), b"5\r\nhello\r\n", b"nonsense\r\n")
            assert (await peer.answer())[0] == 400
        async with connected(port) as peer:
            assert await offset_of(peer, path) == 0


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_request_is_answered_in_our_form(peer: Peer, data: bytes) -> None:
    """An error below HTTP reads like all others, and the connection ends."""
    await peer.send(data)
    assert await peer.answer() == (400, b"ERR_BAD_REQUEST: this is not valid HTTP/1.1\n")
    assert await peer.rest() == b""


async def test_a_fault_of_a_handler_is_answered_in_our_form(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler that fails is answered with 500, without a word about the reason, and logged."""

    async def fail(_: web.Request) -> web.Response:
        raise ZeroDivisionError("secret")

    async with handling(fail) as port, connected(port) as peer:
        await peer.send(request("GET", "/"))
        status, text = await peer.answer()
        assert (status, text) == (
            500,
            b"ERR_INTERNAL_SERVER_ERROR: The server failed; try again.\n",
        )
        assert await peer.rest() == b""
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("size", [60_000, 3_000_000], ids=["in the buffer", "above its limit"])
async def test_a_last_answer_that_nobody_reads_is_given_up(size: int) -> None:
    """A connection that is to be closed is broken off when its client takes nothing of the rest."""

    async def handle(request: web.Request) -> web.Response:
        transport = request.transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        response = web.Response(body=b"x" * size)
        response.force_close()
        asked.set()
        return response

    asked = asyncio.Event()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10), handling(handle, write_timeout_s=0.1) as port:
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, request("GET", "/"))
            await asked.wait()
            while connections_of(port):  # noqa: ASYNC110 - nobody tells of the end
                await asyncio.sleep(0.02)
            got = 0
            with contextlib.suppress(ConnectionError):
                while more := len(await loop.sock_recv(client, 1 << 20)):
                    got += more
    assert got < size


def connections_of(port: int) -> int:
    """Return how many connections to a port of ours have an owner on our side."""
    mine = psutil.Process().net_connections("tcp")
    return sum(c.laddr.port == port and c.status != psutil.CONN_LISTEN for c in mine)


@pytest.mark.parametrize("length", [7, 1 << 20])
async def test_a_length_of_thousands_of_digits_is_refused(peer: Peer, length: int) -> None:
    """Python takes no such number, however small, and the client has to hear of it."""
    path = await new_upload(peer)
    fields = (*PATCH.items(), ("Upload-Offset", "0"), ("Content-Length", f"{length:05000}"))
    await peer.send(request("PATCH", path, *fields) + b"1234567")
    status, text = await peer.answer()
    assert (status, text[:15]) == (400, b"ERR_BAD_REQUEST")
