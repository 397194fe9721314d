"""A client that sends all of a body whatever the server says meanwhile, and can be resumed."""

from __future__ import annotations

import base64
import hashlib
import random

from tests.support import raw_http
from tests.support.server import Server
from tests.support.tusd import Client

_RANDOM = random.Random(7)  # noqa: S311 - the same at every run


def some_bytes(count: int) -> bytes:
    """Return bytes that are not like any others."""
    return _RANDOM.randbytes(count)


class Uploading:
    """One upload at a server."""

    def __init__(self, server: Server, content: bytes) -> None:
        self.client = Client(server.url)
        self.content = content
        self.name = self.client.create(len(content))
        self._server = server

    @property
    def stored_bytes(self) -> int:
        """The size of the file."""
        return (self._server.upload_dir / self.name).stat().st_size

    @property
    def offset(self) -> int:
        """What HEAD says."""
        head = self.client.head(self.name)
        assert head.status == 200, head
        return head.offset

    def patch(
        self, start: int, stop: int | None = None, *, checksum: bool = False
    ) -> raw_http.Answer:
        """Send a part of the content, all of it even if the answer comes before."""
        body = self.content[start:stop]
        fields = [("Tus-Resumable", "1.0.0"), ("Upload-Offset", str(start))]
        fields.append(("Content-Type", "application/offset+octet-stream"))
        if checksum:
            digest = hashlib.sha1(body, usedforsecurity=False).digest()
            fields.append(("Upload-Checksum", "sha1 " + base64.b64encode(digest).decode()))
        request = raw_http.request("PATCH", f"/files/{self.name}", *fields, body=body)
        return raw_http.exchange(self._server.port, request, "PATCH")

    def resume(self) -> None:
        """Go on from where HEAD says, and compare what is stored in the end."""
        offset = self.offset
        if offset < len(self.content):
            assert self.patch(offset).status == 204
        self.check_whole()

    def check_whole(self) -> None:
        """The upload is complete and its bytes are right."""
        assert self.offset == len(self.content)
        got = self.client.get(self.name)
        assert got.status == 200
        assert got.body == self.content


def whole(server: Server) -> Uploading:
    """Return an upload that is complete."""
    upload = Uploading(server, some_bytes(3_000))
    assert upload.patch(0).status == 204
    return upload
