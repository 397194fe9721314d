"""Requests that come in odd company: pipelined, half-closed, with expectations (A39 to A3i)."""

from __future__ import annotations

import pytest

from tests.support.raw_http import NoAnswer, chunked, head, request
from tests.support.server import Server
from tests.support.target import (
    MISSING,
    STORED,
    TYPE,
    Target,
    V,
    assert_refused,
    new_target,
)

EXPECT = ("Expect", "100-continue")


def test_pipelined_bodies_keep_their_frames(attacked: Server) -> None:
    """A39: of requests sent at once, each body ends where it says, and answers come in order."""
    upload = new_target(attacked)
    pipeline = (
        upload.head_of_patch(("Content-Length", "4"))
        + b"defg"
        + upload.head_of_patch(("Content-Length", "3"), offset=7)
        + b"hij"
        + request("GET", upload.path)
        + request("DELETE", upload.path, V)
    )
    with upload.connect() as connection:
        connection.send(pipeline)
        answers = [connection.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [204, 204, 200, 204]
    assert answers[2].body == STORED + MISSING


def test_behind_pipelined_chunks_the_connection_ends(attacked: Server) -> None:
    """A39: requests behind a chunked one in the same segment are not answered, nor done."""
    upload = new_target(attacked)
    chunks = upload.head_of_patch(("Transfer-Encoding", "chunked")) + chunked(MISSING)
    with upload.connect() as connection:
        connection.send(chunks + request("DELETE", upload.path, V))
        answer = connection.answer()
        assert (answer.status, answer.closes) == (204, True)
        assert connection.ended()
    assert upload.offset() == 10
    upload.delete()


def test_a_request_behind_a_refused_body_is_not_part_of_it(target: Target) -> None:
    """A39: after an early 409 the body is read away, and what follows is a request."""
    body = request("DELETE", target.path, V)  # smuggled, if the body were not framed
    length = ("Content-Length", str(len(body)))
    refused = target.head_of_patch(length, offset=0) + body
    with target.connect() as connection:
        connection.send(refused + request("HEAD", target.path, V))
        assert connection.answer().status == 409
        assert connection.answer("HEAD").headers["Upload-Offset"] == "3"


@pytest.mark.parametrize("later", [b"", MISSING], ids=["never comes", "comes later"])
def test_an_early_answer_leaves_the_connection_framed_or_closed(
    target: Target, later: bytes
) -> None:
    """A39: the body of a refused request is awaited a moment; then the connection ends."""
    with target.connect() as connection:
        connection.send(target.head_of_patch(("Content-Length", "7"), offset=0))
        assert connection.answer().status == 409
        if later:
            connection.send(later + request("HEAD", target.path, V))
            assert connection.answer("HEAD").headers["Upload-Offset"] == "3"
        else:
            assert connection.ended()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("PATCH", "/files/x", V, TYPE, ("Upload-Offset", "0"), EXPECT), 404),
        (head("PATCH", "/files/..", V, TYPE, ("Upload-Offset", "0"), EXPECT), 404),
        (head("POST", "/files/", V, TYPE, ("Upload-Length", "9999999"), EXPECT), 413),
        (head("POST", "/files/", TYPE, ("Upload-Length", "5"), EXPECT), 412),
        (head("POST", "/files/", V, ("Upload-Length", "-5"), EXPECT), 400),
        (head("PUT", "/files/", V, EXPECT), 405),
    ],
    ids=["unknown", "no id", "too large", "version", "length", "method"],
)
def test_who_asks_first_is_refused_without_sending(
    target: Target, data: bytes, status: int
) -> None:
    """A3a: with Expect: 100-continue the refusal comes without a 100 before it."""
    data = data[:-2] + b"Content-Length: 999\r\n\r\n"
    with target.connect() as connection:
        connection.send(data)
        answer = connection.answer()
        assert_refused(answer, status)
        assert answer.interim == ()
        assert answer.closes


@pytest.mark.parametrize("offset", [0, 4])
def test_who_asks_first_learns_of_another_offset(target: Target, offset: int) -> None:
    """A3a: a mismatch is known before the body is."""
    answer = target.send(target.head_of_patch(("Content-Length", "7"), EXPECT, offset=offset))
    assert_refused(answer, 409)
    assert answer.interim == ()


def test_who_asks_first_may_send(attacked: Server) -> None:
    """A3a: when every check has passed, 100 Continue comes, once, and then the answer."""
    upload = new_target(attacked)
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(("Content-Length", "7"), EXPECT))
        connection.send(MISSING)
        answer = connection.answer()
    assert (answer.interim, answer.status) == ((100,), 204)
    upload.delete()


def test_other_expectations_are_not_met(target: Target) -> None:
    """A3a: an expectation that nobody knows is refused with 417."""
    assert_refused(target.patch(("Expect", "200-ok"), body=MISSING), 417)


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.2, HTTP/2.0"])
def test_an_upgrade_is_ignored(attacked: Server, protocol: str) -> None:
    """A3b: whoever offers another protocol is answered in this one."""
    upload = new_target(attacked)
    offer = (("Connection", "Upgrade"), ("Upgrade", protocol))
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(*offer, ("Content-Length", "7")) + MISSING)
        assert connection.answer().status == 204
    assert upload.file.read_bytes() == STORED + MISSING
    upload.delete()


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_whole_request_before_a_half_close_is_answered(attacked: Server, framing: str) -> None:
    """A3c: a client that has sent all and closes its sending side still gets its answer."""
    for _ in range(20):  # whether both arrive in one wake-up is up to the kernel
        upload = new_target(attacked)
        if framing == "length":
            data = upload.head_of_patch(("Content-Length", "7")) + MISSING
        else:
            data = upload.head_of_patch(("Transfer-Encoding", "chunked")) + chunked(MISSING)
        with upload.connect() as connection:
            connection.send(data)
            connection.end_sending()
            assert connection.answer().status == 204
            assert connection.ended()
        upload.delete()


def test_half_a_request_before_a_half_close_is_told_so(attacked: Server) -> None:
    """A3c: a body that can no longer come is answered 400, and what arrived is kept."""
    for _ in range(20):
        upload = new_target(attacked)
        with upload.connect() as connection:
            connection.send(upload.head_of_patch(("Content-Length", "7")) + b"defg")
            connection.end_sending()
            assert_refused(connection.answer(), 400)
            assert connection.ended()
        assert upload.offset() == 7
        upload.delete()


def test_nothing_before_a_half_close_is_no_request(target: Target) -> None:
    """A3c: a connection that ends before a request began is closed, without an answer."""
    for data in (b"", b"PATCH", head("PATCH", target.path, V)[:-1]):
        with target.connect() as connection:
            connection.send(data)
            connection.end_sending()
            with pytest.raises(NoAnswer):
                connection.answer()


HOSTS = {
    "missing": b"",
    "twice": b"Host: a\r\nHost: a\r\n",
    "markup": b"Host: a b<script>\r\n",
    "user": b"Host: a@evil/..?x\r\n",
    "path": b"Host: a/b\r\n",
    "list": b"Host: a, b\r\n",
    "port": b"Host: a:99999999\r\n",
    "port is none": b"Host: a:b\r\n",
    "not UTF-8": b"Host: \xff\xfe\r\n",
    "percent": b"Host: a%0d%0a\r\n",
}


@pytest.mark.parametrize("line", HOSTS.values(), ids=HOSTS)
def test_a_host_that_is_none_is_refused(target: Target, line: bytes) -> None:
    """A3d: what cannot be an authority never gets into a Location."""
    data = request("POST", "/files/", V, ("Upload-Length", "5"))
    assert_refused(target.send(data.replace(b"Host: server\r\n", line)), 400)


def test_the_authority_of_an_absolute_target_is_ignored(attacked: Server) -> None:
    """A3e: of a target like a proxy's only the path counts; Host tells who was meant."""
    data = request("POST", "http://evil/files/", V, ("Upload-Length", "5"))
    upload = new_target(attacked)
    answer = upload.send(data)
    assert answer.status == 201
    location = answer.headers["Location"]
    assert location.startswith("http://server/files/")
    path = location.removeprefix("http://server")
    assert upload.send(request("HEAD", "http://evil" + path, V), "HEAD").status == 200
    assert upload.send(request("DELETE", path, V)).status == 204
    upload.delete()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x", "identity, gzip", ""])
def test_an_encoded_body_is_not_read(target: Target, coding: str) -> None:
    """A3f: a Content-Encoding is refused before the body, and nothing is decompressed."""
    field = ("Content-Encoding", coding)
    answer = target.send(target.head_of_patch(field, ("Content-Length", "7")))
    assert_refused(answer, 415)
    assert answer.closes
    assert_refused(target.create(field, ("Upload-Length", "5")), 415)


@pytest.mark.parametrize(("method", "status"), [("GET", 400), ("HEAD", 200), ("OPTIONS", 200)])
def test_a_body_where_none_belongs_is_read_away(target: Target, method: str, status: int) -> None:
    """A3g: a body of GET, HEAD or OPTIONS is skipped, and the next request is answered."""
    with target.connect() as connection:
        connection.send(request(method, target.path, V, body=b"x" * 10_000))
        assert connection.answer(method).status == status
        connection.send(request("HEAD", target.path, V))
        assert connection.answer("HEAD").headers["Upload-Offset"] == "3"


def test_a_delete_with_a_body_deletes(attacked: Server) -> None:
    """A3g: a body of DELETE is skipped."""
    upload = new_target(attacked)
    assert upload.send(request("DELETE", upload.path, V, body=b"x" * 10_000)).status == 204
    assert upload.inspect().status == 404


@pytest.mark.parametrize(
    "method", ["TRACE", "PUT", "MOVE", "CONNECT", "FOO", "P@TCH", "A" * 500, "POST\0", "(X)"]
)
def test_a_method_that_is_none_of_ours_is_refused(target: Target, method: str) -> None:
    """A3h: other methods are 405, and what is no method at all is 400."""
    data = head(method, target.path, V, ("Content-Length", "0"))
    answer = target.send(data)
    assert_refused(answer, 400, 404, 405)
    if answer.status == 405:
        assert answer.headers["Allow"] == "GET, HEAD, PATCH, DELETE, OPTIONS"


def test_a_method_in_lower_case_is_refused_or_understood(attacked: Server) -> None:
    """A3h: aiohttp's parsers disagree about 'options'; neither fails."""
    upload = new_target(attacked)
    answer = upload.send(head("options", upload.path, ("Content-Length", "0")))
    assert answer.status in (200, 400, 405)
    upload.delete()


def test_a_request_replayed_is_told_the_offset(attacked: Server) -> None:
    """A3i: a PATCH that a proxy sends twice is stored once; the second gets 409."""
    upload = new_target(attacked)
    data = upload.head_of_patch(("Content-Length", "4")) + b"defg"
    with upload.connect() as connection:
        connection.send(data + data)
        assert connection.answer().status == 204
        answer = connection.answer()
        assert (answer.status, answer.headers["Upload-Offset"]) == (409, "7")
    upload.delete()
