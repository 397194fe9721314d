"""JSON on one line and in ASCII, as records, events and logs have it."""

from __future__ import annotations

import json
from typing import Any

import orjson

_encode = json.JSONEncoder(separators=(",", ":")).encode


def dump_json(value: Any) -> bytes:
    """Return a value as JSON.

    Nearly all that is written is plain, and takes the faster way. What is not ASCII is escaped, so
    that it does nothing to a terminal.

    Raises:
        TypeError: there is something in it that JSON does not have.
    """
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:  # names of files may be no Unicode
        return _encode(value).encode()
    return text if text.isascii() else _encode(value).encode()
