"""The body of a request, on both lanes: it ends when it should, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import web

from tusd_py.interfaces import BodyEnd
from tusd_py.web import connection, direct
from tusd_py.web.body import LINGER_BYTES, RequestBody

from ..support.unread import taken
from .serving import Peer, connected, handling

FAST: list[bool] = []
Step = Callable[[RequestBody, web.Request], Awaitable[None]]
HEAD_OF_10 = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKING = HEAD_OF_10.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")


@pytest.fixture(params=["stream", "direct"], autouse=True)
def lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run each test on aiohttp's stream, and with the fast lane open to the smallest body."""
    if request.param == "direct":
        monkeypatch.setattr(connection, "DIRECT_BYTES", 1)
        monkeypatch.setattr(direct, "HOLD_BACK_S", 0.001)  # for bodies as small as these
        FAST.append(True)
    yield
    FAST.clear()


async def read_all(body: RequestBody) -> bytes:
    """Read until there is nothing more."""
    data = b""
    while chunk := await body.read():
        data += taken(chunk)
    return data


async def gone(request: web.Request) -> None:
    """Wait until the server knows that the client sends no more, or would if it looked."""
    while request.transport is not None and not request.protocol._close:
        closed = select.poll()
        closed.register(request.transport.get_extra_info("socket"), select.POLLRDHUP)
        if FAST and closed.poll(0):
            break
        await asyncio.sleep(0)


async def exchange(
    client: Callable[[Peer], Awaitable[None]], server: Step, *, idle_timeout_s: float = 10.0
) -> None:
    """Run both ends of one request, and raise what went wrong at the server's."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=idle_timeout_s, fast=bool(FAST))
        try:
            await server(body, request)
        except BaseException as error:
            if not ended.done():
                ended.set_exception(error)
            raise
        finally:
            body.close()
        ended.set_result(None)
        return web.Response()

    async with handling(handle) as port, connected(port) as peer:
        await client(peer)
        await ended


def sending(*pieces: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Return a client that sends these segments and waits."""

    async def client(peer: Peer) -> None:
        await peer.send(*pieces)

    return client


def vanishing(*pieces: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Return a client that sends these segments and closes the connection."""

    async def client(peer: Peer) -> None:
        peer.writer.write(b"".join(pieces))
        await peer.writer.drain()
        await peer.close()

    return client


def resetting(*pieces: bytes) -> Callable[[Peer], Awaitable[None]]:
    """Return a client that sends these segments and breaks the connection off."""

    async def client(peer: Peer) -> None:
        await peer.send(*pieces)
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await peer.close()

    return client


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD_OF_10 + b"0123456789",),
        (HEAD_OF_10, b"0123456789"),
        (HEAD_OF_10, b"01234", b"56789"),
        (CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n",),
        (CHUNKED, b"5\r\n01234\r\n", b"5\r\n56789\r\n", b"0\r\n\r\n"),
    ],
)
async def test_a_whole_body_is_complete(pieces: tuple[bytes, ...]) -> None:
    """However a body arrives, all of it is read, and then it says that it is complete."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert body.end is None
        assert await read_all(body) == b"0123456789"
        assert body.end is BodyEnd.COMPLETE
        assert await body.read() == b""
        assert not body.unread
        body.stop(BodyEnd.SHUTDOWN)  # too late
        assert body.end is BodyEnd.COMPLETE

    await exchange(sending(*pieces), server)


async def test_no_body_is_complete() -> None:
    """A request without a body has one of no bytes."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert await body.read() == b""
        assert body.end is BodyEnd.COMPLETE

    await exchange(sending(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"), server)


async def test_what_arrived_before_a_disconnect_is_kept() -> None:
    """100 000 bytes of a client that vanishes while the handler is busy are all read."""
    sent = b"x" * 100_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"

    async def server(body: RequestBody, request: web.Request) -> None:
        await gone(request)
        assert await read_all(body) == sent
        assert body.end is BodyEnd.DISCONNECTED

    await exchange(vanishing(head, sent), server)


@pytest.mark.parametrize("leave", [vanishing, resetting])
async def test_what_arrived_between_reads_is_kept_too(
    leave: Callable[..., Callable[[Peer], Awaitable[None]]],
) -> None:
    """Bytes that come after one read and before the disconnect are given out by the next."""

    async def server(body: RequestBody, request: web.Request) -> None:
        first = await body.read()
        await gone(request)
        assert taken(first) + await read_all(body) == b"0123456"
        assert body.end is BodyEnd.DISCONNECTED

    await exchange(leave(HEAD_OF_10, b"0123456"), server)


@pytest.mark.parametrize("leave", [vanishing, resetting])
async def test_a_whole_body_before_a_disconnect_is_complete(
    leave: Callable[..., Callable[[Peer], Awaitable[None]]],
) -> None:
    """A client that goes right after its last byte has sent everything."""

    async def server(body: RequestBody, request: web.Request) -> None:
        await gone(request)
        assert await read_all(body) == b"0123456789"
        assert body.end is BodyEnd.COMPLETE

    await exchange(leave(HEAD_OF_10, b"0123456789"), server)


async def test_stopping_ends_a_waiting_read() -> None:
    """Whoever stops a body from outside wakes its reader, who gets what had arrived."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert await body.read() == b"01234"
        loop = asyncio.get_running_loop()
        loop.call_soon(body.stop, BodyEnd.TAKEN_OVER)
        loop.call_soon(body.stop, BodyEnd.SHUTDOWN)  # the first reason counts
        assert await body.read() == b""
        assert body.end is BodyEnd.TAKEN_OVER
        assert body.unread

    await exchange(sending(HEAD_OF_10 + b"01234"), server)


async def test_stopping_between_reads_leaves_what_arrived() -> None:
    """Bytes that are there when a body is stopped are still read; none that come later are."""
    more = asyncio.Event()

    async def client(peer: Peer) -> None:
        await peer.send(HEAD_OF_10 + b"01234")
        await more.wait()
        await peer.send(b"56789")

    async def server(body: RequestBody, request: web.Request) -> None:
        body.stop(BodyEnd.SHUTDOWN)
        assert await body.read() == b"01234"
        assert await body.read() == b""
        assert body.end is BodyEnd.SHUTDOWN
        more.set()
        assert await body.read() == b""

    await exchange(client, server)


async def test_a_cancellation_from_outside_passes_through() -> None:
    """Only the cancellation that `stop` makes ends in the body; any other is the task's."""

    async def server(body: RequestBody, request: web.Request) -> None:
        task = asyncio.ensure_future(body.read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert body.end is None

    await exchange(sending(HEAD_OF_10), server)


async def test_a_cancellation_together_with_a_stop_is_not_swallowed() -> None:
    """A reader that is stopped and cancelled at once is cancelled."""

    async def server(body: RequestBody, request: web.Request) -> None:
        task = asyncio.ensure_future(body.read())
        await asyncio.sleep(0)
        body.stop(BodyEnd.TAKEN_OVER)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await exchange(sending(HEAD_OF_10), server)


async def test_silence_ends_a_body() -> None:
    """A client that falls silent while it is being waited for is given up."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert await read_all(body) == b"01234"
        assert body.end is BodyEnd.TIMED_OUT

    await exchange(sending(HEAD_OF_10, b"01234"), server, idle_timeout_s=0.05)


async def test_only_the_client_s_silence_counts() -> None:
    """Time that the server itself takes between two reads is not the client's."""
    timeout_s = 0.05
    more = asyncio.Event()

    async def client(peer: Peer) -> None:
        await peer.send(HEAD_OF_10, b"01234")
        await more.wait()
        await peer.send(b"56789")

    async def server(body: RequestBody, request: web.Request) -> None:
        assert await body.read() == b"01234"
        await asyncio.sleep(2.5 * timeout_s)  # the work that takes so long
        assert body.end is None
        asyncio.get_running_loop().call_soon(more.set)
        assert await read_all(body) == b"56789"
        assert body.end is BodyEnd.COMPLETE

    await exchange(client, server, idle_timeout_s=timeout_s)


async def test_broken_framing_ends_a_body() -> None:
    """A chunk that is none ends the body at once; what came before it is read."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert await read_all(body) == b"01234"
        assert body.end is BodyEnd.MALFORMED

    await exchange(sending(CHUNKED, b"5\r\n01234\r\n", b"nonsense\r\n"), server)


async def test_100_continue_waits_for_the_first_read() -> None:
    """Nothing is promised to a client before somebody wants its body."""
    checked = asyncio.Event()

    async def client(peer: Peer) -> None:
        await peer.send(ASKING)
        interim = asyncio.ensure_future(peer.status())
        await asyncio.sleep(0)
        assert not interim.done()
        checked.set()
        assert await interim == 100
        await peer.send(b"0123456789")
        assert await peer.status() == 200

    async def server(body: RequestBody, request: web.Request) -> None:
        await checked.wait()
        assert await read_all(body) == b"0123456789"

    await exchange(client, server)


@pytest.mark.parametrize("client", [vanishing(ASKING), resetting(ASKING)], ids=["end", "reset"])
async def test_100_continue_for_nobody_is_a_disconnect(
    client: Callable[[Peer], Awaitable[None]],
) -> None:
    """A client that asks and goes before it is answered is one that went away."""

    async def server(body: RequestBody, request: web.Request) -> None:
        await gone(request)
        assert await body.read() == b""
        assert body.end is BodyEnd.DISCONNECTED

    await exchange(client, server)


async def test_what_nobody_wants_is_read_away() -> None:
    """The rest of a refused body is discarded, and its end is found."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert body.unread
        assert await body.discard()
        assert not body.unread

    await exchange(sending(HEAD_OF_10, b"01234", b"56789"), server)


@pytest.mark.parametrize(
    "client",
    [vanishing(HEAD_OF_10, b"0"), sending(CHUNKED, b"nonsense\r\n"), sending(HEAD_OF_10, b"0")],
    ids=["disconnect", "broken framing", "silence"],
)
async def test_reading_away_gives_up(client: Callable[[Peer], Awaitable[None]]) -> None:
    """A body that does not end is not awaited for long."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert not await body.discard()

    await exchange(client, server)


async def test_reading_away_is_bounded() -> None:
    """Of a body without end no more than a few megabytes are taken."""
    size = 4 * LINGER_BYTES
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    done = asyncio.Event()

    async def client(peer: Peer) -> None:
        peer.writer.write(head)
        with contextlib.suppress(ConnectionError):  # the server may close in the middle of it
            for _ in range(size // 2**20):
                if done.is_set():
                    return
                peer.writer.write(bytes(2**20))
                await peer.writer.drain()

    async def server(body: RequestBody, request: web.Request) -> None:
        assert not await body.discard()
        done.set()
        assert body.unread

    await exchange(client, server)


async def test_there_are_no_trailers_before_the_end() -> None:
    """Trailers are to be had behind a complete body only."""

    async def server(body: RequestBody, request: web.Request) -> None:
        assert body.trailers() is None
        await read_all(body)
        assert body.trailers() == {"x-sum": "5"}

    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nTrailer: X-Sum\r\n\r\n")
    await exchange(sending(head, b"1\r\n0\r\n0\r\nX-Sum: 5\r\n\r\n"), server)
