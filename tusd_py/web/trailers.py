"""Trailer fields of chunked requests, which aiohttp's parser reads and drops.

The scanner follows the framing of one chunked body (RFC 9112, 7.1) beside aiohttp's parser,
which stays the one that decides what is valid: a body it refuses never gets to its trailers.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

MAX_TRAILER_BYTES = 8190

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*?)[ \t]*")


class _State(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    TRAILERS = enum.auto()
    DONE = enum.auto()
    LOST = enum.auto()  # the framing could not be followed


class TrailerScanner:
    """Fed with every byte behind the head of one chunked request."""

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = b""
        self._skip = 0
        self._fields: dict[str, str] = {}
        self._bytes = 0

    @property
    def fields(self) -> Mapping[str, str] | None:
        """The trailer by lower-case name once it is complete; None before, or if it was lost."""
        return self._fields if self._state is _State.DONE else None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection; those behind the trailer are ignored."""
        at = 0
        while at < len(data) and self._state not in (_State.DONE, _State.LOST):
            if self._state is _State.DATA:
                step = min(self._skip, len(data) - at)
                at += step
                self._skip -= step
                if not self._skip:
                    self._state = _State.SIZE
            else:
                end = data.find(b"\n", at) + 1
                self._line += data[at : end or len(data)]
                at = end or len(data)
                self._check_line(complete=bool(end))

    def _check_line(self, *, complete: bool) -> None:
        self._bytes += len(self._line) if self._state is _State.TRAILERS else 0
        if max(len(self._line), self._bytes) > MAX_TRAILER_BYTES:
            self._state = _State.LOST
        elif complete:
            line, self._line = self._line.removesuffix(b"\n").removesuffix(b"\r"), b""
            self._take_size(line) if self._state is _State.SIZE else self._take_field(line)

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            self._state = _State.LOST
        elif size := int(match[1], 16):
            self._state = _State.DATA
            self._skip = size + len(b"\r\n")
        else:
            self._state = _State.TRAILERS

    def _take_field(self, line: bytes) -> None:
        if not line:
            self._state = _State.DONE
            return
        match = _FIELD_LINE.fullmatch(line)
        name = match[1].decode().lower() if match else ""
        if match is None or name in self._fields:
            self._state = _State.LOST
        else:
            self._fields[name] = match[2].decode()
