"""The fast lane: large bodies that nobody reads before they are stored."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from tusd_py import Stores, create_app
from tusd_py.data.memory import MemoryData
from tusd_py.interfaces import SHOWN_BYTES, BodyEnd, Chunk, size_of
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.web import direct
from tusd_py.web.body import LAST_CALL_S, RequestBody
from tusd_py.web.handlers import _send

from ..support.unread import taken
from .serving import Peer, connected, handling, serving

Read = Callable[[RequestBody], Awaitable[None]]
MIB = 1024 * 1024


def head(length: int) -> bytes:
    """The head of a request with a body."""
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def served(*reads: Read) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that reads the body of each request in its own way."""
    turns = iter(reads)

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, fast=True)
        await next(turns)(body)
        body.close()
        return web.Response(text=str(body.end))

    return handle


class Digest:
    """Reads a body to its end."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.chunks: list[Chunk] = []

    async def __call__(self, body: RequestBody) -> None:
        while chunk := await body.read():
            self.chunks.append(chunk)
            self.sha.update(taken(chunk))

    @property
    def unread(self) -> int:
        """How many bytes did not come as `bytes`."""
        return sum(size_of(chunk) for chunk in self.chunks if not isinstance(chunk, bytes))


@pytest.mark.parametrize("length", [MIB - 1, MIB, 3 * MIB, 5 * MIB + 4321])
async def test_bytes_arrive_as_sent(length: int) -> None:
    """A body of any length comes through the lane unchanged, and most of it unread."""
    content, read = os.urandom(length), Digest()
    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(length) + content)
        status, text = await peer.answer()
    assert (status, text) == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
    assert read.unread >= length // 4
    shown = itertools.takewhile(lambda chunk: isinstance(chunk, bytes), read.chunks)
    assert sum(map(size_of, shown)) >= SHOWN_BYTES


async def test_connection_goes_on_after_a_body() -> None:
    """Further requests on the connection are answered, also one that came right behind."""
    content, first, second = os.urandom(2 * MIB), Digest(), Digest()
    async with (
        handling(served(first, second)) as port,
        connected(port) as peer,
    ):
        await peer.send(head(len(content)) + content + head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert first.sha.digest() == second.sha.digest() == hashlib.sha256(content).digest()


async def test_what_was_not_taken_comes_again() -> None:
    """Whoever takes a part of a chunk finds the rest in the next one."""
    content, received = os.urandom(3 * MIB), bytearray()

    async def read(body: RequestBody) -> None:
        piece = memoryview(bytearray(100_000))
        while chunk := await body.read():
            if isinstance(chunk, bytes):
                received.extend(chunk)
            else:
                received.extend(piece[: chunk.read_into(piece)])
        assert body.received == len(content)

    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert bytes(received) == content


async def test_a_slow_disk_gets_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time for a chunk is over no more of it is taken, but some of each is."""
    monkeypatch.setattr(direct, "TURN_S", -1.0)
    content, read = os.urandom(3 * MIB), Digest()
    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
    assert all(0 < size_of(chunk) <= 256 * 1024 for chunk in read.chunks)
    assert read.unread


async def test_what_nobody_took_is_no_request() -> None:
    """Of a body of which the last chunk was left where it is, bytes may still come."""
    unread: list[bool] = []

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, fast=True)
        while isinstance(await body.read(), bytes):
            pass
        body.close()
        unread.append(body.unread)
        response = web.Response()
        response.force_close()
        return response

    # A parser that begins anywhere in the blank lines would find the request behind them.
    smuggled = b"OPTIONS / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    content = b"\r\n" * MIB + smuggled
    async with handling(handle) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content)
        await peer.rest()
    assert unread == [True]


async def test_what_is_given_up_ends_its_connection() -> None:
    """Even if aiohttp's parser comes to an end of its own by then: it began too late to count."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = RequestBody(request, idle_timeout_s=10, fast=True)
        while taken(await body.read()):
            if isinstance(body._last, bytes):
                continue
            break
        body.close()
        assert body.misframed
        body._content.feed_eof()
        return await _send(request, web.Response(), body)

    async with handling(handle) as port, connected(port) as peer:
        await peer.send(head(20 * MIB) + bytes(2 * MIB))
        said = await peer.rest()
    assert b"\r\nConnection: close\r\n" in said


async def test_an_urgent_byte_is_no_end_and_no_reason_to_spin() -> None:
    """TCP lets a client mark a byte: what comes before and behind it is the body."""
    content, read, used = os.urandom(MIB), Digest(), [0.0]

    async def timed(body: RequestBody) -> None:
        started = time.process_time()
        await read(body)
        used[0] = time.process_time() - started

    async with handling(served(timed)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content[: MIB // 2])
        sock = peer.writer.get_extra_info("socket")
        with socket.socket(fileno=os.dup(sock.fileno())) as urgent:
            urgent.send(b"!", socket.MSG_OOB)
            await asyncio.sleep(0.5)  # in which nothing is to be done
            await peer.send(content[MIB // 2 :])
            assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
    assert used[0] < 0.4


async def test_a_connection_that_is_given_up_ends_the_body_at_once() -> None:
    """Nobody goes on receiving through the duplicate of a socket that has been closed."""
    ended = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=30, fast=True)
        assert request.transport is not None
        asyncio.get_running_loop().call_later(0.1, request.transport.abort)
        while taken(await body.read()):
            pass
        assert body.end is BodyEnd.DISCONNECTED
        body.close()
        ended.set()
        return web.Response()

    async with handling(handle) as port, connected(port) as peer:
        await peer.send(head(2 * MIB) + bytes(300_000))
        async with asyncio.timeout(5):
            await ended.wait()
            assert await peer.rest() == b""


async def test_without_a_descriptor_a_body_takes_the_ordinary_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it is lost, and the client gets its answer."""

    def no_dup(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    content, read = os.urandom(3 * MIB), Digest()
    async with handling(served(read)) as port, connected(port) as peer:
        monkeypatch.setattr(os, "dup", no_dup)
        await peer.send(head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
    assert not read.unread


async def test_bytes_behind_the_body_are_not_taken() -> None:
    """However much a chunk may be, it ends with the body."""
    first, content, second = Digest(), os.urandom(2 * MIB), Digest()
    async with handling(served(first, second)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content + head(3) + b"abc")
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert first.sha.digest() == hashlib.sha256(content).digest()
    assert second.sha.digest() == hashlib.sha256(b"abc").digest()


async def test_the_socket_is_given_back_as_it_was() -> None:
    """It is readable at the first byte of the next request, and nobody has a copy of it."""
    sockets: list[socket.socket] = []

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, fast=True)
        assert request.transport is not None
        sockets.append(request.transport.get_extra_info("socket"))
        before = len(os.listdir("/proc/self/fd"))
        while chunk := await body.read():
            taken(chunk)
        body.close()
        assert len(os.listdir("/proc/self/fd")) == before
        low_water = sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        return web.Response(text=str(low_water))

    async with handling(handle) as port, connected(port) as peer:
        await peer.send(head(MIB) + bytes(MIB // 2))
        await asyncio.sleep(0.1)
        await peer.send(bytes(MIB // 2))
        assert await peer.answer() == (200, b"1")


async def test_a_slow_body_comes_as_bytes() -> None:
    """A few bytes now and then are no work for a thread, and they are not waited for to be more."""
    came = [asyncio.Event() for _ in range(4)]
    chunks: list[Chunk] = []

    async def read(body: RequestBody) -> None:
        while chunk := await body.read():
            chunks.append(chunk)
            came[len(chunks)].set()

    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(2 * MIB))
        for number, sent in enumerate([b"ab", b"cd", b"ef"]):
            await peer.send(sent)
            async with asyncio.timeout(5):
                await came[number + 1].wait()
        await peer.close()
    assert chunks == [b"ab", b"cd", b"ef"]


@pytest.mark.parametrize("sent", [MIB + 100, 2 * MIB, 3 * MIB - 1])
async def test_what_arrived_before_the_end_is_kept(sent: int) -> None:
    """All that a client sent before it closed its side is there, and it gets its answer."""
    content, read = os.urandom(sent), Digest()
    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(3 * MIB) + content)
        peer.writer.write_eof()
        assert await peer.answer() == (200, b"BodyEnd.DISCONNECTED")
    assert read.sha.digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("seed", range(4))
async def test_stopping_counts_what_was_on_its_way(seed: int) -> None:
    """A body that is taken over still gets all that its client had sent until then."""
    sent = MIB + seed * 1_500_001
    content, received = os.urandom(sent), bytearray()
    everything = asyncio.Event()

    async def read(body: RequestBody) -> None:
        received.extend(taken(await body.read()))
        await everything.wait()
        body.stop(BodyEnd.TAKEN_OVER)
        started = asyncio.get_running_loop().time()
        while chunk := await body.read():
            received.extend(taken(chunk))
        assert asyncio.get_running_loop().time() - started < LAST_CALL_S + 0.5

    async with handling(served(read)) as port, connected(port) as peer:
        peer.writer.write(head(50 * MIB) + content)
        # What the kernel does not take yet has not been sent.
        while peer.writer.transport.get_write_buffer_size() and len(received) < sent:
            await asyncio.sleep(0.01)
            if peer.writer.transport.get_write_buffer_size():
                break
        unsent = peer.writer.transport.get_write_buffer_size()
        everything.set()
        assert (await peer.answer())[1] == b"BodyEnd.TAKEN_OVER"
    assert len(received) >= sent - unsent
    assert bytes(received) == content[: len(received)]


async def test_bodies_at_the_same_time_are_no_matter() -> None:
    """They never see each other's bytes."""
    contents = [os.urandom(3 * MIB + n) for n in range(6)]
    reads: dict[int, Digest] = {}

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, fast=True)
        read = reads[request.content_length or 0] = Digest()
        await read(body)
        body.close()
        return web.Response()

    async def upload(port: int, content: bytes) -> None:
        async with connected(port) as peer:
            for start in itertools.chain(range(0, len(content), 300_000)):
                end = start + 300_000
                data = content[start:end] if start else head(len(content)) + content[:end]
                await peer.send(data)
            assert await peer.status() == 200

    async with handling(handle) as port, asyncio.TaskGroup() as uploads:
        for content in contents:
            uploads.create_task(upload(port, content))
    for content in contents:
        assert reads[len(content)].sha.digest() == hashlib.sha256(content).digest()


async def test_an_abandoned_body_ends_its_connection() -> None:
    """When the store is full, the client is told so, and what follows is never misread."""
    app = create_app(stores=Stores(MemoryOffsets(), MemoryData(MIB)), own_server=True)
    length = 4 * MIB
    head_of_post = (
        "POST / HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n"
        f"Upload-Length: {length}\r\nContent-Length: {length}\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    ).encode()
    async with serving(app) as port:
        for _ in range(3):
            async with connected(port) as peer:
                await peer.send(head_of_post + bytes(length) + b"OPTIONS / HTTP/1.1\r\n" * 9)
                said = await peer.rest()
            assert said.startswith(b"HTTP/1.1 507 ")
            assert b"\r\nConnection: close\r\n" in said
            assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("due", [10, 3 * MIB])
async def test_nothing_watches_an_abandoned_body(due: int) -> None:
    """A body that nobody reads on leaves no timer behind."""
    bodies: list[RequestBody] = []

    async def read(body: RequestBody) -> None:
        bodies.append(body)
        await body.read()

    async with handling(served(read)) as port, connected(port) as peer:
        await peer.send(head(due) + b"abc")
        await peer.answer()
    assert bodies[0].end is None
    assert bodies[0]._watchdog is None


# --- before the lane is taken


async def settle(peer: Peer) -> None:
    """Let the server read whatever it wants to."""
    for _ in range(20):
        await peer.send(b"")


async def test_nothing_more_is_read_before_it_is_asked_for() -> None:
    """Of a large body aiohttp gets what came with the head, whatever comes behind that."""
    content, read, came = os.urandom(5 * MIB), Digest(), asyncio.Event()
    may_read = asyncio.Event()
    first_read: list[int] = []

    async def wait(body: RequestBody) -> None:
        came.set()
        await may_read.wait()
        first_read.append(body._content.total_bytes)
        await read(body)

    async with handling(served(wait)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content[:1000])
        await came.wait()
        peer.writer.write(content[1000:])
        await settle(peer)
        may_read.set()
        status, text = await peer.answer()
    assert (status, text) == (200, b"BodyEnd.COMPLETE")
    assert first_read == [1000]
    assert read.sha.digest() == hashlib.sha256(content).digest()


async def test_a_large_body_that_nobody_wants_is_no_burden() -> None:
    """Who answers without reading leaves the connection as it does with any other body."""

    async def refuse(body: RequestBody) -> None:
        assert await body.discard()

    content, read = os.urandom(MIB), Digest()
    async with handling(served(refuse, read)) as port, connected(port) as peer:
        await peer.send(head(MIB) + content)
        assert await peer.answer() == (200, b"None")
        await peer.send(head(MIB) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
