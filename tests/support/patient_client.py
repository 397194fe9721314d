"""A client that uploads in small steps, comes back whatever happens, and remembers every promise.

It speaks HTTP by itself: thousands of them fit into one process, and each can be as slow as told.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

# What is uploaded is cut from this, so that thousands of uploads need no memory of their own.
_POOL = random.Random(11).randbytes((1 << 20) + 7)  # noqa: S311 - repeatable, not secret

_TUS = "Tus-Resumable: 1.0.0\r\n"
_BYTES = _TUS + "Content-Type: application/offset+octet-stream\r\n"
# Between two tries, at first and at most; with some chance, so that thousands spread.
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_ANSWER_S = 30.0

# Statuses that ask to come back later; anything else is a broken promise.
_LATER = frozenset({409, 423, 503})


class BrokenPromise(AssertionError):
    """The server said or did what it must not."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True, eq=False)
class PatientClient:
    """One upload.

    Attributes:
        port: returns where to connect next, on loopback.
        seed: decides about the bytes.
        size: of the upload.
        request_bytes: of each PATCH.
        piece_bytes: what is sent at once.
        pause_s: between pieces.
        acknowledged: every offset the server has told, in order.
        interruptions: how often a connection ended early, or the server said "later".
        lost_creations: how often there was no answer to POST: an upload may stay that nobody knows.
    """

    port: Callable[[], int]
    seed: int
    size: int
    request_bytes: int = 1 << 20
    piece_bytes: int = 64 * 1024
    pause_s: float = 0.0
    path: str = ""
    acknowledged: list[int] = field(default_factory=list)
    interruptions: int = 0
    lost_creations: int = 0
    _failures: int = 0

    async def run(self) -> None:
        """Upload everything, and check what the server stored.

        Raises:
            BrokenPromise: an acknowledged byte is gone, or a wrong one is stored.
        """
        await self.create()
        while await self.offset() < self.size:
            await self._go_on()
        await self.check()

    async def create(self) -> None:
        """Create the upload, as often as it takes."""
        while not self.path:
            answer = await self._try("POST", "/files/", f"{_TUS}Upload-Length: {self.size}\r\n")
            if answer is not None:
                _, _, tail = answer.headers["location"].partition("/files/")
                self.path = f"/files/{tail}"
            else:
                self.lost_creations += 1
        self.acknowledged.append(0)

    async def offset(self) -> int:
        """Ask how much is stored; it is never less than what was acknowledged before."""
        while True:
            answer = await self._try("HEAD", self.path, _TUS)
            if answer is not None:
                return self._note(answer)

    async def check(self) -> None:
        """Download everything, and compare it with what was sent."""
        while (answer := await self._try("GET", self.path, "")) is None:
            pass
        if hashlib.sha256(answer.body).digest() != hashlib.sha256(self.content()).digest():
            raise BrokenPromise(f"{self.path}: wrong bytes")

    async def delete(self) -> None:
        """Remove the upload, as often as it takes."""
        while await self._try("DELETE", self.path, _TUS) is None:
            pass

    def content(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes from `start` to `stop`."""
        at, left = self.seed * 7919 + start, (self.size if stop is None else stop) - start
        pieces = []
        while left > 0:
            at %= len(_POOL)
            pieces.append(_POOL[at : at + left])
            at += len(pieces[-1])
            left -= len(pieces[-1])
        return b"".join(pieces)

    async def _go_on(self) -> None:
        """Send one PATCH from the last acknowledged offset on."""
        start = self.acknowledged[-1]
        stop = min(start + self.request_bytes, self.size)
        head = f"{_BYTES}Upload-Offset: {start}\r\nContent-Length: {stop - start}\r\n"
        answer = await self._try("PATCH", self.path, head, (start, stop))
        if answer is not None:
            self._note(answer)

    def _note(self, answer: _Answer) -> int:
        offset = int(answer.headers["upload-offset"])
        if offset < max(self.acknowledged):
            raise BrokenPromise(f"{self.path}: {offset} after {max(self.acknowledged)}")
        self.acknowledged.append(offset)
        return offset

    async def _try(
        self, method: str, path: str, fields: str, span: tuple[int, int] = (0, 0)
    ) -> _Answer | None:
        """Make a request; return None if it has to be made again, after a pause."""
        with contextlib.suppress(OSError, EOFError):  # a timeout is an OSError, too
            async with self._connection() as (reader, writer):
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
                sending = asyncio.create_task(self._send(writer, *span))
                try:
                    answer = await self._read_answer(reader, method, len(range(*span)))
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
            if answer.status < 300:
                self._failures = 0
                return answer
            if method == "DELETE" and answer.status in (404, 410):
                return answer  # the answer to an earlier one was lost
            if answer.status not in _LATER:
                raise BrokenPromise(f"{method} {self.path}: {answer.status} {answer.body!r}")
        self.interruptions += 1
        self._failures += 1
        longest_s = min(_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
        await asyncio.sleep(random.uniform(longest_s / 2, longest_s))  # noqa: S311 - a pause
        return None

    @contextlib.asynccontextmanager
    async def _connection(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port())
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, start: int, stop: int) -> None:
        with contextlib.suppress(OSError):
            for at in range(start, stop, self.piece_bytes):
                writer.write(self.content(at, min(at + self.piece_bytes, stop)))
                await writer.drain()
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)

    async def _read_answer(self, reader: asyncio.StreamReader, method: str, sent: int) -> _Answer:
        slow_s = self.pause_s * sent / self.piece_bytes
        async with asyncio.timeout(_ANSWER_S + 2 * slow_s):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
            return _Answer(int(first.split()[1]), headers, await reader.readexactly(length))
