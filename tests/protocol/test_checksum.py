"""Upload-Checksum: supported algorithms, digests of the right size, nothing else."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.checksum import ALGORITHMS, Checksum, parse_checksum
from tusd_py.protocol.errors import InvalidChecksum

HELLO = b"hello world"


def b64(raw: bytes) -> str:
    """Return base64 as clients send it."""
    return base64.b64encode(raw).decode()


DIGESTS = [
    # realistic: the example of the specification, and what tuspy sends
    ("sha1", hashlib.sha1(HELLO, usedforsecurity=False).digest()),
    # synthetic
    ("md5", hashlib.md5(HELLO, usedforsecurity=False).digest()),
    ("sha256", hashlib.sha256(HELLO).digest()),
    ("sha512", hashlib.sha512(HELLO).digest()),
    ("crc32", zlib.crc32(HELLO).to_bytes(4, "big")),
]

REFUSED = [
    # realistic
    "sha1",
    "sha1 ",
    "sha3 " + b64(b"0" * 20),
    "SHA1 " + b64(b"0" * 20),
    "sha1 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",  # hexadecimal
    # synthetic
    "",
    " ",
    "sha1:" + b64(b"0" * 20),
    "sha1  " + b64(b"0" * 20),
    "sha1\t" + b64(b"0" * 20),
    "sha1 " + b64(b"0" * 20) + " ",
    "sha1 " + b64(b"0" * 19),
    "sha1 " + b64(b"0" * 21),
    "sha256 " + b64(b"0" * 20),
    "crc32 " + b64(b"0" * 3),
    "sha1 " + b64(b"0" * 20).rstrip("="),
    "md5 " + "_" * 22 + "==",
    "crc32 AAAAAB==",  # decodes to what AAAAAA== decodes to
    # pathological
    "../../x " + b64(b"0" * 20),
    "sha1 \u0661\u0661\u0661\u0661",
    "sha1 \udcff",
    "sha1 " + b64(b"0" * 20) + "\n",
    "sha1 " + "A" * 8000,
    "\0",
]


@pytest.mark.parametrize(("name", "digest"), DIGESTS)
def test_each_algorithm_verifies_its_digest(name: str, digest: bytes) -> None:
    """A digest fed in pieces matches the checksum of the whole, and no other."""
    checksum = parse_checksum(f"{name} {b64(digest)}")
    assert checksum == Checksum(name, digest)
    running = checksum.new()
    for piece in (HELLO[:4], bytearray(HELLO[4:5]), memoryview(HELLO)[5:]):
        running.update(piece)
    assert checksum.matches(running)
    running.update(b"!")
    assert not checksum.matches(running)


def test_the_specification_s_example_matches() -> None:
    """The checksum that tus 1.0 prints is that of 'hello world'."""
    checksum = parse_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=")
    running = checksum.new()
    running.update(HELLO)
    assert checksum.matches(running)


def test_sha1_comes_first() -> None:
    """SHA-1 is there, as the specification demands, and names are plain lower case."""
    assert next(iter(ALGORITHMS)) == "sha1"
    assert all(name.isascii() and name == name.lower() for name in ALGORITHMS)
    assert {name for name, _ in DIGESTS} == set(ALGORITHMS)


@pytest.mark.parametrize(("name", "size"), [(n, size) for n, (_, size) in ALGORITHMS.items()])
def test_the_size_of_each_digest_is_known(name: str, size: int) -> None:
    """What an algorithm returns has the size that its header is checked for."""
    assert len(ALGORITHMS[name][0]().digest()) == size


@pytest.mark.parametrize("header", REFUSED)
def test_anything_else_is_refused(header: str) -> None:
    """An unknown algorithm or a value that is no digest of it is refused, and not repeated."""
    with pytest.raises(InvalidChecksum) as refused:
        parse_checksum(header)
    assert "/" not in refused.value.text
    assert len(refused.value.text) < 120


@given(st.text() | st.builds("{} {}".format, st.sampled_from(list(ALGORITHMS)), st.text()))
def test_any_text_is_a_checksum_or_refused(header: str) -> None:
    """Nothing but InvalidChecksum is ever raised; what is accepted has one spelling."""
    try:
        checksum = parse_checksum(header)
    except InvalidChecksum:
        return
    assert header == f"{checksum.algorithm} {b64(checksum.expected)}"
