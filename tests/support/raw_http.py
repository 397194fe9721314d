"""An HTTP/1.1 client on a plain socket: sends exactly the bytes it is given, broken or not."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from multidict import CIMultiDict, CIMultiDictProxy

# Nothing here waits that long unless something is wrong.
TIMEOUT_S = 30.0

Fields = Iterable[tuple[str, str | bytes]]


class NoAnswer(Exception):
    """The server closed the connection instead of answering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One final answer; `interim` are the statuses that came before it."""

    version: str
    status: int
    reason: str
    headers: CIMultiDictProxy[str]
    body: bytes
    interim: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def closes(self) -> bool:
        """Whether the server says that this was the last answer on the connection."""
        return self.headers.get("Connection", "").lower() == "close"


def head(method: str, target: str, *fields: tuple[str, str | bytes], host: str = "server") -> bytes:
    """Return the head of a request; fields are sent as they are, text as UTF-8."""
    lines = [f"{method} {target} HTTP/1.1".encode()]
    for name, value in (("Host", host), *fields):
        raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        lines.append(name.encode() + b": " + raw)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request(method: str, target: str, *fields: tuple[str, str | bytes], body: bytes = b"") -> bytes:
    """Return a whole request with its Content-Length."""
    return head(method, target, *fields, ("Content-Length", str(len(body)))) + body


def chunked(*chunks: bytes, trailers: Fields = ()) -> bytes:
    """Return a body in chunks, and the trailer behind it."""
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    fields = [f"{name}: ".encode() + _raw(value) + b"\r\n" for name, value in trailers]
    return b"".join(parts) + b"0\r\n" + b"".join(fields) + b"\r\n"


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


class RawConnection:
    """One connection to a server on loopback.

    Args:
        port: of the server.
        receive_bytes: how much the kernel may receive before it is read; 0: as it likes.
        timeout_s: how long to wait for the server each time, before TimeoutError is raised.
    """

    def __init__(self, port: int, *, receive_bytes: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._socket = socket.socket()
        if receive_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """Its own."""
        port: int = self._socket.getsockname()[1]
        return port

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has closed already may still have answered."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def end_sending(self) -> None:
        """Close the sending side only."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off as a crash or a cable does, with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def answer(self, method: str = "POST") -> Answer:
        """Return the next final answer.

        Raises:
            NoAnswer: the connection ended before it.
        """
        interim: list[int] = []
        while True:
            version, status, reason, headers = self._head()
            if status >= 200:
                break
            interim.append(status)
        return Answer(
            version=version,
            status=status,
            reason=reason,
            headers=CIMultiDictProxy(headers),
            body=self._body(method, status, headers),
            interim=tuple(interim),
        )

    def ended(self) -> bool:
        """Whether the server sends nothing more and closes; waits for it to do either."""
        return not self._received and not self._receive()

    def readable(self, patience_s: float) -> bool:
        """Whether there is something to read, or the end, before patience ends."""
        return bool(select.select([self._socket], [], [], patience_s)[0])

    def wait_ended(self, patience_s: float) -> bool:
        """Whether the server closes, without a word, before patience ends."""
        return self.readable(patience_s) and self.ended()

    def take(self, most: int) -> bytes:
        """Return up to that many bytes of what has come, whatever they are; none at the end."""
        try:
            return self._socket.recv(most)
        except ConnectionError:
            return b""

    def take_all(self) -> bytes:
        """Return everything up to the end of the connection, whatever it is."""
        return b"".join(iter(lambda: self.take(1 << 20), b""))

    def send_until_stuck(self, data: bytes, *, most_bytes: int, patience_s: float) -> int:
        """Send over and over, reading nothing; return how much until it is not taken any more."""
        sent = 0
        self._socket.settimeout(patience_s)
        with contextlib.suppress(OSError):  # a timeout, or the end
            while sent < most_bytes:
                sent += self._socket.send(data[sent % len(data) :])
        self._socket.settimeout(self._timeout_s)
        return sent

    def is_reset(self) -> bool:
        """Whether the server has broken the connection off."""
        poll = select.poll()
        poll.register(self._socket, 0)  # errors are told in any case
        return bool(poll.poll(0))

    def _head(self) -> tuple[str, int, str, CIMultiDict[str]]:
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                raise NoAnswer(repr(self._received))
        raw, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, status, *reason = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = CIMultiDict((name, value.strip()) for name, _, value in pairs)
        return version, int(status), "".join(reason), headers

    def _body(self, method: str, status: int, headers: CIMultiDict[str]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        assert "Transfer-Encoding" not in headers  # no answer of ours needs it
        length = headers.get("Content-Length")
        while length is None or len(self._received) < int(length):
            if not self._receive():
                assert length is None, "the answer was cut short"
                length = str(len(self._received))
        body, self._received = self._received[: int(length)], self._received[int(length) :]
        return body

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(1 << 20)
        except ConnectionError:
            return False
        self._received += data
        return bool(data)


def exchange(port: int, data: bytes, method: str = "POST") -> Answer:
    """Send one request, whole, on a connection of its own, and return the answer."""
    with RawConnection(port) as connection:
        connection.send(data)
        return connection.answer(method)
