"""An upload on a server under attack: whatever the attack, it comes to no harm."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .raw_http import Answer, RawConnection, exchange, head, request
from .server import Server
from .waiting import wait_until

V = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", "application/offset+octet-stream")

STORED, MISSING = b"abc", b"defghij"
LENGTH = len(STORED + MISSING)

_REFUSAL = re.compile(r"ERR_[A-Z_]+: [ -~]{1,120}\n")


def assert_refused(answer: Answer, *statuses: int) -> None:
    """Assert one of the statuses, and one short line of plain text: ``CODE: sentence``."""
    assert answer.status in statuses, answer
    assert _REFUSAL.fullmatch(answer.text), answer
    assert answer.headers["Content-Type"].partition(";")[0] == "text/plain"


def errors_in(log: Path) -> list[str]:
    """Return what a server has logged as its own fault."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [repr(line) for line in lines if line["level"] not in ("debug", "info", "warning")]


def descriptors_of(server: Server) -> int:
    """Return how many files and sockets a server has open."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def assert_gives_back(server: Server, before: int) -> None:
    """Assert that no more is open than before, once what is just being closed is."""
    wait_until(lambda: descriptors_of(server) <= before)
    assert exchange(server.port, request("OPTIONS", "/files/")).status == 200


def files_of(server: Server) -> dict[str, bytes]:
    """Return every file in and around the upload directory, but for locks and logs."""
    folder = server.upload_dir.parent
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".tusd_py" not in path.parts and path.suffix != ".log"
    }


@dataclass(frozen=True, kw_only=True)
class Target:
    """An upload of ten bytes, three of which are stored.

    Attributes:
        path: of its URL.
    """

    server: Server
    path: str

    @property
    def file(self) -> Path:
        """Where its bytes are."""
        return self.server.upload_dir / self.path.rpartition("/")[2]

    @property
    def port(self) -> int:
        """Where the server listens."""
        return self.server.port

    def connect(self) -> RawConnection:
        """Return a new connection to the server."""
        return RawConnection(self.port)

    def send(self, data: bytes, method: str = "POST") -> Answer:
        """Send bytes on a connection of their own and return the answer."""
        return exchange(self.port, data, method)

    def create(self, *fields: tuple[str, str | bytes], body: bytes = b"") -> Answer:
        """POST to the creation URL with fields beyond the version, and return the answer."""
        return self.send(request("POST", "/files/", V, *fields, body=body))

    def head_of_patch(self, *fields: tuple[str, str | bytes], offset: int = len(STORED)) -> bytes:
        """Return a proper PATCH but for its framing, which is among the fields, and its body."""
        return head("PATCH", self.path, V, TYPE, ("Upload-Offset", str(offset)), *fields)

    def patch(
        self, *fields: tuple[str, str | bytes], body: bytes = b"", offset: int = len(STORED)
    ) -> Answer:
        """Send a whole PATCH and return the answer."""
        length = ("Content-Length", str(len(body)))
        return self.send(self.head_of_patch(*fields, length, offset=offset) + body)

    def inspect(self) -> Answer:
        """HEAD; a request that still writes to the upload ends first."""
        return self.send(request("HEAD", self.path, V), "HEAD")

    def offset(self) -> int:
        """Return how much is stored, as HEAD tells it."""
        answer = self.inspect()
        assert answer.status == 200, answer
        return int(answer.headers["Upload-Offset"])

    def delete(self) -> None:
        """Remove the upload."""
        assert self.send(request("DELETE", self.path, V)).status == 204


def new_target(server: Server, *fields: tuple[str, str], body: bytes = STORED) -> Target:
    """Create an upload with its first bytes."""
    fields = fields or (("Upload-Length", str(LENGTH)),)
    answer = exchange(server.port, request("POST", "/files/", V, TYPE, *fields, body=body))
    assert answer.status == 201, answer
    return Target(server=server, path=answer.headers["Location"].removeprefix("http://server"))
