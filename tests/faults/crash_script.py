"""What a client does while its server may be killed, and what it may count on afterwards."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tusd import Answer, Client

KILLED = (urllib.error.URLError, ConnectionError, http.client.HTTPException)
"""What a request meets whose server dies."""

GONE = (404, 410)


class Refused(Exception):
    """The server says that it cannot do it now, and that it is not the client's fault."""


_RANDOM = random.Random(20)  # noqa: S311 - the same at every run


@dataclass
class Sent:
    """One upload as its client knows it.

    Attributes:
        content: all its bytes.
        acked: the offset that was acknowledged.
        may_be: offsets that a request under way may have reached; None: any up to the end.
        name: its id, once that was told.
        deleted: None, "asked" or "done".
    """

    content: bytes
    acked: int = 0
    may_be: tuple[int, ...] | None = ()
    name: str | None = None
    deleted: str | None = None
    parts: tuple[Sent, ...] = ()


@dataclass
class Script:
    """The requests, in order, and what is known of each upload.

    Attributes:
        uploads: in the order of their creation.
        others: names in the directory that are not its own.
        downloading: whether a download is under way; these end early on an error.
    """

    uploads: list[Sent] = field(default_factory=list)
    others: frozenset[str] = frozenset()
    downloading: bool = False

    def run(self, client: Client) -> None:
        """Do everything once.

        Raises:
            KILLED: the server has died.
            Refused: it cannot go on.
        """
        streamed = self._new(200_000)
        self._create(client, streamed)
        self._patch(client, streamed, 80_000)
        self._patch(client, streamed, 30_000, checksum=True)
        self._patch(client, streamed, 90_000)
        self._get(client, streamed)
        small = self._new(1_000)
        self._create(client, small, first=1_000)
        begun = self._new(150_000)
        self._create(client, begun, first=70_000)
        self._refused(client, begun, 20_000)
        self._patch(client, begun, 80_000, checksum=True)
        self._create(client, self._new(0))
        self._concatenate(client)
        self._delete(client, small)
        left = self._new(50_000)
        self._create(client, left, first=20_000)
        self._delete(client, left)

    def _new(self, length: int) -> Sent:
        sent = Sent(content=_RANDOM.randbytes(length))
        self.uploads.append(sent)
        return sent

    def _create(self, client: Client, sent: Sent, first: int = 0, **headers: str) -> None:
        kind = {"Content_Type": "application/offset+octet-stream"} if first else {}
        sent.may_be = None
        length = {"Upload_Length": str(len(sent.content))}
        answer = client.send("POST", "", sent.content[:first], **length, **kind, **headers)
        _expect(answer, 201)
        sent.name = answer.headers["location"].rpartition("/")[2]
        sent.acked, sent.may_be = int(answer.headers.get("upload-offset", "0")), ()
        assert sent.acked == first

    def _patch(self, client: Client, sent: Sent, size: int, *, checksum: bool = False) -> None:
        assert sent.name is not None
        end = sent.acked + size
        body = sent.content[sent.acked : end]
        headers = {"Upload_Checksum": _sha1(body)} if checksum else {}
        sent.may_be = (end,) if checksum else None
        answer = client.patch(sent.name, sent.acked, body, **headers)
        _expect(answer, 204)
        assert answer.offset == end
        sent.acked, sent.may_be = end, ()

    def _refused(self, client: Client, sent: Sent, size: int) -> None:
        assert sent.name is not None
        headers = {"Upload_Checksum": _sha1(b"something else")}
        answer = client.patch(sent.name, sent.acked, bytes(size), **headers)
        _expect(answer, 460)

    def _concatenate(self, client: Client) -> None:
        parts = (self._new(30_000), self._new(40_000))
        self._create(client, parts[0], first=30_000, Upload_Concat="partial")
        self._create(client, parts[1], Upload_Concat="partial")
        self._patch(client, parts[1], 40_000)
        final = Sent(content=parts[0].content + parts[1].content, parts=parts)
        self.uploads.append(final)
        urls = " ".join(client.url(part.name or "") for part in parts)
        answer = client.send("POST", "", b"", Upload_Concat=f"final;{urls}")
        _expect(answer, 201)
        final.name = answer.headers["location"].rpartition("/")[2]
        final.acked = len(final.content)

    def _get(self, client: Client, sent: Sent) -> None:
        assert sent.name is not None
        self.downloading = True
        answer = client.get(sent.name)
        _expect(answer, 200)
        assert answer.body == sent.content
        self.downloading = False

    def _delete(self, client: Client, sent: Sent) -> None:
        assert sent.name is not None
        sent.deleted = "asked"
        _expect(client.send("DELETE", sent.name), 204)
        sent.deleted = "done"

    # --- afterwards

    def check(self, client: Client, directory: Path, *, unknown: bool = True) -> None:
        """Look for everything that was promised, and bring each upload to its end.

        May be called again if the server dies meanwhile.

        Args:
            directory: of the uploads.
            unknown: also look at uploads there that their client was not told of.
        """
        for sent in self._known():
            _check(client, sent)
        if unknown:
            known = {sent.name for sent in self._known()}
            for name in stored_names(directory) - known - self.others:
                _check_unknown(client, name)

    def check_again(self, client: Client, directory: Path) -> None:
        """After `check`, and whatever came then: everything is as it was left."""
        live = {sent.name for sent in self._known() if sent.deleted is None} | self.others
        for sent in self._known():
            assert sent.name is not None
            if sent.deleted is None:
                assert client.get(sent.name).body == sent.content
            else:
                assert client.head(sent.name).status in GONE
        assert stored_names(directory) <= live

    def _known(self) -> Iterator[Sent]:
        return (sent for sent in self.uploads if sent.name is not None)


def stored_names(directory: Path) -> set[str]:
    """Return the names of all that is stored or left over, without the endings of records."""
    names = {path.name.removesuffix(".info") for path in directory.iterdir()}
    return names - {".tusd_py"}


def _expect(answer: Answer, status: int) -> None:
    if answer.status in (423, 503, 507):
        raise Refused(answer)
    assert answer.status == status, answer


def _check(client: Client, sent: Sent) -> None:
    assert sent.name is not None
    head = client.head(sent.name)
    if sent.deleted is not None and (sent.deleted == "done" or head.status in GONE):
        assert head.status in GONE, head
        assert client.get(sent.name).status in GONE
        sent.deleted = "done"
        return
    assert head.status == 200, (head, sent.acked, sent.deleted)
    _check_offset(sent, head)
    if head.offset < len(sent.content):
        sent.acked, sent.may_be = head.offset, None
        rest = client.patch(sent.name, head.offset, sent.content[head.offset :])
        assert (rest.status, rest.offset) == (204, len(sent.content)), (rest, head)
        sent.acked, sent.may_be = len(sent.content), ()
    head = client.head(sent.name)
    assert head.status == 200, head
    assert head.offset == len(sent.content)
    got = client.get(sent.name)
    assert got.status == 200, got.status
    assert got.body == sent.content
    if sent.deleted is not None:
        assert client.send("DELETE", sent.name).status == 204
        assert client.head(sent.name).status in GONE
        sent.deleted = "done"


def _check_offset(sent: Sent, head: Answer) -> None:
    assert sent.acked <= head.offset <= len(sent.content), (sent.acked, head)
    if sent.may_be is not None:
        assert head.offset in (sent.acked, *sent.may_be), (sent.acked, sent.may_be, head)
    assert int(head.headers["upload-length"]) == len(sent.content)


def _check_unknown(client: Client, name: str) -> None:
    """Nobody was told of it: it is an upload like any other, or it is not there at all."""
    head = client.head(name)
    assert head.status in (200, *GONE), head
    if head.status == 200:
        assert client.send("DELETE", name).status == 204
    assert client.head(name).status in GONE
    assert client.get(name).status in GONE


def _sha1(body: bytes) -> str:
    digest = hashlib.sha1(body, usedforsecurity=False).digest()
    return "sha1 " + base64.b64encode(digest).decode()
