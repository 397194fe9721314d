"""Paths that are no upload: traversal, escapes, side files (A20 to A27)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.raw_http import NoAnswer, head, request
from tests.support.target import TYPE, Target, V, assert_refused

NOT_THERE = {
    "A20 traversal": "/files/..%2f..%2fetc%2fpasswd",
    "A20 upper case": "/files/..%2F..%2Fcanary",
    "A20 canary": "/files/..%2fcanary",
    "A20 dots": "/files/%2e%2e",
    "A20 dots and canary": "/files/%2e%2e/canary",
    "A20 dot": "/files/.",
    "A20 slash": "/files/%2f",
    "A21 twice": "/files/%252e%252e%252fcanary",
    "A22 backslash": "/files/..%5ccanary",
    "A22 drive": "/files/C:%5cx",
    "A22 backslash as it is": "/files/..\\canary",
    "A23 nul": "/files/%00",
    "A23 nul at the end": "/files/canary%00.txt",
    "A24 line break": "/files/%0d%0aX:1",
    "A24 right to left": "/files/%e2%80%ae",
    "A24 not UTF-8": "/files/%ff%fe",
    "A24 overlong": "/files/%c0%ae%c0%ae/canary",
    "A25 raw traversal": "/files/../../etc/passwd",
    "A25 raw canary": "/files/../canary",
    "A25 two slashes": "/files//canary",
    "A25 dot segment": "/files/./canary",
    "A25 slash behind": "/files/canary/",
    "A25 half an escape": "/files/a%",
    "A25 no escape": "/files/a%zz",
    "A26 device": "/files/CON",
    "A26 long": "/files/" + "a" * 300,
    "A26 longer than a name": "/files/" + "a" * 5000,
    "A26 our folder": "/files/.tusd_py",
    "A26 folders": "/files/" + "a/" * 90 + "a",
    "query": "/files/canary?../..",
    "fragment": "/files/canary#../..",
}

METHODS = ("HEAD", "GET", "PATCH", "DELETE")


def requests_for(path: str) -> Iterator[tuple[str, bytes]]:
    """Yield a proper request of each method, but for its path."""
    for method in METHODS:
        fields = (V, TYPE, ("Upload-Offset", "0")) if method == "PATCH" else (V,)
        yield method, request(method, path, *fields, body=b"x" if method == "PATCH" else b"")
    override = ("X-HTTP-Method-Override", "DELETE")
    yield "POST", request("POST", path, V, override)


@pytest.mark.parametrize("path", NOT_THERE.values(), ids=NOT_THERE)
def test_a_path_that_is_no_upload_looks_missing(target: Target, path: str) -> None:
    """Whatever is asked of it, such a path is 404, and no file is touched (A27: by DELETE)."""
    for method, data in requests_for(path):
        answer = target.send(data, method)
        if method == "HEAD":
            assert answer.status == 404
        else:
            assert_refused(answer, 404)
        assert "canary" not in answer.text


@pytest.mark.parametrize("suffix", [".info", ".lock", ".stop", ".state", ".tmp", ".part", "/x"])
def test_the_side_files_of_an_upload_are_no_uploads(target: Target, suffix: str) -> None:
    """A26: no upload can be named like a file that belongs to another one."""
    for method, data in requests_for(target.path + suffix):
        assert target.send(data, method).status == 404


def test_an_escaped_id_is_another_path(target: Target) -> None:
    """An id needs no escapes, so one with escapes is not the id that they stand for."""
    name = target.path.rpartition("/")[2]
    escaped = f"/files/%{ord(name[0]):x}{name[1:]}"
    for method, data in requests_for(escaped):
        assert target.send(data, method).status == 404


def test_a_query_is_no_part_of_the_id(target: Target) -> None:
    """What follows a question mark does not count."""
    answer = target.send(request("HEAD", target.path + "?a=b&c=../..", V), "HEAD")
    assert (answer.status, answer.headers["Upload-Offset"]) == (200, "3")


@pytest.mark.parametrize("path", ["//files/x", "//files/", "/file", "/", "/files/../x", "*"])
def test_paths_beside_ours_are_404_or_405(target: Target, path: str) -> None:
    """A25: what is not below the creation URL is nothing of ours."""
    answer = target.send(request("DELETE", path, V))
    assert_refused(answer, 400, 404, 405)


@pytest.mark.parametrize("path", ["/files/\u00e9", "/files/a b", "/files/\x7f", "/" + "a" * 9000])
def test_a_target_that_is_none_is_malformed(target: Target, path: str) -> None:
    """Bytes that a request target cannot have are refused, or looked for and not found."""
    for method, data in requests_for(path):
        answer = target.send(data, method)
        assert answer.status in (400, 404)


@pytest.mark.parametrize("path", ["/files", "/files/", "/files?x", "/files/?final"])
def test_the_creation_url_has_no_upload_methods(target: Target, path: str) -> None:
    """Nothing can be asked of the collection; the answer says what it takes."""
    for method in METHODS:
        answer = target.send(request(method, path, V), method)
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST, OPTIONS"


def test_names_too_long_for_the_disk_look_missing(target: Target) -> None:
    """The longest id there can be, with a side file's suffix, still fits a file name."""
    assert target.send(request("HEAD", "/files/" + "a" * 200, V), "HEAD").status == 404
    assert target.send(request("HEAD", "/files/" + "a" * 201, V), "HEAD").status == 404


def test_a_request_line_alone_is_no_request(target: Target) -> None:
    """HTTP/0.9 is not spoken: the connection ends, with or without an answer."""
    with target.connect() as connection:
        connection.send(b"GET /files/x\r\n\r\n")
        connection.end_sending()
        try:
            assert_refused(connection.answer(), 400, 505)
        except NoAnswer:
            return


def test_a_head_alone_disturbs_nobody(target: Target) -> None:
    """A head that never ends holds nothing but its connection."""
    with target.connect() as connection:
        connection.send(head("PATCH", target.path, V)[:-2])
        assert target.offset() == 3
