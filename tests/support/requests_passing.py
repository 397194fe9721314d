"""Follows the requests that pass on one connection, as far as a proxy has to understand them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(kw_only=True, slots=True)
class PassingRequest:
    """One request on its way to the server.

    Attributes:
        headers: names in lower case.
        body_bytes: how many bytes of the body have been passed on so far.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body_bytes: int = 0

    @property
    def offset(self) -> int:
        """Where in the upload the body begins."""
        return int(self.headers.get("upload-offset", "0"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Bytes of one request: a whole head, or some of the body."""

    request: PassingRequest
    data: bytes
    is_body: bool


class RequestReader:
    """Takes the bytes of one connection apart; keep-alive and pipelining included."""

    def __init__(self) -> None:
        self._head = b""
        self._request: PassingRequest | None = None
        self._left: int | None = 0  # of the body; None: until the last chunk

    def split(self, data: bytes) -> Iterator[Piece]:
        """Yield what is known to belong together; the beginning of a head is held back."""
        while data or self._head:
            if self._left == 0:
                head, end, data = (self._head + data).partition(_END_OF_HEAD)
                if not end:
                    self._head = head
                    return
                self._head = b""
                yield self._begin(head + end)
            elif data:
                count = self._body_length(data)
                assert self._request is not None
                yield Piece(request=self._request, data=data[:count], is_body=True)
                data = data[count:]

    def _begin(self, head: bytes) -> Piece:
        request_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = request_line.split(" ", 2)
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        self._request = PassingRequest(method=method, path=path, headers=headers)
        chunked = "transfer-encoding" in headers
        self._left = None if chunked else int(headers.get("content-length", "0"))
        return Piece(request=self._request, data=head, is_body=False)

    def _body_length(self, data: bytes) -> int:
        if self._left is None:
            # Enough for clients that wait for the answer before their next request.
            if data.endswith(_LAST_CHUNK):
                self._left = 0
            return len(data)
        count = min(self._left, len(data))
        self._left -= count
        return count
