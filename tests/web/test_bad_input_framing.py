"""HTTP that is framed wrongly, oddly or in another version (A30 to A38)."""

from __future__ import annotations

import pytest

from tests.support.raw_http import NoAnswer, chunked, request
from tests.support.raw_http import head as head_of
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

CHUNKED = ("Transfer-Encoding", "chunked")

CODINGS: dict[str, tuple[list[tuple[str, str | bytes]], tuple[int, ...]]] = {
    "A30 with Content-Length": ([CHUNKED, ("Content-Length", "7")], (400,)),
    "A30 Content-Length first": ([("Content-Length", "7"), CHUNKED], (400,)),
    "A30 unknown": ([("Transfer-Encoding", "xchunked")], (400, 501)),
    "A30 chunked is not last": ([("Transfer-Encoding", "chunked, identity")], (400, 501)),
    "A30 identity": ([("Transfer-Encoding", "identity")], (400, 501)),
    "A30 doubled": ([("Transfer-Encoding", "chunked, chunked")], (400, 501)),
    "A30 twice": ([CHUNKED, CHUNKED], (400, 501)),
    "A30 twice, one unknown": ([("Transfer-Encoding", "x"), CHUNKED], (400, 501)),
    "A30 blank before the colon": ([("Transfer-Encoding ", "chunked")], (400,)),
    "A30 vertical tab": ([("Transfer-Encoding", "\x0bchunked")], (400,)),
    "A30 vertical tab behind": ([("Transfer-Encoding", "chunked\x0b")], (400,)),
    "A30 empty": ([("Transfer-Encoding", "")], (400, 501)),
    "A31 compressed": ([("Transfer-Encoding", "gzip, chunked")], (400, 501)),
    "A31 compressed only": ([("Transfer-Encoding", "gzip")], (400, 501)),
    "A31 deflated": ([("Transfer-Encoding", "deflate, chunked")], (400, 501)),
}


@pytest.mark.parametrize(("fields", "statuses"), CODINGS.values(), ids=CODINGS)
def test_a_body_whose_framing_is_in_doubt_is_not_read(
    target: Target, fields: list[tuple[str, str | bytes]], statuses: tuple[int, ...]
) -> None:
    """A Transfer-Encoding other than plain chunked is refused and the connection ends."""
    with target.connect() as connection:
        connection.send(target.head_of_patch(*fields) + chunked(MISSING))
        assert_refused(connection.answer(), *statuses)
        assert connection.ended()


def test_chunks_need_http_1_1(target: Target) -> None:
    """A32: HTTP/1.0 has no Transfer-Encoding."""
    data = target.head_of_patch(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + chunked(MISSING)
    with target.connect() as connection:
        connection.send(data)
        assert_refused(connection.answer(), 400)
        assert connection.ended()


@pytest.mark.parametrize(
    "version", ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3", "HTTP/", "FTP/1.1", "1.1"]
)
def test_other_versions_are_not_spoken(target: Target, version: str) -> None:
    """A33: a version other than 1.0 and 1.1 is refused, not guessed."""
    data = target.head_of_patch(("Content-Length", "7")).replace(b"HTTP/1.1", version.encode())
    assert_refused(target.send(data + MISSING), 400, 505)


def test_http_1_0_is_spoken(attacked: Server) -> None:
    """A33: a client of HTTP/1.0 can upload, and its connection ends with the answer."""
    upload = new_target(attacked)
    data = upload.head_of_patch(("Content-Length", "7")).replace(b"HTTP/1.1", b"HTTP/1.0")
    with upload.connect() as connection:
        connection.send(data + MISSING)
        assert connection.answer().status == 204
        assert connection.ended()
    upload.delete()


@pytest.mark.parametrize("way", ["end", "reset"])
def test_a_chunked_body_that_breaks_off_is_not_complete(attacked: Server, way: str) -> None:
    """A34: without its last chunk a body is cut short; what arrived is kept, and no more."""
    upload = new_target(attacked)
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(CHUNKED) + b"4\r\ndefg\r\n")
        if way == "end":
            connection.end_sending()
            assert_refused(connection.answer(), 400)
        else:
            assert upload_reaches(upload, 7)
            connection.reset()
    assert upload.offset() == 7
    assert upload.patch(body=b"hij", offset=7).status == 204
    assert upload.file.read_bytes() == STORED + MISSING
    upload.delete()


def upload_reaches(upload: Target, offset: int) -> bool:
    """Whether the bytes sent so far arrive; asking takes the upload away from its holder."""
    return upload.offset() == offset


CHUNKS = {
    "A35 17 digits": b"f" * 17 + b"\r\ndefg",
    "A35 16 digits": b"f" * 16 + b"\r\ndefg",
    "A35 negative": b"-4\r\ndefg",
    "A35 prefix": b"0x4\r\ndefg",
    "A35 plus": b"+4\r\ndefg",
    "A35 underscore": b"0_4\r\ndefg",
    "A35 empty": b"\r\ndefg",
    "A35 no number": b"zz\r\ndefg",
    "A35 blank before": b" 4\r\ndefg",
    "A35 full width": "\uff14\r\ndefg".encode(),
    "A35 longer than its size": b"3\r\ndefg\r\n0\r\n\r\n",
    "A35 shorter than its size": b"5\r\ndefg\r\n0\r\n\r\n",
    "A35 bare line feeds": b"4\ndefg\n0\n\n",
    "A35 bare carriage return": b"4\rdefg\r0\r\r",
    "A37 200 trailers": b"4\r\ndefg\r\n0\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    "A37 long trailer": b"4\r\ndefg\r\n0\r\nX: " + b"1" * 20_000 + b"\r\n\r\n",
    "A37 no trailer": b"4\r\ndefg\r\n0\r\nnonsense\r\n\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("together", [True, False], ids=["one segment", "head first"])
def test_chunks_that_are_none_end_the_connection(
    attacked: Server, body: bytes, *, together: bool
) -> None:
    """A35 and A37: broken framing is never taken for the end of a body, however it arrives."""
    upload = new_target(attacked)
    data = upload.head_of_patch(CHUNKED)
    with upload.connect() as connection:
        if together:
            connection.send(data + body)
        else:
            connection.send(data)
            connection.send(body)
        connection.end_sending()
        assert_refused(connection.answer(), 400, 413)
        assert connection.ended()
    kept = upload.offset()
    # Of "shorter than its size" the five bytes are there, the last of them a carriage return.
    sent = b"defg\r" if body.startswith(b"5") else MISSING
    assert upload.file.read_bytes() == STORED + sent[: kept - 3]
    assert kept <= 3 + (5 if body.startswith(b"5") else 4)
    assert upload.patch(body=MISSING[kept - 3 :], offset=kept).status == 204
    upload.delete()


@pytest.mark.parametrize("extension", [b";a=b", b";" + b"a" * 20_000], ids=["small", "20 KB"])
def test_a_chunk_extension_is_ignored_or_refused(attacked: Server, extension: bytes) -> None:
    """A36: what stands behind a chunk's size has no meaning, and no cost either."""
    upload = new_target(attacked)
    data = upload.head_of_patch(CHUNKED) + b"7" + extension + b"\r\ndefghij\r\n0\r\n\r\n"
    status = upload.send(data).status
    assert status in (204, 400)
    assert upload.offset() == (10 if status == 204 else 3)
    upload.delete()


@pytest.mark.parametrize(
    "chunk", [b"1\r\nx\r\n", b"2;" + b"a" * 60 + b"\r\nxx\r\n"], ids=["tiny", "extended"]
)
def test_a_million_tiny_chunks_are_refused(attacked: Server, chunk: bytes) -> None:
    """A36: a body that is mostly framing is cut off; what came of it by then is kept."""
    upload = new_target(attacked, ("Upload-Length", "1000000"))
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(CHUNKED))
        for _ in range(1000):
            connection.send(chunk * 1000)
        assert_refused(connection.answer(), 400)
    kept = upload.offset()
    assert 3 < kept < 200_000
    assert upload.file.read_bytes() == STORED + b"x" * (kept - 3)
    upload.delete()


def test_short_chunks_are_one_body_however_many(attacked: Server) -> None:
    """A36: chunks as short as lines of text may come without end."""
    upload = new_target(attacked, ("Upload-Length", "960003"))
    line = b"x" * 32
    data = upload.head_of_patch(CHUNKED) + chunked(*[line] * 30_000)
    assert upload.send(data).status == 204
    assert upload.offset() == 960_003
    upload.delete()


def test_many_small_chunks_are_one_body(attacked: Server) -> None:
    """A36: a body in one-byte chunks is stored as any other."""
    upload = new_target(attacked, ("Upload-Length", "20003"))
    data = upload.head_of_patch(CHUNKED) + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n"
    assert upload.send(data).status == 204
    assert upload.file.read_bytes() == STORED + b"x" * 20_000
    upload.delete()


@pytest.mark.parametrize("together", [True, False], ids=["one segment", "trailer later"])
@pytest.mark.parametrize("announced", ["", "Upload-Checksum-2", "X-Other, Y"])
@pytest.mark.parametrize("name", ["Upload-Checksum", "X", "Tus-Resumable"])
def test_a_trailer_that_was_not_announced_is_refused(
    target: Target, name: str, announced: str, *, together: bool
) -> None:
    """A37: a client may take its checksum for verified, so nothing of such a body is kept."""
    head = target.head_of_patch(CHUNKED, *([("Trailer", announced)] if announced else []))
    body = chunked(MISSING, trailers=[(name, "sha1 nonsense")])
    with target.connect() as connection:
        if together:
            connection.send(head + body)
        else:
            connection.send(head + body[:-30])
            assert target.send(request("OPTIONS", "/files/")).status == 200
            connection.send(body[-30:])
        assert_refused(connection.answer(), 400)
        assert connection.ended()


def test_a_trailer_that_was_announced_may_come(attacked: Server) -> None:
    """A37: what is announced and means nothing to us is ignored (RFC 9110, 6.5.1)."""
    upload = new_target(attacked)
    head = upload.head_of_patch(CHUNKED, ("Trailer", "X-Trace , ETag"))
    data = head + chunked(MISSING, trailers=[("x-trace", "1")])
    assert upload.send(data).status == 204
    upload.delete()


def test_a_first_body_with_an_unannounced_trailer_creates_nothing(target: Target) -> None:
    """A37: for the bytes of a creation the same holds, and no upload is left behind."""
    fields = (V, TYPE, ("Upload-Length", "7"), CHUNKED)
    body = chunked(MISSING, trailers=[("Upload-Checksum", "sha1 nonsense")])
    assert_refused(target.send(head_of("POST", "/files/", *fields) + body), 400)


@pytest.mark.parametrize("field", ["Content-Length: 4", "Transfer-Encoding: chunked"])
def test_a_trailer_cannot_change_the_framing(attacked: Server, field: str) -> None:
    """A37: framing in a trailer is refused or ignored, and no request begins behind it."""
    upload = new_target(attacked)
    trailer = b"0\r\n" + field.encode() + b"\r\n\r\n"
    with upload.connect() as connection:
        connection.send(upload.head_of_patch(CHUNKED) + b"4\r\ndefg\r\n" + trailer)
        connection.send(request("DELETE", upload.path, V))
        status = connection.answer().status
        assert status in (204, 400)
        assert connection.ended()
    assert upload.offset() == (7 if status == 204 else upload.offset())
    upload.delete()


HEADERS = {
    "A38 folded": b"X: a\r\n b\r\n",
    "A38 nul": b"X: a\0b\r\n",
    "A38 bare carriage return": b"X: a\rb\r\n",
    "A38 bare line feed": b"X: a\nContent-Length: 3\r\n",
    "A38 control": b"X: a\x01b\r\n",
    "A38 no name": b": a\r\n",
    "A38 no colon": b"nonsense\r\n",
    "A38 blank in the name": b"X Y: a\r\n",
    "A38 blank before the colon": b"X : a\r\n",
    "A38 name not ASCII": "\u00e9: a\r\n".encode(),
    "A38 200 fields": b"".join(b"X%d: a\r\n" % n for n in range(200)),
    "A38 9 KB": b"X: " + b"a" * 9000 + b"\r\n",
    "A38 1 MB": b"X: " + b"a" * 1_000_000 + b"\r\n",
    "A38 long name": b"X" * 9000 + b": a\r\n",
}


@pytest.mark.parametrize("line", HEADERS.values(), ids=HEADERS)
def test_a_head_that_is_none_is_refused(target: Target, line: bytes) -> None:
    """A38: what is no header line, or too many of them, is answered 400 and ends there."""
    data = target.head_of_patch(("Content-Length", "7"))[:-2] + line + b"\r\n"
    with target.connect() as connection:
        connection.send(data + MISSING)
        assert_refused(connection.answer(), 400, 431)
        assert connection.ended()


def test_what_is_no_http_at_all_is_answered_or_cut(target: Target) -> None:
    """Random bytes, or a TLS greeting on a plain port, end the connection."""
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\r\n\r\n",
        b"\0" * 99,
    ):
        with target.connect() as connection:
            connection.send(data)
            connection.end_sending()
            try:
                assert_refused(connection.answer(), 400)
            except NoAnswer:
                continue
            assert connection.ended()


def test_good_bodies_still_pass(attacked: Server) -> None:
    """A chunked PATCH in proper framing, in any case of letters, is stored."""
    upload = new_target(attacked)
    data = upload.head_of_patch(("transfer-encoding", "Chunked")) + chunked(b"defg", b"hij")
    assert upload.send(data).status == 204
    assert upload.file.read_bytes() == STORED + MISSING
    assert upload.send(request("DELETE", upload.path, V)).status == 204
