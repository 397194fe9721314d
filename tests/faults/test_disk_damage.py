"""Files that are not what they were: damage is told as damage, and never as a lower offset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, running_server

from .uploading import Uploading, some_bytes, whole

_GONE = 410


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has acknowledged what it will not find again."""
    folder = tmp_path_factory.mktemp("damage") / "uploads"
    with running_server(folder, "--durability", "ack") as server:
        yield server


def _half(server: Server) -> Uploading:
    upload = Uploading(server, some_bytes(20_000))
    assert upload.patch(0, 10_000).status == 204
    return upload


def _check_damaged(server: Server, upload: Uploading) -> None:
    """It cannot be used, but the others can."""
    client = upload.client
    assert client.head(upload.name).status == _GONE
    assert upload.patch(10_000).status == _GONE
    assert client.get(upload.name).status == _GONE
    whole(server)


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_shorten, Path.unlink], ids=["shorter", "missing"])
@pytest.mark.parametrize("make", [_half, whole], ids=["half", "whole"])
def test_bytes_that_are_missing(
    server: Server, make: Callable[[Server], Uploading], damage: Callable[[Path], None]
) -> None:
    """The record vouches for more than there is: 410, never a lower offset; it can be removed."""
    upload = make(server)
    damage(server.upload_dir / upload.name)
    _check_damaged(server, upload)
    assert upload.client.send("DELETE", upload.name).status == 204
    assert upload.client.head(upload.name).status in (404, _GONE)


@pytest.mark.parametrize("stays", [0, 1, 12, 100, -1])
@pytest.mark.parametrize("filling", [b"", b"\0", b"{"], ids=["torn", "zeros", "garbage"])
def test_records_that_cannot_be_read(server: Server, stays: int, filling: bytes) -> None:
    """Torn at any place, or overwritten from there on: 410, and all is left to the operator."""
    upload = _half(server)
    path = server.upload_dir / f"{upload.name}.info"
    content = path.read_bytes()
    kept = content[:stays]
    damaged = kept + filling * (len(content) - len(kept))
    path.write_bytes(damaged)
    _check_damaged(server, upload)
    assert upload.client.send("DELETE", upload.name).status == _GONE
    assert path.read_bytes() == damaged
    assert upload.stored_bytes == 10_000


def test_bytes_that_nobody_acknowledged(tmp_path: Path) -> None:
    """A tail behind what counts, zeros or not, is cut off before the next byte comes."""
    with running_server(tmp_path / "uploads", "--durability", "ack") as server:
        upload, done = _half(server), whole(server)
        record = server.upload_dir / f"{upload.name}.info"
        text = record.read_text()
        # As after a power cut: another run of the kernel wrote the record.
        record.write_text(re.sub('"Boot":"[^"]*"', '"Boot":"earlier"', text))
        for path in (server.upload_dir / upload.name, server.upload_dir / done.name):
            with path.open("ab") as file:
                file.write(bytes(704))
        done.check_whole()
        assert upload.offset == 10_000
        upload.resume()
        assert upload.stored_bytes == len(upload.content)
