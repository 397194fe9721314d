"""Who asks, as which method, from which page, for which host (A50 to A5a)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.raw_http import exchange, head, request
from tests.support.server import Server, running_server
from tests.support.target import TYPE, Target, V, assert_refused, new_target

LENGTH = ("Upload-Length", "0")


def override(value: str | bytes) -> tuple[str, str | bytes]:
    """Return the field that changes the method."""
    return ("X-HTTP-Method-Override", value)


def test_ids_cannot_be_guessed(attacked: Server) -> None:
    """A50: ids are 128 random bits; they neither count nor tell the time."""
    uploads = [new_target(attacked, LENGTH, body=b"") for _ in range(20)]
    ids = [upload.file.name for upload in uploads]
    assert all(re.fullmatch(r"[0-9a-f]{32}", name) for name in ids)
    # Of 20 random values, no position is the same in all of them, nor are they in order.
    assert all(len(set(column)) > 1 for column in zip(*ids, strict=True))
    assert ids != sorted(ids)
    for upload in uploads:
        upload.delete()


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH", "DELETE"])
def test_missing_and_malformed_ids_look_the_same(target: Target, method: str) -> None:
    """A51: the answer for an id that nobody has is that for one that nobody can have."""
    fields = (V, TYPE, ("Upload-Offset", "0"))
    answers = [
        target.send(request(method, f"/files/{name}", *fields), method)
        for name in ("0" * 32, "x.info", "..", "%00")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert len({frozenset(answer.headers) for answer in answers}) == 1


@pytest.mark.parametrize("real", ["POST", "GET", "HEAD", "PATCH", "OPTIONS"])
def test_the_override_counts_before_everything_else(target: Target, real: str) -> None:
    """A54: the method that is meant decides about checks, whatever the real one is."""
    answer = target.send(request(real, target.path, override("DELETE")), real)
    assert answer.status == 412
    answer = target.send(request(real, target.path, V, override("POST")), real)
    assert answer.status == 405


@pytest.mark.parametrize(
    "value", ["delete", "PATCH, DELETE", "TRACE", "CONNECT", "DELETE\tX", "\u202eDELETE", b"\xff"]
)
def test_an_override_that_is_no_method_is_refused(target: Target, value: str | bytes) -> None:
    """A54: lists, lower case and nonsense are no method of ours."""
    assert_refused(target.send(request("POST", target.path, V, override(value))), 405)


def test_two_overrides_are_refused(target: Target) -> None:
    """A54: of two overrides neither counts."""
    data = request("POST", target.path, V, override("DELETE"), override("DELETE"))
    assert_refused(target.send(data), 400)


def test_an_answer_to_head_has_no_body_whatever_was_meant(attacked: Server) -> None:
    """A54: a proxy sees HEAD, so a body would be taken for the answer to the next request."""
    upload = new_target(attacked, ("Upload-Length", "3"))
    with upload.connect() as connection:
        connection.send(request("HEAD", upload.path, override("GET")))
        answer = connection.answer("HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, "3")
        connection.send(request("OPTIONS", upload.path))
        assert connection.answer().status == 200
    upload.delete()


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"],
)
def test_a_form_of_another_page_does_nothing(target: Target, content_type: str) -> None:
    """A55: a form cannot send Tus-Resumable, and without it nothing is changed."""
    form = ("Content-Type", content_type)
    body = b"X-HTTP-Method-Override=DELETE"
    assert_refused(target.send(request("POST", "/files/", form, LENGTH, body=body)), 412)
    assert_refused(target.send(request("POST", target.path, form, body=body)), 405)
    data = request("POST", target.path, form, override("DELETE"), body=body)
    assert_refused(target.send(data), 412)


@pytest.fixture(scope="module")
def picky(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for the pages of one origin, with cookies."""
    options = ("--cors-allow-origin", r"https://(www\.)?trusted\.com", "--cors-allow-credentials")
    with running_server(tmp_path_factory.mktemp("picky") / "uploads", *options) as server:
        yield server


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.com",
        "https://evil.com.trusted.com",
        "https://trusted.com.evil.com",
        "https://wwwXtrusted.com",
        "https://www.trustedXcom",
        "http://trusted.com",
        "https://trusted.com:8443",
        "https://TRUSTED.com",
        "https://trusted.com/",
        "https://trusted.com https://evil.com",
        "",
        b"https://trusted.com\xff",
    ],
)
def test_another_origin_is_refused(picky: Server, origin: str | bytes) -> None:
    """A56: only an origin that matches as a whole is let in, and no other is told so."""
    for data in (
        request("POST", "/files/", V, LENGTH, ("Origin", origin)),
        request("OPTIONS", "/files/x", ("Origin", origin)),
    ):
        answer = exchange(picky.port, data)
        assert_refused(answer, 403)
        assert answer.headers["Vary"] == "Origin"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert not list(picky.upload_dir.glob("*.info"))


@pytest.mark.parametrize("origin", ["https://trusted.com", "https://www.trusted.com"])
def test_the_trusted_origin_is_named_with_credentials(picky: Server, origin: str) -> None:
    """A56: the answer names the one origin that asked, never all of them."""
    answer = exchange(picky.port, head("OPTIONS", "/files/x", ("Origin", origin)))
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Vary"] == "Origin"


def test_forwarded_hosts_are_not_believed(attacked: Server) -> None:
    """A59: without a proxy of ours, what a client says of itself is not in Location."""
    lies = (
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil;proto=https"),
        ("X-Original-Host", "evil"),
        ("X-Forwarded-For", "127.0.0.1"),
    )
    upload = new_target(attacked)
    answer = upload.create(*lies, LENGTH)
    location = answer.headers["Location"]
    assert location.startswith("http://server/files/")
    assert upload.send(request("DELETE", location.removeprefix("http://server"), V)).status == 204
    upload.delete()


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE", "OPTIONS", "PUT"])
def test_nothing_but_a_download_may_be_cached(target: Target, method: str) -> None:
    """A5a: answers about the state of an upload, errors among them, are not for caches."""
    for path in (target.path, "/files/missing", "/files/"):
        if (method, path) != ("DELETE", target.path):
            answer = target.send(request(method, path, V), method)
            assert answer.headers["Cache-Control"] == "no-store"
