"""Digests of whole files: which there are, what clients declare, and Repr-Digest (RFC 9530)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .checksum import ALGORITHMS, Digest
from .errors import InvalidMetadata
from .metadata import Metadata
from .model import Partial, Upload

FILE_ALGORITHMS: Mapping[str, tuple[Callable[[], Digest], int]] = {
    **ALGORITHMS,
    "sha384": (hashlib.sha384, 48),
    "sha3-256": (hashlib.sha3_256, 32),
    "blake2b": (hashlib.blake2b, 64),
}

# RFC 9530, 5: of what is registered, md5 and sha must not be used against an adversary.
_REGISTERED = {"sha256": "sha-256", "sha512": "sha-512"}
# What tus-js-client and Uppy make of a value that is not there.
_NOTHING = ("", "null", "undefined")
_HEX = re.compile(r"[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRules:
    """What is computed of every file, and what clients may declare.

    Attributes:
        algorithms: names in `FILE_ALGORITHMS`.
        keys: of Upload-Metadata, with the algorithm that the value is of; None: the value names
            it, as Upload-Checksum does.
    """

    algorithms: tuple[str, ...] = ()
    keys: Mapping[str, str | None] = field(default_factory=dict)

    def declared(self, upload: Upload) -> Mapping[str, bytes]:
        """Return the digests that the client says its file has.

        Of a partial upload nothing is believed, and nothing checked: it is no file yet.

        Raises:
            InvalidMetadata: a value is not a digest, or two say different things.
        """
        declared: dict[str, bytes] = {}
        if not self.keys or isinstance(upload.kind, Partial):
            return declared
        for key, algorithm in self.keys.items():
            text = _text(upload.metadata, key)
            if text in _NOTHING:
                continue
            name, value = (algorithm, text) if algorithm is not None else _named(key, text)
            digest = _parse(key, name, value)
            if declared.setdefault(name, digest) != digest:
                raise InvalidMetadata(f"Upload-Metadata declares two different digests of {name}")
        return declared

    def needed(self, upload: Upload) -> frozenset[str]:
        """Return the algorithms by which the file has to be hashed."""
        if not (self.algorithms or self.keys) or isinstance(upload.kind, Partial):
            return frozenset()
        try:
            return frozenset(self.algorithms) | self.declared(upload).keys()
        except InvalidMetadata:  # it was created before anybody looked
            return frozenset(self.algorithms)

    def are_as_declared(self, upload: Upload, digests: Mapping[str, bytes]) -> bool:
        """Whether a file with these digests is the one that its client has declared."""
        try:
            declared = self.declared(upload)
        except InvalidMetadata:
            return True
        return all(digests[name] == value for name, value in declared.items())


def parse_digest_keys(names: Sequence[str]) -> Mapping[str, str | None]:
    """Parse ``key=algorithm``; a key alone is an algorithm by itself, or its values name one.

    Raises:
        ValueError: there is no such algorithm.
    """
    keys: dict[str, str | None] = {}
    for name in names:
        key, equals, algorithm = name.partition("=")
        if not equals:
            keys[key] = key if key in FILE_ALGORITHMS else None
        elif algorithm in FILE_ALGORITHMS:
            keys[key] = algorithm
        else:
            raise ValueError(f"must be of {', '.join(FILE_ALGORITHMS)}")
    return keys


def format_repr_digest(digests: Mapping[str, bytes]) -> str | None:
    """Return the value of Repr-Digest, or None when there is nothing that it may tell."""
    members = [
        f"{_REGISTERED[name]}=:{base64.b64encode(value).decode()}:"
        for name, value in digests.items()
        if name in _REGISTERED
    ]
    return ", ".join(members) or None


def _text(metadata: Metadata, key: str) -> str:
    if key in metadata.pairs and metadata.text(key) is None:
        raise InvalidMetadata(f"the value of {key} in Upload-Metadata is not a digest")
    return (metadata.text(key) or "").strip()


def _named(key: str, text: str) -> tuple[str, str]:
    """Take ``algorithm value`` and ``algorithm:value`` apart."""
    name, _, value = text.replace(":", " ", 1).partition(" ")
    if name.lower() not in FILE_ALGORITHMS:
        raise InvalidMetadata(f"the value of {key} in Upload-Metadata names no known algorithm")
    return name.lower(), value.strip()


def _parse(key: str, algorithm: str, text: str) -> bytes:
    """Return the digest, written as hexadecimal digits or as base64."""
    size = FILE_ALGORITHMS[algorithm][1]
    if len(text) == 2 * size and _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        digest = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        digest = b""
    if len(digest) != size:
        raise InvalidMetadata(f"the value of {key} in Upload-Metadata is not a {algorithm} digest")
    return digest
