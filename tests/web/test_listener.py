"""Connections are shared between workers, and none is lost."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tusd_py.web import listener
from tusd_py.web.admission import Admission
from tusd_py.web.listener import Listener
from tusd_py.web.shares import Shares

from ..support.certificate import make_certificate

SOON_S = 10.0


class Greeter(asyncio.Protocol):
    """Says who it belongs to, and counts itself."""

    def __init__(self, name: bytes, admission: Admission) -> None:
        self._name = name
        self._admission = admission

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._admission.enter(None)
        transport.write(self._name)


def listening(sock: socket.socket, name: bytes, shares: Shares | None, **options: Any) -> Listener:
    """A worker's listener on that socket."""
    admission = Admission(1000, shares=shares)
    options = {"ssl_context": None} | options
    return Listener(sock, lambda: Greeter(name, admission), admission=admission, **options)


@contextlib.asynccontextmanager
async def greeted(port: int, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[bytes]:
    """Connect and yield the name of whom the connection was accepted by."""
    async with asyncio.timeout(SOON_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ssl_context)
        try:
            yield await reader.readexactly(1)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
def sock() -> socket.socket:
    """A listening socket, closed by its listener."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def port_of(sock: socket.socket) -> int:
    """Where it listens."""
    port: int = sock.getsockname()[1]
    return port


def shares_of_two() -> tuple[Shares, Shares]:
    """What two workers see of the same memory."""
    mine = Shares(2)
    other = copy.copy(mine)
    mine.become(0)
    other.become(1)
    for one in (mine, other):
        one.note(0)
    return mine, other


async def test_workers_share_what_comes_together(sock: socket.socket) -> None:
    """Of forty connections each has about half."""
    mine, other = shares_of_two()
    port = port_of(sock)
    one, two = listening(sock.dup(), b"a", mine), listening(sock, b"b", other)
    try:
        async with contextlib.AsyncExitStack() as open_ones:
            names = await asyncio.gather(
                *(open_ones.enter_async_context(greeted(port)) for _ in range(40))
            )
    finally:
        one.close()
        two.close()
    assert 16 <= names.count(b"a") <= 24
    assert names.count(b"a") + names.count(b"b") == 40


async def test_whoever_has_most_still_serves_when_others_do_not(sock: socket.socket) -> None:
    """The other worker has nothing to do and hangs: nobody waits for it for long."""
    mine, _ = shares_of_two()
    port = port_of(sock)
    one = listening(sock, b"a", mine)
    try:
        async with contextlib.AsyncExitStack() as open_ones:
            for _ in range(5):
                assert await open_ones.enter_async_context(greeted(port)) == b"a"
    finally:
        one.close()


def test_who_leaves_counts_no_more() -> None:
    """Other workers know how many connections are open, not how many there were."""
    mine, other = shares_of_two()
    admission = Admission(1000, shares=mine)
    for _ in range(5):
        admission.enter(None)
    assert not other.is_ahead(5)
    for _ in range(5):
        admission.leave(None)
    assert other.is_ahead(5)


def test_nothing_is_left_to_the_dead_or_to_those_not_born() -> None:
    """A worker counts from when it begins until it has ended."""
    shares = Shares(2)
    shares.become(0)
    assert not shares.is_ahead(5)
    other = copy.copy(shares)
    other.become(1)
    assert not shares.is_ahead(5)
    Admission(1000, shares=other)
    assert shares.is_ahead(5)
    shares.bury(1)
    assert not shares.is_ahead(5)


@pytest.mark.parametrize(("least", "most"), [(0, 2), (1, 3), (16, 22), (800, 1002)])
def test_small_differences_are_no_reason_to_wait(least: int, most: int) -> None:
    """Two more than another has, and one in four, is about as many."""
    mine, other = shares_of_two()
    other.note(least)
    assert not mine.is_ahead(most)
    assert mine.is_ahead(most + 1)


class FullSocket(socket.socket):
    """Finds no descriptor for a connection, the first time."""

    full = True

    def accept(self) -> tuple[socket.socket, Any]:
        if self.full:
            self.full = False
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_descriptors_connections_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are accepted a while later, when there are some again."""
    monkeypatch.setattr(listener, "_PAUSE_S", 0.01)
    full = FullSocket()
    full.bind(("127.0.0.1", 0))
    full.listen()
    port = port_of(full)
    one = listening(full, b"a", None)
    try:
        with caplog.at_level(logging.ERROR):
            async with greeted(port) as name:
                assert name == b"a"
    finally:
        one.close()
    assert [record.message for record in caplog.records] == ["AcceptError"]


async def test_a_handshake_that_fails_is_no_matter(sock: socket.socket, tmp_path: Path) -> None:
    """Its connection is closed, the next one is served, and one that hangs ends with us."""
    certificate, key = make_certificate(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    theirs = ssl.create_default_context(cafile=str(certificate))
    port = port_of(sock)
    one = listening(sock, b"a", None, ssl_context=ours)
    try:
        async with asyncio.timeout(SOON_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with greeted(port, theirs) as name:  # so the one before has been accepted, too
            assert name == b"a"
    finally:
        one.close()
    async with asyncio.timeout(SOON_S):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_has_a_connection_keeps_it_to_its_end(
    sock: socket.socket, new_event_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The end of the listener may come in the very turn in which a connection begins."""

    class Ending(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            listeners[0].close()
            asyncio.get_running_loop().call_later(0.01, transport.write, b"a")

    async def run() -> bytes:
        port = port_of(sock)
        listeners.append(Listener(sock, Ending, ssl_context=None, admission=None))
        async with greeted(port) as name:
            await listeners[0].wait_closed()
            return name

    listeners: list[Listener] = []
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(run()) == b"a"
