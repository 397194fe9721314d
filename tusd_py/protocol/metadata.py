"""Upload-Metadata (tus 1.0, creation): a comma list of keys, each with a base64 value or none."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from .errors import InvalidMetadata

MAX_KEYS = 64
MAX_HEADER_BYTES = 8190  # also the longest header line the HTTP parser lets through

# Printable ASCII without the separators; '=' is refused too, it is a sign of a mangled value.
_KEY = re.compile(r"[!-+\--<>-~]+")


@dataclass(frozen=True)
class Metadata:
    """What the client said about its file.

    `header` is kept as received, because HEAD must repeat it as the client wrote it.
    Values are bytes: nothing promises that they are text.
    """

    header: str | None = None

    @cached_property
    def pairs(self) -> Mapping[str, bytes]:
        """Keys and decoded values, in the order of the header."""
        return _parse_pairs(self.header or "")

    def text(self, key: str) -> str | None:
        """The value of `key` as UTF-8 text, or None when it is missing or is not UTF-8."""
        value = self.pairs.get(key)
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError:
            return None


NO_METADATA = Metadata()


def parse_metadata(header: str | None) -> Metadata:
    """Check the header and keep it.

    An empty header is metadata without a key: tuspy sends that.

    Raises:
        InvalidMetadata: a key is empty, illegal or repeated, or a value is not strict base64.
    """
    if header is None:
        return NO_METADATA
    metadata = Metadata(header)
    _ = metadata.pairs
    return metadata


def format_metadata(pairs: Mapping[str, bytes]) -> Metadata:
    """Return the metadata that says `pairs`; an empty value is written as a bare key.

    Raises:
        InvalidMetadata: a key cannot be written.
    """
    if not pairs:
        return NO_METADATA
    items = (f"{key} {base64.b64encode(value).decode()}".rstrip() for key, value in pairs.items())
    metadata = parse_metadata(",".join(items))
    if metadata.pairs != pairs:
        raise InvalidMetadata("a key of Upload-Metadata is empty or has a forbidden character")
    return metadata


def _parse_pairs(header: str) -> dict[str, bytes]:
    if len(header) > MAX_HEADER_BYTES:
        raise InvalidMetadata("Upload-Metadata is too long")
    pairs: dict[str, bytes] = {}
    if not header.strip(" "):
        return pairs
    for item in header.split(","):
        key, value = _parse_item(item)
        if key in pairs:
            raise InvalidMetadata("a key of Upload-Metadata is repeated")
        pairs[key] = value
    if len(pairs) > MAX_KEYS:
        raise InvalidMetadata(f"Upload-Metadata has more than {MAX_KEYS} keys")
    return pairs


def _parse_item(item: str) -> tuple[str, bytes]:
    # A blank after the comma is not in the grammar, yet HTTP proxies that fold lists add it.
    # Value-less keys come with and without the blank that would precede the value.
    key, blank, value = item.removeprefix(" ").partition(" ")
    if not _KEY.fullmatch(key):
        raise InvalidMetadata("a key of Upload-Metadata is empty or has a forbidden character")
    return key, _decode(value) if blank else b""


def _decode(value: str) -> bytes:
    try:
        raw = value.encode("ascii")
        decoded = base64.b64decode(raw, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidMetadata("a value of Upload-Metadata is not base64") from None
    # The decoder forgives stray trailing bits; two spellings of one value would be one too many.
    if base64.b64encode(decoded) != raw:
        raise InvalidMetadata("a value of Upload-Metadata is not canonical base64")
    return decoded
