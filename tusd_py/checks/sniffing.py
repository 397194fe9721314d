"""What the first bytes of a file look like, as the library `filetype` knows them."""

from __future__ import annotations

import re

import filetype

from ..protocol.filetypes import ISO_MEDIA

# Every ISO media file is boxes; the first of them is one of these, whatever its brand.
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
# Text can begin with the two letters of some formats (BM, MZ); these formats are text themselves.
_TEXTUAL = ("application/pdf", "application/postscript", "application/rtf")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def sniff(head: bytes) -> str | None:
    """Return the type that the first bytes of a file show, or None; 8 KiB are enough."""
    kind = filetype.guess(head)
    if kind is not None and (kind.mime in _TEXTUAL or _CONTROL.search(head)):
        return str(kind.mime)
    return ISO_MEDIA if head[4:8] in _BOXES else None
