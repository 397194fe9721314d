"""A plain HTTP/1.1 client on sockets, which sends exactly the bytes it is told to send."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types import TracebackType

TIMEOUT_S = 5.0
RECEIVE_BYTES = 65536
MAX_HEAD_BYTES = 262144

INTERIM = range(100, 200)
SUCCESS = range(200, 300)
CLIENT_ERROR = range(400, 500)
STATUSES_WITHOUT_BODY = frozenset({204, 304})

Field = tuple[str, str]


class WireError(Exception):
    """No usable answer came: the text says what came instead."""


class ServerGoneError(WireError):
    """Nothing accepts connections at the server's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a URL points to: whom to connect to, and what to ask for."""

    secure: bool
    host: str
    port: int
    authority: str
    target: str


def parse_url(url: str) -> Address:
    """Split an absolute http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"not an absolute http or https URL: {url!r}"
        raise WireError(message)
    secure = parts.scheme == "https"
    return Address(
        secure=secure,
        host=parts.hostname,
        port=parts.port or (443 if secure else 80),
        authority=parts.netloc.rpartition("@")[2],
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunked:
    """A body sent with the chunked transfer coding, with fields after its last chunk."""

    chunks: tuple[bytes, ...]
    trailers: tuple[Field, ...] = ()

    def encode(self) -> bytes:
        """Return the body as it goes over the wire."""
        parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in self.chunks]
        return b"".join(parts) + b"0\r\n" + format_fields(self.trailers) + b"\r\n"


Body = bytes | Chunked | None


def format_fields(fields: tuple[Field, ...]) -> bytes:
    """Return header fields as lines; text beyond ASCII is sent as UTF-8."""
    lines = (f"{name}: {value}\r\n" for name, value in fields)
    return "".join(lines).encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; the framing field is derived from the body unless the fields have one."""

    method: str
    url: str
    fields: tuple[Field, ...] = ()
    body: Body = None

    def head(self) -> bytes:
        """Return the request line and the fields, up to the empty line."""
        address = parse_url(self.url)
        line = f"{self.method} {address.target} HTTP/1.1\r\n".encode("ascii")
        fields = (("Host", address.authority), *self.fields, *self._framing())
        return line + format_fields(fields) + b"\r\n"

    def encode(self) -> bytes:
        """Return the whole request as it goes over the wire."""
        if isinstance(self.body, Chunked):
            return self.head() + self.body.encode()
        return self.head() + (self.body or b"")

    def _framing(self) -> tuple[Field, ...]:
        given = {name.lower() for name, _ in self.fields}
        if self.body is None or given & {"content-length", "transfer-encoding"}:
            return ()
        if isinstance(self.body, Chunked):
            return (("Transfer-Encoding", "chunked"),)
        return (("Content-Length", str(len(self.body))),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One final answer, with the statuses of the interim answers before it."""

    request: bytes
    head: bytes
    status: int
    reason: str
    fields: tuple[Field, ...]
    body: bytes = b""
    interim: tuple[int, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the value of a field, several lines joined by commas, or None without it."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def items(self, name: str) -> tuple[str, ...]:
        """Return the elements of a comma-separated field, without the blanks around them."""
        value = self.get(name)
        if value is None:
            return ()
        return tuple(item.strip() for item in value.split(","))

    def transcript(self) -> str:
        """Return both heads, marked as curl marks them."""
        return f"{quote_head(self.request, '>')}\n{quote_head(self.head, '<')}"


def quote_head(head: bytes, mark: str) -> str:
    """Return a message head as text, each line after a mark."""
    text = head.decode("utf-8", "backslashreplace").strip("\r\n")
    return "\n".join(f"    {mark} {line}" for line in text.split("\r\n"))


def parse_head(head: bytes) -> tuple[int, str, tuple[Field, ...]]:
    """Return status, reason and fields of a response head."""
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        message = f"not the status line of an HTTP/1 answer: {lines[0]!r}"
        raise WireError(message)
    pairs = (line.partition(":") for line in lines[1:])
    return int(status), reason, tuple((name, value.strip(" \t")) for name, _, value in pairs)


class Connection:
    """A connection to the server; every operation on it ends within TIMEOUT_S."""

    def __init__(self, url: str) -> None:
        """Connect to the server the URL names."""
        address = parse_url(url)
        self._request = b""
        self._received = b""
        try:
            sock = socket.create_connection((address.host, address.port), TIMEOUT_S)
            if address.secure:
                context = ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=address.host)
        except OSError as error:
            message = f"cannot connect to {address.host} port {address.port}: {error}"
            raise ServerGoneError(message) from error
        self._socket = sock

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._socket.close()

    def send_head(self, request: Request) -> None:
        """Send the head of a request alone; its body is up to the caller."""
        self._request = request.head()
        self.send(self._request)

    def send_request(self, request: Request) -> None:
        """Send a whole request."""
        self._request = request.head()
        self.send(request.encode())

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has closed may still have left an answer to read."""
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            self._fail(f"the server took no bytes for {TIMEOUT_S:g} s", error)
        except OSError:
            return

    def cut(self) -> None:
        """End the sending side in mid-request and wait until the server has noticed.

        Closing at once would leave it open whether the server has read what was sent.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(RECEIVE_BYTES):
                pass
        except OSError:
            return
        finally:
            self._socket.close()

    def end_sending(self) -> None:
        """Close the sending side only."""
        self._socket.shutdown(socket.SHUT_WR)

    def read_response(self, method: str = "GET") -> Response:
        """Return the next final answer; after HEAD it has no body, whatever its fields say."""
        interim: list[int] = []
        while True:
            head = self.read_head()
            status, reason, fields = parse_head(head)
            if status not in INTERIM:
                break
            interim.append(status)
        response = Response(
            request=self._request,
            head=head,
            status=status,
            reason=reason,
            fields=fields,
            interim=tuple(interim),
        )
        if method == "HEAD" or status in STATUSES_WITHOUT_BODY:
            return response
        try:
            return self._with_body(response)
        except ValueError as error:
            self._fail("the answer's length or chunk size is no number", error)

    def read_head(self) -> bytes:
        """Return the next head, interim or final, with its empty line."""
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > MAX_HEAD_BYTES:
                self._fail("the answer's head does not end")
            if not self._receive():
                self._fail("the server closed the connection instead of answering")
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def _with_body(self, response: Response) -> Response:
        if "chunked" in response.items("Transfer-Encoding"):
            body = self._read_chunks()
        elif (length := response.get("Content-Length")) is not None:
            body = self._read_exactly(int(length))
        else:
            while self._receive():
                pass
            body, self._received = self._received, b""
        return Response(
            request=response.request,
            head=response.head,
            status=response.status,
            reason=response.reason,
            fields=response.fields,
            body=body,
            interim=response.interim,
        )

    def _read_chunks(self) -> bytes:
        chunks: list[bytes] = []
        while size := int(self._read_line().partition(b";")[0], 16):
            chunks.append(self._read_exactly(size))
            self._read_line()
        while self._read_line():
            pass
        return b"".join(chunks)

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._received:
            if not self._receive():
                self._fail("the server closed the connection within its answer")
        line, _, self._received = self._received.partition(b"\r\n")
        return line

    def _read_exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            if not self._receive():
                self._fail("the server closed the connection within its answer")
        data, self._received = self._received[:size], self._received[size:]
        return data

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except TimeoutError as error:
            self._fail(f"no answer within {TIMEOUT_S:g} s", error)
        except OSError as error:
            self._fail(f"the connection broke before the answer: {error}", error)
        self._received += data
        return bool(data)

    def _fail(self, what: str, cause: Exception | None = None) -> NoReturn:
        message = f"{what}\n{quote_head(self._request, '>')}"
        raise WireError(message) from cause


def exchange(request: Request) -> Response:
    """Send one request on a connection of its own and return the answer."""
    with Connection(request.url) as connection:
        connection.send_request(request)
        return connection.read_response(request.method)
