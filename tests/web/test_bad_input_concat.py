"""Concatenations of what is foreign, unfinished, too much or gone (A61 to A67)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.raw_http import Answer, request
from tests.support.server import Server
from tests.support.target import MISSING, Target, V, assert_refused, files_of, new_target
from tests.support.waiting import wait_until

PARTIAL = ("Upload-Concat", "partial")


@pytest.fixture
def part(attacked: Server) -> Iterator[Target]:
    """A complete partial upload, which is the same after the test."""
    upload = new_target(attacked, ("Upload-Length", "3"), PARTIAL)
    before = files_of(attacked)
    yield upload
    assert files_of(attacked) == before
    upload.delete()


def join(somewhere: Target, *references: str) -> Answer:
    """Ask for a final upload."""
    return somewhere.create(("Upload-Concat", "final;" + " ".join(references)))


def remove(somewhere: Target, made: Answer) -> None:
    """Remove a final upload that was made."""
    path = made.headers["Location"].removeprefix("http://server")
    assert somewhere.send(request("DELETE", path, V)).status == 204


@pytest.mark.parametrize(
    "reference",
    [
        "../../etc/passwd",
        "/files/../../etc/passwd",
        "%2e%2e/canary",
        "/files/%2e%2e/canary",
        "http://evil{path}",
        "http://server@evil{path}",
        "http://server.evil{path}",
        "http://server:81{path}",
        "//evil{path}",
        "ftp://server{path}",
        "javascript:{path}",
        "file://{path}",
        "{path}?x",
        "{path}#x",
        "..\\canary",
        "http://[server{path}",
    ],
)
def test_a_foreign_reference_is_refused(part: Target, reference: str) -> None:
    """A61: no URL is followed, cut to fit or fetched; a foreign one is malformed."""
    assert_refused(join(part, part.path, reference.format(path=part.path)), 400)


@pytest.mark.parametrize(
    "reference",
    [
        "/etc/passwd",
        "/files/CON",
        "/files/" + "a" * 300,
        "{path}.info",
        "{path}.lock",
        "{path}/",
        "/files/",
        "/files/" + "0" * 32,
        "/other{path}",
    ],
)
def test_a_reference_to_nothing_looks_missing(part: Target, reference: str) -> None:
    """A26: a clean reference that names no upload is 404."""
    assert_refused(join(part, part.path, reference.format(path=part.path)), 404)


def test_only_partial_uploads_are_parts(part: Target, attacked: Server) -> None:
    """A62: neither an ordinary upload nor another final can be a part."""
    whole = new_target(attacked, ("Upload-Length", "3"))
    final = join(part, part.path)
    assert final.status == 201
    assert_refused(join(part, whole.path), 400)
    assert_refused(join(part, final.headers["Location"]), 400)
    whole.delete()
    remove(part, final)


def test_a_part_that_is_terminated_looks_missing(part: Target, attacked: Server) -> None:
    """A64: a part that has gone cannot be joined."""
    gone = new_target(attacked, ("Upload-Length", "3"), PARTIAL)
    gone.delete()
    assert_refused(join(part, part.path, gone.path), 404)


def test_an_unfinished_part_is_waited_for(part: Target, attacked: Server) -> None:
    """A62: a final of unfinished parts shows no offset until the last of them is complete."""
    late = new_target(attacked, ("Upload-Length", "10"), PARTIAL)
    final = join(part, late.path, part.path)
    assert final.status == 201
    assert "Upload-Offset" not in final.headers
    path = final.headers["Location"].removeprefix("http://server")
    answer = part.send(request("HEAD", path, V), "HEAD")
    assert "Upload-Offset" not in answer.headers
    assert answer.headers["Upload-Length"] == "13"
    assert_refused(part.send(request("GET", path), "GET"), 400)
    assert late.patch(body=MISSING).status == 204
    inspect = request("HEAD", path, V)
    wait_until(lambda: "Upload-Offset" in part.send(inspect, "HEAD").headers)
    assert part.send(request("GET", path), "GET").body == b"abcdefghijabc"
    late.delete()
    remove(part, final)


@pytest.mark.parametrize("times", [250, 100_000])
def test_too_many_parts_are_refused(part: Target, times: int) -> None:
    """A63: the header bounds the number of parts, long before the disk is asked."""
    assert_refused(join(part, *([part.path] * times)), 400)


def test_the_sum_of_parts_is_bounded(attacked: Server) -> None:
    """A63: the same part over and over is counted over and over, before a byte is copied."""
    big = new_target(attacked, ("Upload-Length", "50000"), PARTIAL, body=b"x" * 50_000)
    before = files_of(attacked)
    assert_refused(join(big, *([big.path] * 21)), 413)
    assert files_of(attacked) == before
    twenty = join(big, *([big.path] * 20))
    assert (twenty.status, twenty.headers["Upload-Offset"]) == (201, "1000000")
    remove(big, twenty)
    big.delete()


def test_two_finals_of_the_same_parts_do_not_wait_for_each_other(
    part: Target, attacked: Server
) -> None:
    """A65: A+B and B+A at once make two uploads, each in its order."""
    other = new_target(attacked, ("Upload-Length", "3"), PARTIAL, body=b"xyz")
    orders = ((part.path, other.path), (other.path, part.path))
    connections = [part.connect() for _ in orders]
    for connection, order in zip(connections, orders, strict=True):
        concat = ("Upload-Concat", "final;" + " ".join(order))
        connection.send(request("POST", "/files/", V, concat))
    finals = [connection.answer() for connection in connections]
    for connection, final, joined in zip(connections, finals, (b"abcxyz", b"xyzabc"), strict=True):
        path = final.headers["Location"].removeprefix("http://server")
        connection.send(request("GET", path))
        assert connection.answer().body == joined
        with connection:
            remove(part, final)
    other.delete()


@pytest.mark.parametrize("value", ["final;", "final", "final ;x", "partial;x", "Partial", "", ";"])
def test_another_form_is_refused(part: Target, value: str) -> None:
    """A66: it is 'partial', or 'final;' and at least one URL."""
    assert_refused(part.create(("Upload-Concat", value), ("Upload-Length", "3")), 400)


def test_a_final_has_nothing_of_its_own(part: Target) -> None:
    """A66: a final takes no length, no bytes, and no second Upload-Concat."""
    concat = ("Upload-Concat", f"final;{part.path}")
    octets = ("Content-Type", "application/offset+octet-stream")
    assert_refused(part.create(concat, ("Upload-Length", "3")), 400)
    assert_refused(part.create(concat, ("Upload-Defer-Length", "1")), 400)
    assert_refused(part.create(concat, octets, body=b"abc"), 400)
    assert_refused(part.create(concat, concat), 400)


def test_a_final_stays_as_it_is(part: Target, attacked: Server) -> None:
    """A67: a final refuses PATCH, and does not change when its parts are removed."""
    other = new_target(attacked, ("Upload-Length", "3"), PARTIAL, body=b"xyz")
    answer = join(part, part.path, other.path)
    final = Target(server=attacked, path=answer.headers["Location"].removeprefix("http://server"))
    assert_refused(final.patch(body=b"x", offset=6), 403)
    assert_refused(final.patch(offset=6), 403)
    other.delete()
    assert final.send(request("GET", final.path), "GET").body == b"abcxyz"
    assert final.offset() == 6
    final.delete()
