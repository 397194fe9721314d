"""The tus 1.0.0 dialect: what a request head asks for, and how an outcome is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from multidict import CIMultiDict

from tusd_py.protocol.checksum import ALGORITHMS, Checksum, ChecksumInTrailer
from tusd_py.protocol.commands import (
    Append,
    Appended,
    BodyHead,
    Create,
    Created,
    Discover,
    Discovered,
    Fetch,
    Inspect,
    Inspected,
    Outcome,
    Terminate,
    Terminated,
)
from tusd_py.protocol.errors import (
    BadRequest,
)
from tusd_py.protocol.metadata import NO_METADATA, Metadata
from tusd_py.protocol.model import (
    LARGEST_SIZE,
    Final,
    Partial,
    Upload,
    UploadId,
    Whole,
)
from tusd_py.protocol.tus1 import RequestHead, effective_method

from .heads import (
    BARE,
    EVERYTHING,
    FULL,
    HERE,
    ID,
    PATCH,
    SHA1,
    SHA1_LINE,
    TRAILER,
    TYPE,
    V,
    head,
)


def create(length: int | None, **others: Any) -> Create:
    """Return a plain creation, but for what is said otherwise."""
    fields: dict[str, Any] = {"metadata": NO_METADATA, "kind": Whole(), "body": None} | others
    return Create(length=length, **fields)


def append(body: BodyHead, declared: int | None = None) -> Append:
    """Return a PATCH at offset 0."""
    return Append(id=ID, offset=0, declared_length=declared, body=body)


# --- which method counts


def in_trailer(*announced: str) -> BodyHead:
    """What is known of a chunked body whose checksum comes behind it."""
    return BodyHead(length=None, checksum=ChecksumInTrailer(), trailers=frozenset(announced))


@pytest.mark.parametrize(
    ("method", "override", "effective"),
    [
        # realistic
        ("PATCH", [], "PATCH"),
        ("POST", ["PATCH"], "PATCH"),  # tus-java-client
        ("POST", ["DELETE"], "DELETE"),
        # synthetic
        ("GET", ["HEAD"], "HEAD"),
        ("POST", [""], "POST"),
        ("POST", ["patch"], "patch"),  # methods are case-sensitive; this one is refused later
    ],
)
def test_an_override_takes_the_place_of_the_method(
    method: str, override: Sequence[str], effective: str
) -> None:
    """X-HTTP-Method-Override is the method, whatever the real one is."""
    headers = CIMultiDict(("X-HTTP-Method-Override", value) for value in override)
    assert effective_method(method, headers) == effective


def test_two_overrides_are_refused() -> None:
    """Nobody can tell which of two overrides counts."""
    headers = CIMultiDict([("X-HTTP-Method-Override", "PATCH")] * 2)
    with pytest.raises(BadRequest):
        effective_method("POST", headers)


# --- requests that are understood


@pytest.mark.parametrize(
    ("request_head", "command"),
    [
        # realistic
        (head("OPTIONS", None), Discover()),
        (head("OPTIONS", "..", ("Tus-Resumable", "9")), Discover()),
        (head("HEAD", "x", V), Inspect(id=ID)),
        (head("HEAD", "x"), Inspect(id=ID)),
        (head("GET", "x"), Fetch(id=ID)),
        (head("GET", "x", ("Tus-Resumable", "9")), Fetch(id=ID)),
        (head("DELETE", "x", V), Terminate(id=ID)),
        (head("POST", None, V, ("Upload-Length", "100")), create(100)),
        (head("POST", None, V, ("Upload-Defer-Length", "1")), create(None)),
        (
            head("POST", None, V, ("Upload-Length", "5"), ("Upload-Metadata", "a MQ==")),
            create(5, metadata=Metadata("a MQ==")),
        ),
        (
            head("POST", None, V, ("Upload-Length", "5"), ("Upload-Concat", "partial")),
            create(5, kind=Partial()),
        ),
        (
            head("POST", None, V, ("Upload-Concat", "final;/files/a /files/b")),
            create(
                None,
                kind=Final(parts=(UploadId("a"), UploadId("b")), header="final;/files/a /files/b"),
            ),
        ),
        (
            head("POST", None, V, ("Upload-Length", "5"), TYPE, body_length=5),
            create(5, body=BodyHead(length=5)),
        ),
        (
            head("POST", None, V, ("Upload-Length", "5"), TYPE, body_length=None),
            create(5, body=BodyHead(length=None)),
        ),
        (head("PATCH", "x", *PATCH, body_length=5), append(BodyHead(length=5))),
        (head("PATCH", "x", *PATCH, body_length=None), append(BodyHead(length=None))),
        (
            head("PATCH", "x", *PATCH, ("Upload-Length", "5"), body_length=5),
            append(BodyHead(length=5), declared=5),
        ),
        (
            head("PATCH", "x", *PATCH, ("Upload-Checksum", SHA1_LINE), body_length=5),
            append(BodyHead(length=5, checksum=Checksum("sha1", SHA1))),
        ),
        # synthetic
        (head("POST", None, V, ("Upload-Length", "0"), TYPE), create(0)),
        (
            # tuspy and aiotus: any other type is no upload of bytes
            head(
                *("POST", None),
                *(V, ("Upload-Length", "5"), ("Content-Type", "application/octet-stream")),
                body_length=5,
            ),
            create(5),
        ),
        (
            head("POST", None, V, ("Upload-Length", "5"), ("Upload-Checksum", "nonsense")),
            create(5),
        ),
        (
            head("PATCH", "x", *PATCH, TRAILER, body_length=None),
            append(in_trailer("upload-checksum")),
        ),
        (
            head(
                *("PATCH", "x"),
                *(*PATCH, ("Trailer", "X, upload-CHECKSUM ")),
                body_length=None,
            ),
            append(in_trailer("upload-checksum", "x")),
        ),
        (
            head("PATCH", "x", *PATCH, ("Trailer", "Expires")),
            append(BodyHead(length=0, trailers=frozenset({"expires"}))),
        ),
        (head("PATCH", "x", *PATCH, ("Content-Encoding", "Identity")), append(BodyHead(length=0))),
        (head("PATCH", "x", *PATCH, ("Upload-Concat", "partial")), append(BodyHead(length=0))),
        (
            head("POST", None, V, ("Upload-Length", "999999999999999")),
            create(LARGEST_SIZE),
        ),
    ],
)
def test_a_request_becomes_a_command(request_head: RequestHead, command: object) -> None:
    """A well-formed head becomes a command that holds all that it says."""
    assert FULL.parse(request_head) == command


def test_bytes_are_left_aside_where_a_creation_cannot_take_them() -> None:
    """Without creation-with-upload a body with the POST is ignored."""
    asked = head("POST", None, V, ("Upload-Length", "5"), TYPE, body_length=5)
    assert BARE.parse(asked) == create(5)


# --- answers

PARTS = (UploadId("a"), UploadId("b"))
UPLOAD = Upload(id=ID, length=10, offset=3)
EXPIRES = {"Upload-Expires": "Sun, 06 Nov 1994 08:49:37 GMT"}
EXPIRING = Upload(id=ID, length=10, offset=3, expires_at=784111777.0)
DEFERRED = Upload(id=ID, length=None, offset=3, metadata=Metadata(""))
RAW = "final;http://example.org/files/a b"
UNJOINED = Upload(id=ID, length=None, kind=Final(parts=PARTS, header=RAW))
JOINED = Upload(id=ID, length=10, offset=10, kind=Final(parts=PARTS))  # a record of tusd's
PARTIAL = Upload(id=ID, length=10, offset=10, kind=Partial(), metadata=Metadata("a ,b"))

AT_3 = {"Upload-Offset": "3"}
AT_10 = {"Upload-Offset": "10"}
OF_10 = {"Upload-Length": "10"}
LOCATION = {"Location": "https://example.org/files/x"}


@pytest.mark.parametrize(
    ("outcome", "status", "headers"),
    [
        # realistic
        (Created(UPLOAD), 201, LOCATION | AT_3),
        (Created(EXPIRING), 201, LOCATION | AT_3 | EXPIRES),
        (Created(JOINED), 201, LOCATION | AT_10),
        (Created(UNJOINED), 201, LOCATION),
        (Appended(UPLOAD), 204, AT_3),
        (Appended(EXPIRING), 204, AT_3 | EXPIRES),
        (Terminated(), 204, {}),
        (Inspected(UPLOAD), 200, AT_3 | OF_10),
        (Inspected(EXPIRING), 200, AT_3 | OF_10 | EXPIRES),
        (
            Inspected(PARTIAL),
            200,
            AT_10 | OF_10 | {"Upload-Metadata": "a ,b", "Upload-Concat": "partial"},
        ),
        # synthetic
        (Inspected(DEFERRED), 200, AT_3 | {"Upload-Defer-Length": "1", "Upload-Metadata": ""}),
        (Inspected(UNJOINED), 200, {"Upload-Concat": RAW}),
        (Inspected(JOINED), 200, AT_10 | OF_10 | {"Upload-Concat": "final;/files/a /files/b"}),
    ],
)
def test_an_outcome_is_told(outcome: Outcome, status: int, headers: dict[str, str]) -> None:
    """An answer says what the protocol wants said, and nothing that is not known."""
    told = FULL.render(outcome, HERE)
    assert (told.status, dict(told.headers)) == (status, headers)


def test_options_announces_what_is_on() -> None:
    """OPTIONS lists versions, extensions, the limit and the algorithms, without blanks."""
    told = FULL.render(Discovered(), HERE)
    assert told.status == 200
    assert told.headers == {
        "Tus-Version": "1.0.0",
        "Tus-Extension": ",".join(EVERYTHING),
        "Tus-Max-Size": "100",
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def test_options_announces_nothing_else() -> None:
    """Without a limit and without checksums, OPTIONS names neither."""
    told = BARE.render(Discovered(), HERE)
    assert told.headers == {"Tus-Version": "1.0.0", "Tus-Extension": "creation"}
