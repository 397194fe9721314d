"""The fast lane: large bodies through a few buffers that are used again and again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from tusd_py import Stores, create_app, wiring
from tusd_py.data.memory import MemoryData, MemorySession
from tusd_py.interfaces import BodyEnd
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.protocol import checksum as checksums
from tusd_py.protocol.model import Upload
from tusd_py.web.body import LAST_CALL_S, RequestBody
from tusd_py.web.direct import BufferPool, buffer_size

from .serving import connected, handling, serving

Read = Callable[[RequestBody], Awaitable[None]]
MIB = 1024 * 1024


def head(length: int) -> bytes:
    """The head of a request with a body."""
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


# The smallest buffer. A third of what is left in a pool is given out at a time: three times this
# is a pool of one buffer, five times this one of three.
SMALLEST = 256 * 1024


def served(pool: BufferPool, *reads: Read) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that reads the body of each request in its own way."""
    turns = iter(reads)

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, pool=pool)
        await next(turns)(body)
        body.close()
        return web.Response(text=str(body.end))

    return handle


class Digest:
    """Reads a body to its end."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self.views = 0

    async def __call__(self, body: RequestBody) -> None:
        while chunk := await body.read():
            self.views += isinstance(chunk, memoryview)
            self.sha.update(chunk)


@pytest.mark.parametrize("length", [MIB - 1, MIB, 3 * MIB, 5 * MIB + 4321])
async def test_bytes_arrive_as_sent(length: int) -> None:
    """A body of any length comes through the lane unchanged, in lent buffers where they fill."""
    content, read = os.urandom(length), Digest()
    async with handling(served(BufferPool(5 * SMALLEST), read)) as port, connected(port) as peer:
        await peer.send(head(length) + content)
        status, text = await peer.answer()
    assert (status, text) == (200, b"BodyEnd.COMPLETE")
    assert read.sha.digest() == hashlib.sha256(content).digest()
    assert read.views >= (length - 512 * 1024) // SMALLEST  # the first ones are copied


async def test_connection_goes_on_after_a_body() -> None:
    """Further requests on the connection are answered, also one that came right behind."""
    content, first, second = os.urandom(2 * MIB), Digest(), Digest()
    async with (
        handling(served(BufferPool(5 * SMALLEST), first, second)) as port,
        connected(port) as peer,
    ):
        await peer.send(head(len(content)) + content + head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert first.sha.digest() == second.sha.digest() == hashlib.sha256(content).digest()


async def test_a_lent_buffer_stays_until_the_second_read_after() -> None:
    """Whoever writes a buffer to disk may do so until it has been given the next one."""
    content = os.urandom(8 * MIB)
    checked = 0

    async def read(body: RequestBody) -> None:
        nonlocal checked
        before: memoryview | bytes = b""
        copy, at = b"", 0
        while chunk := await body.read():
            assert bytes(before) == copy
            before, copy = chunk, bytes(chunk)
            assert content[at : at + len(copy)] == copy
            at += len(copy)
            checked += isinstance(chunk, memoryview)
            await asyncio.sleep(0.002)  # let the transport fill what it may

    async with handling(served(BufferPool(5 * SMALLEST), read)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert checked >= 6


async def test_the_pool_bounds_nothing_but_speed() -> None:
    """Without a free buffer bodies still arrive, in smaller pieces, and buffers come back."""
    content, pool = os.urandom(3 * MIB), BufferPool(3 * SMALLEST)
    taken = pool.take(MIB)
    assert taken is not None
    reads = [Digest(), Digest()]
    async with handling(served(pool, *reads)) as port:
        async with connected(port) as peer:
            await peer.send(head(len(content)) + content)
            assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
        pool.give(taken)
        async with connected(port) as peer:
            await peer.send(head(len(content)) + content)
            assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert [read.views > 0 for read in reads] == [False, True]
    assert {read.sha.digest() for read in reads} == {hashlib.sha256(content).digest()}
    assert pool.take(MIB) is taken


def test_the_fewer_bodies_the_larger_their_buffers() -> None:
    """A large body alone gets large buffers; the more are in use, the smaller they get."""
    pool = BufferPool(24 * MIB)
    sizes = []
    while (buffer := pool.take(1024 * MIB)) is not None:
        sizes.append(len(buffer))
    assert sizes[:3] == [4 * MIB] * 3
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == SMALLEST
    assert 23 * MIB < sum(sizes) <= 24 * MIB


def test_a_body_gets_no_more_than_it_needs() -> None:
    """A small one fits into one buffer; of others half is received while half is written."""
    pool = BufferPool(24 * MIB)
    some_came = 8 * MIB - 100_000
    for due, size in [
        (1024, 4),
        (8, 4),
        (some_came / MIB, 4),
        (3, 2),
        (2, 2),
        (1, 1),
        (0.4, 0.5),
        (0.001, 0.25),
    ]:
        buffer = pool.take(buffer_size(int(due * MIB)))
        assert buffer is not None
        assert len(buffer) == size * MIB
        pool.give(buffer)


async def test_the_last_bytes_are_not_copied_either() -> None:
    """What is left of a body after full buffers is lent in one that is not full."""
    content, pool, views = os.urandom(6 * SMALLEST + 5 * 32 * 1024), BufferPool(5 * SMALLEST), []

    async def read(body: RequestBody) -> None:
        while chunk := await body.read():
            views.append(len(chunk) if isinstance(chunk, memoryview) else 0)
            assert content[sum(sizes) : sum(sizes) + len(chunk)] == bytes(chunk)
            sizes.append(len(chunk))

    sizes: list[int] = []
    async with handling(served(pool, read)) as port, connected(port) as peer:
        await peer.send(head(len(content)) + content)
        assert await peer.answer() == (200, b"BodyEnd.COMPLETE")
    assert sum(sizes) == len(content)
    assert 0 < views[-1] == sizes[-1] < SMALLEST


def test_idle_buffers_make_room_for_others() -> None:
    """What is kept for later use is within the budget too."""
    pool = BufferPool(12 * MIB)
    for due in (1024 * MIB, 8 * MIB, 4 * MIB, MIB):
        buffers = []
        while (buffer := pool.take(due)) is not None:
            buffers.append(buffer)
        idle = sum(size * len(kept) for size, kept in pool._idle.items())
        assert sum(map(len, buffers)) + idle <= 12 * MIB
        for buffer in buffers:
            pool.give(buffer)


async def test_a_slow_body_keeps_no_buffer() -> None:
    """Between the segments of a slow body its buffer is back in the pool."""
    pool, came = BufferPool(3 * SMALLEST), asyncio.Event()

    async def read(body: RequestBody) -> None:
        assert await body.read() == b"ab"  # with the head, or alone
        came.set()
        while await body.read():
            buffer = pool.take(MIB)
            assert buffer is not None
            pool.give(buffer)

    async with handling(served(pool, read)) as port, connected(port) as peer:
        await peer.send(head(2 * MIB), b"ab")
        await came.wait()
        await peer.send(b"cd")
        await peer.close()


@pytest.mark.parametrize("sent", [MIB + 100, 2 * MIB, 3 * MIB - 1])
async def test_what_arrived_before_the_end_is_kept(sent: int) -> None:
    """All that a client sent before it closed its side is there, and it gets its answer."""
    content, read = os.urandom(sent), Digest()
    async with handling(served(BufferPool(5 * SMALLEST), read)) as port, connected(port) as peer:
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
        received.extend(await body.read())
        await everything.wait()
        body.stop(BodyEnd.TAKEN_OVER)
        started = asyncio.get_running_loop().time()
        while chunk := await body.read():
            received.extend(chunk)
        assert asyncio.get_running_loop().time() - started < LAST_CALL_S + 0.5

    async with handling(served(BufferPool(5 * SMALLEST), read)) as port, connected(port) as peer:
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


async def test_many_bodies_share_few_buffers() -> None:
    """Bodies at the same time never see each other's bytes."""
    pool = BufferPool(6 * SMALLEST)
    contents = [os.urandom(3 * MIB + n) for n in range(6)]
    reads: dict[int, Digest] = {}

    async def handle(request: web.Request) -> web.Response:
        body = RequestBody(request, idle_timeout_s=10, pool=pool)
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


class Recording(MemoryData):
    """A store that notes which bodies came in lent buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.lent: list[bool] = []

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: checksums.Digest | None = None
    ) -> AsyncIterator[MemorySession]:
        async with super().append(upload, digest=digest) as session:
            write, kinds = session.write, []

            async def note(buffer: bytes | memoryview) -> None:
                kinds.append(isinstance(buffer, memoryview))
                await write(buffer)

            session.write = note  # type: ignore[method-assign]
            try:
                yield session
            finally:
                self.lent.append(any(kinds))


async def test_each_request_gives_its_buffers_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers of one request serve the next one, whether it was stored or refused."""
    monkeypatch.setattr(wiring.app, "POOL_BYTES", 5 * SMALLEST)
    data, length = Recording(), 3 * MIB
    app = create_app(stores=Stores(MemoryOffsets(), data), own_server=True)
    async with serving(app) as port, connected(port) as peer:
        for checksum in ("", f"Upload-Checksum: sha1 {'A' * 27}=\r\n") * 3:
            await peer.send(
                f"POST / HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n{checksum}"
                f"Upload-Length: {length}\r\nContent-Length: {length}\r\n"
                "Content-Type: application/offset+octet-stream\r\n\r\n".encode()
                + bytes(length)
            )
            assert (await peer.answer())[0] == (460 if checksum else 201)
    assert data.lent == [True] * 6


async def test_an_abandoned_body_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store is full, the client is told so, and what follows is never misread."""
    pools: list[BufferPool] = []

    class Pool(BufferPool):
        def __init__(self, budget: int) -> None:
            super().__init__(budget)
            pools.append(self)

    monkeypatch.setattr(wiring.app, "BufferPool", Pool)
    monkeypatch.setattr(wiring.app, "POOL_BYTES", 5 * SMALLEST)
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
    assert [pools[0].take(MIB) is not None for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("due", [10, 3 * MIB])
async def test_nothing_watches_an_abandoned_body(due: int) -> None:
    """A body that nobody reads on leaves no timer behind."""
    bodies: list[RequestBody] = []

    async def read(body: RequestBody) -> None:
        bodies.append(body)
        await body.read()

    async with handling(served(BufferPool(5 * SMALLEST), read)) as port, connected(port) as peer:
        await peer.send(head(due) + b"abc")
        await peer.answer()
    assert bodies[0].end is None
    assert bodies[0]._watchdog is None
