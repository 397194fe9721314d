"""Request heads for the tests of the dialect."""

from __future__ import annotations

import base64
import hashlib

from multidict import CIMultiDict

from tusd_py.protocol.concat import Place
from tusd_py.protocol.model import (
    CHECKSUM,
    CHECKSUM_TRAILER,
    CONCATENATION,
    CREATION,
    CREATION_DEFER_LENGTH,
    CREATION_WITH_UPLOAD,
    TERMINATION,
    Capabilities,
    Limits,
    UploadId,
    parse_upload_id,
)
from tusd_py.protocol.tus1 import CONTENT_TYPE, RequestHead, Tus1

EVERYTHING = (
    CREATION,
    CREATION_WITH_UPLOAD,
    CREATION_DEFER_LENGTH,
    CHECKSUM,
    CHECKSUM_TRAILER,
    TERMINATION,
    CONCATENATION,
)
FULL = Tus1(capabilities=Capabilities(extensions=EVERYTHING, max_size=100), limits=Limits())
BARE = Tus1(capabilities=Capabilities(extensions=(CREATION,)), limits=Limits())
HERE = Place(origin="https://example.org", base_path="/files/")
ID = UploadId("x")
V = ("Tus-Resumable", "1.0.0")
TYPE = ("Content-Type", CONTENT_TYPE)
AT_0 = ("Upload-Offset", "0")
PATCH = (V, TYPE, AT_0)
SHA1 = hashlib.sha1(b"hello", usedforsecurity=False).digest()
SHA1_LINE = "sha1 " + base64.b64encode(SHA1).decode()
TRAILER = ("Trailer", "Upload-Checksum")

Field = tuple[str, str]


def head(
    method: str, target: str | None, *fields: Field, body_length: int | None = 0
) -> RequestHead:
    """Return the head of a request to the creation URL, or to what follows it."""
    return RequestHead(
        method=method,
        target=target,
        upload_id=None if target is None else parse_upload_id(target),
        headers=CIMultiDict(fields),
        body_length=body_length,
        place=HERE,
    )
