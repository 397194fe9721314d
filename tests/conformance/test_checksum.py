"""The extension checksum (rows 44 to 46)."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from .expect import expect, expect_field, expect_offset, expect_present, expect_status

if TYPE_CHECKING:
    from .tus import GivenField, Tus

pytestmark = pytest.mark.needs("creation", "checksum")

DATA = b"hello world"
KNOWN = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


def checksum(data: bytes, algorithm: str = "sha1") -> GivenField:
    """Return the field that announces the checksum of some bytes."""
    digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    return ("Upload-Checksum", f"{algorithm} {base64.b64encode(digest).decode()}")


@pytest.mark.needs("creation")
@pytest.mark.rule(44, "MUST", "A server which verifies checksums announces checksum.")
def test_row_44_announced(tus: Tus) -> None:
    """An answer 460 means that OPTIONS lists checksum."""
    if "checksum" in tus.announced.extensions:
        return
    answer = tus.patch(tus.upload(11), 0, b"hello", checksum(b"other"))
    expect(answer, answer.status != 460, "checksum works, but is not announced")


@pytest.mark.rule(44, "MUST", "OPTIONS has Tus-Checksum-Algorithm.")
def test_row_44_algorithms(tus: Tus) -> None:
    """OPTIONS lists the algorithms."""
    expect_present(tus.options(), "Tus-Checksum-Algorithm")


@pytest.mark.rule(44, "MUST", "sha1 is among the algorithms.")
def test_row_44_sha1(tus: Tus) -> None:
    """OPTIONS lists sha1."""
    answer = tus.options()
    algorithms = answer.items("Tus-Checksum-Algorithm")
    expect(answer, "sha1" in algorithms, f"sha1 is not among {algorithms}")


@pytest.mark.rule(44, "MUST", "Names of algorithms are ASCII without capitals.")
def test_row_44_names(tus: Tus) -> None:
    """OPTIONS lists names without capitals."""
    answer = tus.options()
    for name in answer.items("Tus-Checksum-Algorithm"):
        good = re.fullmatch(r"[!-@\[-~]+", name)
        expect(answer, good, f"{name!r} is not a name of an algorithm")


@pytest.mark.rule(45, "MUST", "PATCH with the right checksum is stored.")
@pytest.mark.parametrize("algorithm", KNOWN)
def test_row_45_match(tus: Tus, algorithm: str) -> None:
    """PATCH requests with the checksums of their bytes answer 204."""
    if algorithm != "sha1" and algorithm not in tus.announced.algorithms:
        pytest.skip(f"server does not announce {algorithm}")
    url = tus.upload(11)
    for offset, piece in ((0, DATA[:5]), (5, DATA[5:])):
        answer = tus.patch(url, offset, piece, checksum(piece, algorithm))
        expect_status(answer, 204)
        expect_field(answer, "Upload-Offset", str(offset + len(piece)))
    expect_offset(tus.state(url), 11)


@pytest.mark.rule(46, "MUST", "A PATCH with a wrong checksum is discarded.")
@pytest.mark.parametrize("size", [0, 5], ids=["first", "second"])
def test_row_46_mismatch_changes_nothing(tus: Tus, size: int) -> None:
    """PATCH with a checksum of other bytes is refused and leaves the offset."""
    url = tus.upload(11, data=DATA[:size])
    answer = tus.patch(url, size, DATA[size:], checksum(b"other"))
    expect(answer, answer.status >= 400, f"status is {answer.status}, not an error")
    expect_offset(tus.state(url), size)


@pytest.mark.rule(46, "MUST", "A PATCH with a wrong checksum is discarded.")
def test_row_46_mismatch_can_be_repeated(tus: Tus) -> None:
    """The same PATCH with the right checksum is stored after one with a wrong checksum."""
    url = tus.upload(11)
    tus.patch(url, 0, DATA, checksum(b"other"))
    expect_offset(tus.patch(url, 0, DATA, checksum(DATA)), 11)


@pytest.mark.rule(46, "MAY", "A wrong checksum is answered 460.")
def test_row_46_mismatch_status(tus: Tus) -> None:
    """PATCH with a checksum of other bytes answers 460."""
    expect_status(tus.patch(tus.upload(11), 0, DATA, checksum(b"other")), 460)


@pytest.mark.rule(46, "MUST", "A PATCH with a checksum of an unknown algorithm is discarded.")
def test_row_46_unknown_algorithm_changes_nothing(tus: Tus) -> None:
    """PATCH with an unknown algorithm is refused and leaves the offset."""
    url = tus.upload(11)
    answer = tus.patch(url, 0, b"hello", ("Upload-Checksum", "nosuchsum aGVsbG8="))
    expect(answer, answer.status >= 400, f"status is {answer.status}, not an error")
    expect_offset(tus.state(url), 0)


@pytest.mark.rule(46, "MAY", "An unknown algorithm is answered 400.")
def test_row_46_unknown_algorithm_status(tus: Tus) -> None:
    """PATCH with an unknown algorithm answers 400."""
    field = ("Upload-Checksum", "nosuchsum aGVsbG8=")
    expect_status(tus.patch(tus.upload(11), 0, b"hello", field), 400)
