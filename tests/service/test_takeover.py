"""tusd's directory in our hands, and ours in tusd's."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import running_server
from tests.support.tusd import TUSD_TYPES, Client, write_upload

TUSD_BINARY = os.environ.get("TUSD_BINARY")
needs_tusd = pytest.mark.skipif(
    TUSD_BINARY is None, reason="TUSD_BINARY does not name a tusd to compare with"
)

HALF, WHOLE, DEFERRED = "a" * 32, "b" * 32, "c" * 32
PART, OTHER_PART, FINAL = "d" * 32, "e" * 32, "f" * 32
FOLDERS = "2026/in-box/photo.jpg"
METADATA = {"filename": "größe <&> 😀.txt", "empty": ""}
CONTENT = b"0123456789"

Serve = Callable[[Path], contextlib.AbstractContextManager[Client]]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The upload directory."""
    path = tmp_path / "uploads"
    path.mkdir()
    return path


@contextlib.contextmanager
def ours(directory: Path) -> Iterator[Client]:
    """Our server on the directory."""
    with running_server(directory) as server:
        yield Client(server.url)
        assert server.stop() == 0


@contextlib.contextmanager
def tusd(directory: Path) -> Iterator[Client]:
    """The real tusd on the directory."""
    assert TUSD_BINARY is not None
    process = subprocess.Popen(
        [TUSD_BINARY, "-host", "127.0.0.1", "-port", "0", "-upload-dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if match := re.search(r"http://127\.0\.0\.1:\d+/files/", line):
                yield Client(match[0])
                break
        else:
            pytest.fail("tusd did not start")
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        process.stdout.close()


def fill(client: Client) -> dict[str, str]:
    """Leave uploads of every kind; return their names."""
    encoded = ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}".rstrip()
        for key, value in METADATA.items()
    )
    names = {
        "half": client.create(10, Upload_Metadata=encoded),
        "whole": client.create(10),
        "deferred": client.create(None),
        "part": client.create(5, Upload_Concat="partial"),
        "other part": client.create(5, Upload_Concat="partial"),
    }
    for name, until in (("half", 4), ("whole", 10), ("deferred", 4), ("part", 5)):
        assert client.patch(names[name], 0, CONTENT[:until]).status == 204
    names["final"] = client.concatenate(names["part"], names["part"])
    return names


def go_on(client: Client, names: dict[str, str]) -> None:
    """Continue all of them to the right bytes, as another server."""
    half = client.head(names["half"])
    assert half.offset == 4
    assert decoded(half.headers["upload-metadata"]) == {k: v.encode() for k, v in METADATA.items()}
    assert client.patch(names["half"], 4, CONTENT[4:]).status == 204
    deferred = client.head(names["deferred"])
    assert deferred.offset == 4
    assert deferred.headers["upload-defer-length"] == "1"
    assert client.patch(names["deferred"], 4, CONTENT[4:], Upload_Length="10").status == 204
    assert client.head(names["whole"]).offset == 10
    assert client.head(names["part"]).headers["upload-concat"] == "partial"
    assert client.patch(names["other part"], 0, CONTENT[5:]).status == 204
    final = client.head(names["final"])
    assert (final.offset, final.headers["upload-length"]) == (10, "10")
    assert client.get(names["final"]).body == CONTENT[:5] * 2
    joined = client.concatenate(names["part"], names["other part"])
    for name in (names["half"], names["whole"], names["deferred"], joined):
        assert client.get(name).body == CONTENT
    assert client.send("DELETE", names["whole"]).status == 204
    assert client.head(names["whole"]).status == 404


def decoded(header: str) -> dict[str, bytes]:
    """Upload-Metadata as it is meant."""
    items = (item.partition(" ") for item in header.split(","))
    return {key: base64.b64decode(value) for key, _, value in items}


def write_as_tusd(directory: Path, named_directory: Path | None = None) -> dict[str, str]:
    """Uploads of every kind in the files of tusd."""

    def write(name: str, content: bytes, size: int | None, **more: Any) -> None:
        write_upload(directory, name, content, size=size, named_directory=named_directory, **more)

    write(HALF, CONTENT[:4], 10, metadata=METADATA)
    write(WHOLE, CONTENT, 10)
    write(DEFERRED, CONTENT[:4], None)
    write(PART, CONTENT[:5], 5, partial=True)
    write(OTHER_PART, b"", 5, partial=True)
    write(FINAL, CONTENT[:5] * 2, 10, parts=[PART, PART])
    names = (HALF, WHOLE, DEFERRED, PART, OTHER_PART, FINAL)
    return dict(
        zip(("half", "whole", "deferred", "part", "other part", "final"), names, strict=True)
    )


# --- from tusd to us


def test_we_continue_what_tusd_wrote(directory: Path) -> None:
    """Half-finished, finished, deferred, partial and final uploads of tusd go on with us."""
    names = write_as_tusd(directory)
    with ours(directory) as client:
        go_on(client, names)


def test_we_continue_a_directory_that_has_moved(directory: Path, tmp_path: Path) -> None:
    """Absolute paths of tusd are wrong after a move; the files beside the records are used."""
    names = write_as_tusd(directory, tmp_path / "where-it-was")
    with ours(directory) as client:
        go_on(client, names)
    assert not (tmp_path / "where-it-was").exists()


def test_we_continue_an_id_with_folders(directory: Path) -> None:
    """What a hook of tusd has named with slashes is continued under that name."""
    write_upload(directory, FOLDERS, CONTENT[:4], size=10)
    with ours(directory) as client:
        assert client.head(FOLDERS).offset == 4
        assert client.patch(FOLDERS, 4, CONTENT[4:]).status == 204
        assert client.get(FOLDERS).body == CONTENT
    assert (directory / FOLDERS).read_bytes() == CONTENT


def test_a_killed_server_of_ours_continues_too(directory: Path) -> None:
    """After SIGKILL our own next process finds what tusd began and we went on with."""
    write_upload(directory, HALF, CONTENT[:4], size=10)
    with running_server(directory) as server:
        assert Client(server.url).patch(HALF, 4, CONTENT[4:7]).status == 204
        server.stop(signal.SIGKILL)
    with ours(directory) as client:
        assert client.head(HALF).offset == 7
        assert client.patch(HALF, 7, CONTENT[7:]).status == 204
        assert client.get(HALF).body == CONTENT


def test_a_torn_record_of_tusds_is_refused_alone(directory: Path) -> None:
    """Tusd rewrites records in place: one that a crash cut short is 410, the others go on."""
    write_upload(directory, HALF, CONTENT[:4], size=10)
    write_upload(directory, WHOLE, CONTENT, size=10)
    record = directory / f"{HALF}.info"
    record.write_bytes(record.read_bytes()[:40])
    with ours(directory) as client:
        assert client.head(HALF).status == 410
        assert client.get(WHOLE).body == CONTENT
    assert len(record.read_bytes()) == 40  # left for whoever wants to repair it


# --- from us to tusd


def check_record(directory: Path, name: str) -> dict[str, Any]:
    """Check that Go would read every key as what it is, in the order in which tusd writes."""
    text = (directory / f"{name}.info").read_text(encoding="utf-8")
    assert "\n" not in text
    fields: dict[str, Any] = json.loads(text)
    assert list(fields)[: len(TUSD_TYPES)] == list(TUSD_TYPES)
    for key, kind in TUSD_TYPES.items():
        assert isinstance(fields[key], kind), key
        assert isinstance(fields[key], bool) == (kind is bool), key
    assert all(isinstance(value, str) for value in (fields["MetaData"] or {}).values())
    assert list(fields["MetaData"] or {}) == sorted(fields["MetaData"] or {})
    assert fields["ID"] == name
    assert fields["Storage"] == {
        "InfoPath": str(directory / f"{name}.info"),
        "Path": str(directory / name),
        "Type": "filestore",
    }
    assert list(fields["Storage"]) == sorted(fields["Storage"])
    return fields


def test_tusd_can_read_what_we_wrote(directory: Path) -> None:
    """Every key, type and order; the size of the data file, which tusd believes, is the offset."""
    with ours(directory) as client:
        names = fill(client)
    records = {kind: check_record(directory, name) for kind, name in names.items()}
    sizes = {kind: (directory / name).stat().st_size for kind, name in names.items()}
    assert list(sizes.values()) == [4, 10, 4, 5, 0, 10]
    assert records["half"]["MetaData"] == METADATA
    assert (records["half"]["Size"], records["half"]["SizeIsDeferred"]) == (10, False)
    assert (records["deferred"]["Size"], records["deferred"]["SizeIsDeferred"]) == (0, True)
    assert (records["part"]["IsPartial"], records["part"]["IsFinal"]) == (True, False)
    assert (records["final"]["IsPartial"], records["final"]["IsFinal"]) == (False, True)
    assert records["final"]["PartialUploads"] == [names["part"]] * 2
    assert records["final"]["Size"] == 10


# --- with the real one


@needs_tusd
@pytest.mark.parametrize(
    ("first", "second"), [(tusd, ours), (ours, tusd)], ids=["tusd to us", "us to tusd"]
)
def test_the_other_server_goes_on(directory: Path, first: Serve, second: Serve) -> None:
    """What one server left is continued by the other to the right bytes."""
    with first(directory) as client:
        names = fill(client)
    with second(directory) as client:
        go_on(client, names)


@needs_tusd
def test_there_and_back(directory: Path) -> None:
    """An upload that both servers have worked on in turn is whole in the end."""
    with ours(directory) as client:
        name = client.create(10)
        client.patch(name, 0, CONTENT[:3])
    with tusd(directory) as client:
        assert client.head(name).offset == 3
        client.patch(name, 3, CONTENT[3:6])
    with ours(directory) as client:
        assert client.head(name).offset == 6
        client.patch(name, 6, CONTENT[6:])
        assert client.get(name).body == CONTENT
    with tusd(directory) as client:
        assert client.head(name).offset == 10
        assert client.get(name).body == CONTENT


@needs_tusd
def test_our_imitation_is_what_tusd_writes(directory: Path, tmp_path: Path) -> None:
    """The files that the tests above take for tusd's are tusd's, byte for byte."""
    with tusd(directory) as client:
        names = fill(client)
    for kind, name in names.items():
        real = (directory / f"{name}.info").read_bytes()
        fields = json.loads(real)
        copy = tmp_path / "copy"
        write_upload(
            copy,
            name,
            b"",
            size=None if fields["SizeIsDeferred"] else fields["Size"],
            metadata=fields["MetaData"],
            partial=fields["IsPartial"],
            parts=fields["PartialUploads"],
            named_directory=directory,
        )
        assert (copy / f"{name}.info").read_bytes() == real, kind
