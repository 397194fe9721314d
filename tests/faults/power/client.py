"""A small tus client that asks for nothing twice: what it was not told, it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_ANSWER_S = 20.0
_PIECE_BYTES = 64 * 1024

BYTES = ("Content-Type", "application/offset+octet-stream")


class Unanswered(Exception):
    """The connection ended before the answer: what was asked for may have happened or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def number(self, name: str) -> int | None:
        """Return a header as a number, if there is one."""
        value = self.headers.get(name.lower())
        return None if value is None else int(value)


class Connection:
    """One connection; requests on it go one after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Break the connection off."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def ask(
        self,
        method: str,
        target: str,
        *fields: tuple[str, str],
        body: bytes = b"",
        pause_s: float = 0.0,
        stop_after: int | None = None,
    ) -> Answer:
        """Send a request and return the answer.

        Args:
            method: and
            target: of the request.
            fields: headers beside those that every request has.
            body: sent in pieces.
            pause_s: between these.
            stop_after: break the connection off when that many bytes of the body are sent.

        Raises:
            Unanswered
        """
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await self._open()
                writer.write(_head(method, target, fields, len(body)))
                await _send(writer, body[:stop_after], pause_s)
                if stop_after is not None:
                    self.close()
                    raise Unanswered
                return await self._answer(reader, method)
        except TimeoutError as error:
            raise AssertionError(f"no answer to {method} in {_ANSWER_S} s") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Unanswered from error

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer

    async def _answer(self, reader: asyncio.StreamReader, method: str) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        status = int(first.split(" ")[1])
        length = 0 if method == "HEAD" or status == 204 else int(headers["content-length"])
        body = await reader.readexactly(length)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)


def _head(method: str, target: str, fields: Sequence[tuple[str, str]], length: int) -> bytes:
    all_fields = [("Host", "server"), ("Tus-Resumable", "1.0.0"), *fields]
    if length or method in ("POST", "PATCH"):
        all_fields.append(("Content-Length", str(length)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in all_fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _send(writer: asyncio.StreamWriter, body: bytes, pause_s: float) -> None:
    view = memoryview(body)
    for start in range(0, len(view), _PIECE_BYTES):
        writer.write(view[start : start + _PIECE_BYTES])
        await writer.drain()
        if pause_s:
            await asyncio.sleep(pause_s)
