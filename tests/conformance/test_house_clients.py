"""What real clients send to tusd_py and need from it, beyond the specification.

The rows C21 to C24 are what clients send, need, do with statuses, and ask of CORS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .expect import (
    expect,
    expect_field,
    expect_offset,
    expect_present,
    expect_status,
)
from .tus import UPLOAD_TYPE
from .wire import Chunked, Connection, Request, parse_url

if TYPE_CHECKING:
    from .tus import Tus
    from .wire import Response

DATA = b"hello world"
ORIGIN = ("Origin", "https://app.example")
METHODS = {"POST", "GET", "HEAD", "PATCH", "DELETE", "OPTIONS"}
SENT = {
    "authorization",
    "content-type",
    "origin",
    "tus-resumable",
    "upload-checksum",
    "upload-concat",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-http-method-override",
    "x-request-id",
    "x-requested-with",
}
READ = {
    "location",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-concat",
    "upload-defer-length",
    "upload-expires",
    "upload-length",
    "upload-metadata",
    "upload-offset",
}
MALFORMED = [
    "x",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%252e%252e%252f",
    "..%5cx",
    "%00",
    "%0d%0aX:1",
    "%ff%fe",
    "a%2fb",
    "a" * 300,
]


def below(tus: Tus, name: str) -> str:
    """Return the URL of a name below the creation URL."""
    return f"{tus.url.rstrip('/')}/{name}"


def lower(request: Request) -> Request:
    """Return a request with its field names in small letters."""
    fields = tuple((name.lower(), value) for name, value in request.fields)
    return Request(method=request.method, url=request.url, fields=fields, body=request.body)


@pytest.mark.rule("C21", "HOUSE", "Names of header fields may be in small letters (tuspy).")
def test_clients_21_small_letters(tus: Tus) -> None:
    """PATCH with its field names in small letters is stored."""
    url = tus.upload(11)
    with Connection(url) as connection:
        connection.send_request(lower(tus.patch_request(url, 0, body=b"hello")))
        expect_offset(connection.read_response(), 5)


@pytest.mark.rule("C21", "HOUSE", "Upload-Concat is ignored on other requests than POST (tus-js).")
def test_clients_21_concat_on_patch(tus: Tus) -> None:
    """HEAD, PATCH and DELETE with Upload-Concat: partial work as without it."""
    field = ("Upload-Concat", "partial")
    url = tus.upload(11)
    expect_offset(tus.patch(url, 0, b"hello", field), 5)
    expect_offset(tus.head(url, field), 5)
    tus.need("termination")
    expect_status(tus.delete(url, field), 204)


@pytest.mark.rule("C21", "HOUSE", "tus-java-client sends POST, override, Expect and chunks.")
def test_clients_21_java(tus: Tus) -> None:
    """POST with an override, Expect: 100-continue and chunks is stored."""
    url = tus.upload(11)
    fields = (
        ("X-HTTP-Method-Override", "PATCH"),
        ("Content-Type", UPLOAD_TYPE),
        ("Upload-Offset", "0"),
        ("Expect", "100-continue"),
        ("Transfer-Encoding", "chunked"),
    )
    with Connection(url) as connection:
        connection.send_head(tus.request("POST", url, *fields))
        head = connection.read_head()
        if not head.startswith(b"HTTP/1.1 100 "):
            pytest.fail(f"100 does not come first, but {head!r}", pytrace=False)
        connection.send(Chunked(chunks=(b"hello", b" world")).encode())
        answer = connection.read_response()
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", "11")


@pytest.mark.rule("C21", "HOUSE", "A query after the upload's URL is ignored (tus-jquery-client).")
def test_clients_21_query(tus: Tus) -> None:
    """HEAD on the URL of an upload with a query finds the upload."""
    expect_offset(tus.head(f"{tus.upload(11, data=b'hello')}?x=1"), 5)


@pytest.mark.rule("C22", "HOUSE", "Location is an absolute URL (aiotus).")
def test_clients_22_absolute_location(tus: Tus) -> None:
    """POST answers with a Location on the host it was sent to."""
    answer = tus.create(11)
    location = expect_present(answer, "Location")
    scheme = "https" if parse_url(tus.url).secure else "http"
    prefix = f"{scheme}://{parse_url(tus.url).authority}/"
    expect(answer, location.startswith(prefix), f"Location is {location!r}, not below {prefix}")


@pytest.mark.rule("C22", "HOUSE", "Lists have no blanks after their commas (TUSKit).")
@pytest.mark.parametrize("name", ["Tus-Extension", "Tus-Version", "Tus-Checksum-Algorithm"])
def test_clients_22_lists_without_blanks(tus: Tus, name: str) -> None:
    """OPTIONS answers with lists that need no stripping."""
    answer = tus.options()
    expect(answer, " " not in (answer.get(name) or ""), f"{name} has blanks")


@pytest.mark.rule("C22", "HOUSE", "GET returns the bytes of a finished upload (Uppy).")
def test_clients_22_get(tus: Tus) -> None:
    """GET on an upload that came in pieces answers 200 with its bytes."""
    url = tus.upload(11, data=DATA[:5])
    expect_offset(tus.patch(url, 5, DATA[5:]), 11)
    answer = tus.send("GET", url)
    expect_status(answer, 200)
    expect(answer, answer.body == DATA, f"the bytes are {answer.body!r}")


@pytest.mark.rule("C22", "HOUSE", "GET on a terminated upload is answered 404.")
def test_clients_22_get_after_delete(tus: Tus) -> None:
    """GET after DELETE answers 404."""
    tus.need("termination")
    url = tus.upload(11, data=DATA)
    expect_status(tus.delete(url), 204)
    expect_status(tus.send("GET", url), 404)


@pytest.mark.rule("C23", "HOUSE", "Unknown and malformed ids are answered 404.")
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize("name", MALFORMED, ids=lambda name: name[:12])
def test_clients_23_malformed_id(tus: Tus, name: str, method: str) -> None:
    """Requests to an id that no upload can have answer 404."""
    url = below(tus, name)
    answer = tus.patch(url, 0, b"x") if method == "PATCH" else tus.send(method, url)
    expect_status(answer, 404)


@pytest.mark.rule("C23", "HOUSE", "Files beside an upload are no uploads.")
@pytest.mark.parametrize("suffix", [".info", ".lock", ".json"])
def test_clients_23_side_file(tus: Tus, suffix: str) -> None:
    """HEAD and GET on an id with a suffix answer 404."""
    url = tus.upload(11, data=DATA) + suffix
    expect_status(tus.head(url), 404)
    expect_status(tus.send("GET", url), 404)


@pytest.mark.rule("C24", "HOUSE", "A preflight allows what clients send.")
@pytest.mark.parametrize("place", ["creation", "upload", "unknown"])
def test_clients_24_preflight(tus: Tus, place: str) -> None:
    """OPTIONS with an Origin answers 200 or 204 for any URL, with all methods and headers."""
    url = {"creation": tus.url, "unknown": below(tus, "x")}.get(place) or tus.upload(11)
    asked = ("Access-Control-Request-Headers", "content-type,tus-resumable,upload-offset")
    answer = tus.options(url, ORIGIN, ("Access-Control-Request-Method", "PATCH"), asked)
    expect_status(answer, 200, 204)
    expect_present(answer, "Access-Control-Allow-Origin")
    methods = METHODS - set(answer.items("Access-Control-Allow-Methods"))
    expect(answer, not methods, f"methods not allowed: {sorted(methods)}")
    allowed = {name.lower() for name in answer.items("Access-Control-Allow-Headers")}
    expect(answer, allowed >= SENT, f"headers not allowed: {sorted(SENT - allowed)}")


def answer_to_page(tus: Tus, kind: str) -> Response:
    """Bring about an answer to a page of another origin."""
    if kind == "created":
        return tus.create(11, ORIGIN)
    if kind == "not found":
        return tus.head(tus.unknown(), ORIGIN)
    url = tus.upload(11, data=DATA if kind == "get" else b"")
    if kind == "get":
        return tus.send("GET", url, ORIGIN)
    if kind == "head":
        return tus.head(url, ORIGIN)
    if kind == "version":
        return tus.patch(url, 0, b"x", ORIGIN, ("Tus-Resumable", "9.9.9"))
    return tus.patch(url, 5 if kind == "conflict" else 0, b"x", ORIGIN)


@pytest.mark.rule("C24", "HOUSE", "Every answer lets pages of other origins read it.")
@pytest.mark.parametrize(
    "kind", ["created", "head", "patched", "conflict", "version", "not found", "get"]
)
def test_clients_24_exposed(tus: Tus, kind: str) -> None:
    """Successes and errors alike have Allow-Origin and expose what clients read."""
    answer = answer_to_page(tus, kind)
    expect_present(answer, "Access-Control-Allow-Origin")
    exposed = {name.lower() for name in answer.items("Access-Control-Expose-Headers")}
    expect(answer, exposed >= READ, f"headers not exposed: {sorted(READ - exposed)}")
