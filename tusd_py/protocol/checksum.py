"""Upload-Checksum (tus 1.0, checksum): which algorithms there are and how a digest is compared."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .errors import InvalidChecksum


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes taken so far."""


class _Crc32:
    """CRC-32 as of zlib and gzip, the four bytes in network order."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _sha1() -> Digest:
    return hashlib.sha1(usedforsecurity=False)


def _md5() -> Digest:
    return hashlib.md5(usedforsecurity=False)


# sha1 MUST be supported; the order is the order in Tus-Checksum-Algorithm.
ALGORITHMS: dict[str, tuple[Callable[[], Digest], int]] = {
    "sha1": (_sha1, 20),
    "md5": (_md5, 16),
    "sha256": (hashlib.sha256, 32),
    "sha512": (hashlib.sha512, 64),
    "crc32": (_Crc32, 4),
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the client says its body hashes to."""

    algorithm: str
    expected: bytes

    def new(self) -> Digest:
        """Return a fresh digest of the algorithm."""
        return ALGORITHMS[self.algorithm][0]()

    def matches(self, digest: Digest) -> bool:
        """Whether the digest is the announced one."""
        return hmac.compare_digest(digest.digest(), self.expected)


@dataclass(frozen=True, slots=True)
class ChecksumInTrailer:
    """The checksum comes behind the body (checksum-trailer); until then any algorithm may."""


def parse_checksum(header: str) -> Checksum:
    """Parse ``algorithm base64``.

    Raises:
        InvalidChecksum: the algorithm is not supported, or the value is not a digest of its size.
    """
    name, blank, value = header.partition(" ")
    if name not in ALGORITHMS:
        raise InvalidChecksum(
            "the checksum algorithm is not supported; use one of " + ", ".join(ALGORITHMS)
        )
    try:
        raw = value.encode("ascii")
        expected = base64.b64decode(raw, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidChecksum("the value of Upload-Checksum is not base64") from None
    if not blank or len(expected) != ALGORITHMS[name][1] or base64.b64encode(expected) != raw:
        raise InvalidChecksum(f"the value of Upload-Checksum is not a {name} digest")
    return Checksum(name, expected)
