"""The core protocol: OPTIONS, HEAD and PATCH (rows 1 to 23)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .expect import (
    expect,
    expect_absent,
    expect_field,
    expect_number,
    expect_offset,
    expect_present,
    expect_status,
    expect_success,
)
from .tus import VERSION, is_number
from .wire import Chunked

if TYPE_CHECKING:
    from .tus import Tus
    from .wire import Response

OTHER_VERSION = ("Tus-Resumable", "9.9.9")
DATA = b"hello world"
LENGTH_REQUIRED = 411


@pytest.mark.rule(1, "MUST", "A server implements the core protocol.")
def test_row_01_core_protocol(tus: Tus) -> None:
    """HEAD tells where to go on, and PATCH goes on there until the upload is complete."""
    url = tus.upload(11)
    expect_offset(tus.head(url), 0)
    expect_offset(tus.patch(url, 0, DATA[:5]), 5)
    expect_offset(tus.head(url), 5)
    expect_offset(tus.patch(url, 5, DATA[5:]), 11)
    expect_offset(tus.head(url), 11)


@pytest.mark.rule(2, "MUST", "Upload-Offset and Upload-Length are non-negative integers.")
def test_row_02_numbers_in_answers(tus: Tus) -> None:
    """HEAD and PATCH, where they tell an offset or a length, tell plain decimal numbers."""
    url = tus.upload(11)
    for answer in (tus.head(url), tus.patch(url, 0, DATA)):
        for name in ("Upload-Offset", "Upload-Length"):
            if answer.get(name) is not None:
                expect_number(answer, name)


@pytest.mark.rule(2, "MUST", "Upload-Offset and Upload-Length are non-negative integers.")
@pytest.mark.parametrize("length", ["-1", "abc", "1.5"])
def test_row_02_no_upload_of_impossible_length(tus: Tus, length: str) -> None:
    """POST with an impossible length makes no upload which has that length."""
    tus.need("creation")
    answer = tus.post(("Upload-Length", length))
    if answer.status == 201 and answer.get("Location"):
        head = tus.head(tus.location(answer))
        told = head.get("Upload-Length")
        expect(head, told is None or is_number(told), f"Upload-Length is {told!r}, not a number")


@pytest.mark.rule(2, "MUST", "Upload-Offset and Upload-Length are non-negative integers.")
@pytest.mark.parametrize("offset", ["-1", "abc", "1.5"])
def test_row_02_impossible_offset_changes_nothing(tus: Tus, offset: str) -> None:
    """PATCH with an impossible offset is not acknowledged and changes nothing."""
    url = tus.upload(11)
    answer = tus.patch(url, offset, b"hello")
    expect(answer, answer.status >= 400, f"status is {answer.status}, not an error")
    expect_offset(tus.state(url), 0)


@pytest.mark.rule(3, "MUST", "Tus-Version is a comma-separated list of versions.")
def test_row_03_version_list(tus: Tus) -> None:
    """OPTIONS lists versions, 1.0.0 among them."""
    answer = tus.options()
    expect_present(answer, "Tus-Version")
    versions = answer.items("Tus-Version")
    good = all(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+[-+.0-9A-Za-z]*", v) for v in versions)
    expect(answer, good, f"Tus-Version is {versions}, not a list of versions")
    expect(answer, VERSION in versions, f"Tus-Version does not list {VERSION}")


def answer_of(tus: Tus, kind: str) -> Response:
    """Bring about an answer of some kind."""
    if kind == "created":
        tus.need("creation")
        return tus.create(11)
    if kind == "head of nothing":
        return tus.head(tus.unknown())
    url = tus.upload(11)
    if kind == "head":
        return tus.head(url)
    if kind == "wrong offset":
        return tus.patch(url, 7, b"hello")
    if kind == "wrong version":
        return tus.patch(url, 0, b"hello", OTHER_VERSION)
    return tus.patch(url, 0, b"hello")


@pytest.mark.rule(4, "MUST", "Every answer except to OPTIONS has Tus-Resumable: 1.0.0.")
@pytest.mark.parametrize(
    "kind", ["created", "head", "patched", "wrong offset", "wrong version", "head of nothing"]
)
def test_row_04_version_in_answers(tus: Tus, kind: str) -> None:
    """Successes and errors alike tell the version of the protocol."""
    expect_field(answer_of(tus, kind), "Tus-Resumable", VERSION)


def ask_in_other_version(tus: Tus, method: str) -> Response:
    """Send a request in a version no server supports."""
    if method == "POST":
        tus.need("creation")
        return tus.create(11, OTHER_VERSION)
    url = tus.upload(11)
    if method == "PATCH":
        return tus.patch(url, 0, b"hello", OTHER_VERSION)
    if method == "HEAD":
        return tus.head(url, OTHER_VERSION)
    tus.need("termination")
    return tus.delete(url, OTHER_VERSION)


@pytest.mark.rule(5, "MUST", "A request in an unsupported version is answered 412.")
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_row_05_unsupported_version(tus: Tus, method: str) -> None:
    """A request with Tus-Resumable: 9.9.9 answers 412."""
    expect_status(ask_in_other_version(tus, method), 412)


@pytest.mark.rule(5, "MUST", "The 412 for an unsupported version has Tus-Version.")
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_row_05_names_supported_versions(tus: Tus, method: str) -> None:
    """The 412 tells which versions the server supports."""
    answer = ask_in_other_version(tus, method)
    if answer.status != 412:
        tus.unmet("no 412 to look at", answer)
    expect_present(answer, "Tus-Version")
    expect(answer, VERSION in answer.items("Tus-Version"), f"Tus-Version lacks {VERSION}")


@pytest.mark.rule(5, "MUST", "A request in an unsupported version is not processed.")
def test_row_05_unsupported_version_changes_nothing(tus: Tus) -> None:
    """PATCH with Tus-Resumable: 9.9.9 appends nothing."""
    url = tus.upload(11)
    tus.patch(url, 0, b"hello", OTHER_VERSION)
    expect_offset(tus.state(url), 0)


@pytest.mark.rule(6, "MUST", "Tus-Extension is a comma-separated list, omitted when empty.")
def test_row_06_extension_list(tus: Tus) -> None:
    """OPTIONS lists extensions by name, or has no list."""
    answer = tus.options()
    names = answer.items("Tus-Extension")
    good = all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    expect(answer, good, f"Tus-Extension is {answer.get('Tus-Extension')!r}, not a list of names")


@pytest.mark.rule(7, "MUST", "Tus-Max-Size is a non-negative integer.")
def test_row_07_max_size(tus: Tus) -> None:
    """OPTIONS tells the limit as a plain decimal number."""
    answer = tus.options()
    if answer.get("Tus-Max-Size") is None:
        pytest.skip("server does not announce Tus-Max-Size")
    expect_number(answer, "Tus-Max-Size")


@pytest.mark.rule(8, "MUST", "X-HTTP-Method-Override takes the place of the method.")
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_row_08_method_override(tus: Tus, method: str) -> None:
    """A request with X-HTTP-Method-Override: PATCH appends, whatever its own method is."""
    url = tus.upload(11)
    answer = tus.send(
        method,
        url,
        ("X-HTTP-Method-Override", "PATCH"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Upload-Offset", "0"),
        body=b"hello",
    )
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", "5")
    expect_offset(tus.state(url), 5)


@pytest.mark.rule(9, "MUST", "HEAD always tells Upload-Offset, also 0 and also when complete.")
@pytest.mark.parametrize("size", [0, 5, 11], ids=["new", "running", "complete"])
def test_row_09_offset(tus: Tus, size: int) -> None:
    """HEAD tells the number of bytes stored."""
    url = tus.upload(11, data=DATA[:size])
    expect_field(tus.head(url), "Upload-Offset", str(size))


@pytest.mark.rule(10, "MUST", "HEAD tells Upload-Length when the length is known.")
@pytest.mark.parametrize("size", [0, 5, 11], ids=["new", "running", "complete"])
def test_row_10_length(tus: Tus, size: int) -> None:
    """HEAD tells the length given at creation."""
    url = tus.upload(11, data=DATA[:size])
    expect_field(tus.state(url), "Upload-Length", "11")


@pytest.mark.rule(11, "SHOULD", "HEAD on an unknown upload is answered 404, 410 or 403.")
def test_row_11_unknown_upload(tus: Tus) -> None:
    """HEAD on an upload that does not exist answers 404, 410 or 403."""
    expect_status(tus.head(tus.unknown()), 404, 410, 403)


@pytest.mark.rule(11, "SHOULD", "HEAD on an unknown upload tells no Upload-Offset.")
def test_row_11_unknown_upload_has_no_offset(tus: Tus) -> None:
    """HEAD on an upload that does not exist has no Upload-Offset."""
    expect_absent(tus.head(tus.unknown()), "Upload-Offset")


@pytest.mark.rule(12, "SHOULD", "HEAD on an upload is answered 200 or 204.")
def test_row_12_head_status(tus: Tus) -> None:
    """HEAD on an upload answers 200 or 204."""
    expect_status(tus.head(tus.upload(11)), 200, 204)


@pytest.mark.rule(13, "MUST", "The answer to HEAD has Cache-Control: no-store.")
def test_row_13_no_store(tus: Tus) -> None:
    """HEAD on an upload forbids caches to keep the answer."""
    answer = tus.state(tus.upload(11))
    expect_present(answer, "Cache-Control")
    directives = [item.lower() for item in answer.items("Cache-Control")]
    expect(answer, "no-store" in directives, f"Cache-Control is {directives}, without no-store")


@pytest.mark.rule(14, "SHOULD", "PATCH applies its bytes at Upload-Offset.")
def test_row_14_patch(tus: Tus) -> None:
    """PATCH at the current offset moves the offset by the size of its body."""
    url = tus.upload(11)
    expect_success(tus.patch(url, 0, DATA[:5]))
    expect_offset(tus.state(url), 5)
    expect_success(tus.patch(url, 5, DATA[5:]))
    expect_offset(tus.state(url), 11)


@pytest.mark.rule(14, "SHOULD", "PATCH applies its bytes at Upload-Offset.")
def test_row_14_chunked_patch(tus: Tus) -> None:
    """PATCH with a chunked body moves the offset by the bytes within the chunks."""
    url = tus.upload(11)
    answer = tus.patch(url, 0, Chunked(chunks=(b"hel", b"lo")))
    if answer.status == LENGTH_REQUIRED:
        pytest.skip("server asks for Content-Length, which HTTP allows")
    expect_success(answer)
    expect_offset(tus.state(url), 5)


@pytest.mark.rule(15, "SHOULD", "PATCH with another Content-Type is answered 415.")
@pytest.mark.parametrize("value", ["application/octet-stream", None], ids=["other", "missing"])
def test_row_15_content_type(tus: Tus, value: str | None) -> None:
    """PATCH without application/offset+octet-stream answers 415 and changes nothing."""
    url = tus.upload(11)
    expect_status(tus.patch(url, 0, b"hello", ("Content-Type", value)), 415)
    expect_offset(tus.state(url), 0)


@pytest.mark.rule(16, "MUST", "PATCH at another offset is answered 409.")
@pytest.mark.parametrize("offset", [0, 3, 7, 12], ids=["start", "behind", "ahead", "beyond"])
def test_row_16_wrong_offset(tus: Tus, offset: int) -> None:
    """PATCH with a wrong offset answers 409."""
    url = tus.upload(11, data=b"hello")
    expect_status(tus.patch(url, offset, b"wor"), 409)


@pytest.mark.rule(16, "MUST", "PATCH at another offset changes nothing.")
@pytest.mark.parametrize("offset", [0, 3, 7, 12], ids=["start", "behind", "ahead", "beyond"])
def test_row_16_wrong_offset_changes_nothing(tus: Tus, offset: int) -> None:
    """PATCH with a wrong offset leaves the offset where it was."""
    url = tus.upload(11, data=b"hello")
    tus.patch(url, offset, b"wor")
    expect_offset(tus.state(url), 5)


@pytest.mark.rule(17, "MUST", "An upload may come in several small PATCH requests.")
def test_row_17_small_patches(tus: Tus) -> None:
    """PATCH requests of one byte each complete an upload."""
    url = tus.upload(11)
    for offset in range(11):
        expect_offset(tus.patch(url, offset, DATA[offset : offset + 1]), offset + 1)
    expect_offset(tus.state(url), 11)


@pytest.mark.rule(18, "MUST", "A successful PATCH is answered 204 with the new Upload-Offset.")
@pytest.mark.parametrize("size", [5, 11], ids=["running", "complete"])
def test_row_18_patch_answer(tus: Tus, size: int) -> None:
    """PATCH answers 204 and the old offset plus the bytes stored."""
    url = tus.upload(11, data=b"he")
    answer = tus.patch(url, 2, DATA[2:size])
    expect_status(answer, 204)
    expect_field(answer, "Upload-Offset", str(size))


@pytest.mark.rule(19, "SHOULD", "PATCH on an unknown upload is answered 404.")
def test_row_19_unknown_upload(tus: Tus) -> None:
    """PATCH on an upload that does not exist answers 404."""
    expect_status(tus.patch(tus.unknown(), 0, b"hello"), 404)


@pytest.mark.rule(20, "SHOULD", "A broken connection is noticed and handled predictably.")
def test_row_20_upload_goes_on_after_a_cut(tus: Tus) -> None:
    """After a cut in mid-PATCH, HEAD tells an offset and PATCH completes from there."""
    url = tus.upload(11)
    tus.state(url)
    tus.cut_patch(tus.patch_request(url, 0, ("Content-Length", "11"), body=None), DATA[:5])
    head = tus.wait_head(url, lambda answer: answer.status in {200, 204})
    expect_success(head)
    offset = expect_number(head, "Upload-Offset")
    expect(head, offset <= 5, f"Upload-Offset is {offset}, but only 5 bytes were sent")
    expect_offset(tus.patch(url, offset, DATA[offset:]), 11)


@pytest.mark.rule(21, "SHOULD", "As much of the received data as possible is stored.")
@pytest.mark.parametrize("pause_s", [0.2, 0.0], ids=["later", "at once"])
@pytest.mark.parametrize(("sent", "total"), [(5, 11), (200_000, 300_000)], ids=["small", "large"])
def test_row_21_cut_keeps_bytes(tus: Tus, sent: int, total: int, pause_s: float) -> None:
    """The bytes that arrived before a cut in mid-PATCH are kept."""
    url = tus.upload(total)
    tus.state(url)
    length = ("Content-Length", str(total))
    tus.cut_patch(tus.patch_request(url, 0, length, body=None), b"x" * sent, pause_s)
    expect_offset(tus.wait_head(url, lambda a: a.get("Upload-Offset") == str(sent)), sent)


@pytest.mark.rule(21, "SHOULD", "As much of the received data as possible is stored.")
def test_row_21_cut_keeps_chunks(tus: Tus) -> None:
    """The chunks that arrived before a cut in mid-PATCH are kept."""
    url = tus.upload(11)
    tus.state(url)
    chunked = ("Transfer-Encoding", "chunked")
    tus.cut_patch(tus.patch_request(url, 0, chunked, body=None), b"5\r\nhello\r\n")
    expect_offset(tus.wait_head(url, lambda a: a.get("Upload-Offset") == "5"), 5)


@pytest.mark.rule(22, "MUST", "OPTIONS is answered 204 or 200 with Tus-Version.")
def test_row_22_options(tus: Tus) -> None:
    """OPTIONS answers 204 or 200 and tells the versions."""
    answer = tus.options()
    expect_status(answer, 204, 200)
    expect_present(answer, "Tus-Version")


@pytest.mark.rule(23, "MUST", "OPTIONS ignores Tus-Resumable.")
@pytest.mark.parametrize("version", ["1.0.0", "9.9.9"])
def test_row_23_options_ignores_version(tus: Tus, version: str) -> None:
    """OPTIONS in any version answers the same as without one."""
    answer = tus.options("", ("Tus-Resumable", version))
    expect_status(answer, 204, 200)
    expect(answer, VERSION in answer.items("Tus-Version"), f"Tus-Version lacks {VERSION}")
