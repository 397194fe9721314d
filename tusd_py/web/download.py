"""GET: a complete upload as a safe download, in whole or in part."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from aiohttp import hdrs, web

from ..protocol.digests import format_repr_digest
from ..protocol.errors import TusError
from ..protocol.metadata import Metadata
from ..protocol.model import Upload
from ..service.uploads import Uploads
from .sendfile import send_file

_log = logging.getLogger(__name__)

# What a browser may show by itself: nothing in here can carry a script (tusd's list).
INLINE_TYPES = frozenset(
    {
        "text/plain",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/bmp",
        "image/webp",
        "audio/wave",
        "audio/wav",
        "audio/x-wav",
        "audio/x-pn-wav",
        "audio/webm",
        "audio/ogg",
        "video/mp4",
        "video/webm",
        "video/ogg",
        "application/ogg",
    }
)
ANY_TYPE = "application/octet-stream"

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
# Types that browsers may run are never named, not even in an attachment.
_ACTIVE = re.compile(r"html|xml|svg|script|ecma|pdf|flash|java")
# RFC 6266: quoted-string without escapes, and what RFC 8187 leaves unencoded.
_UNQUOTABLE = re.compile(r'[^ -~]|["\\%;]')
_ATTR_CHARS = "!#$&+-.^_`|~"


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


async def download(
    request: web.Request,
    uploads: Uploads,
    upload: Upload,
    headers: Mapping[str, str],
    *,
    stall_s: float,
) -> web.StreamResponse:
    """Answer with the bytes: by sendfile where there is a file, else as they are read.

    Args:
        headers: what every answer carries.
        stall_s: how long the client may take nothing.
    """
    response = web.StreamResponse(headers={**headers, **_headers(upload)})
    # The bytes of a complete upload never change, and ids are not used twice.
    response.etag = upload.id
    if _is_known(request, upload):
        response.set_status(304)
        return response
    span = _span(request, upload, response)
    if span is None:
        response.set_status(416)
        response.headers["Content-Range"] = f"bytes */{upload.offset}"
        response.content_length = 0
        return response
    response.content_length = span.length
    file = await uploads.open_file(upload)  # may still fail with an answer of its own
    with _closing(file):
        try:
            await response.prepare(request)
            if request.method == hdrs.METH_HEAD:  # which X-HTTP-Method-Override made a GET
                return response
            if file is not None:
                await send_file(request, file, span.start, span.length, stall_s=stall_s)
            else:
                async for chunk in uploads.read(upload, span.start, span.stop):
                    await response.write(chunk)
            await response.write_eof()
        except (OSError, TusError) as error:
            # A body cut short must not look complete, and the head has gone out already.
            if request.transport is not None:
                request.transport.abort()
            if not isinstance(error, ConnectionError | TimeoutError):  # those are the client's
                _log.exception("DownloadError", extra={"id": upload.id})
    return response


@contextlib.contextmanager
def _closing(file: BinaryIO | None) -> Iterator[None]:
    """Close the file whatever the system says to that: it was only read."""
    try:
        yield
    finally:
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def _is_known(request: web.Request, upload: Upload) -> bool:
    """If-None-Match (RFC 9110, 13.1.2)."""
    tags = request.if_none_match or ()
    return any(tag.value in (upload.id, "*") for tag in tags)


def _span(request: web.Request, upload: Upload, response: web.StreamResponse) -> _Span | None:
    """Return the bytes to send, or None if the one range asked for cannot be satisfied."""
    whole = _Span(0, upload.offset)
    header = request.headers.get("Range", "")
    if not header.startswith("bytes=") or not _range_applies(request, upload):
        return whole
    try:
        asked = request.http_range
    except ValueError:
        # Several ranges may be answered with everything; nonsense must be ignored or refused.
        return whole if "," in header else None
    if header.strip() == "bytes=-0":  # the last zero bytes
        return None
    start = asked.start or 0
    if start < 0:
        start = max(upload.offset + start, 0)
    stop = min(upload.offset, upload.offset if asked.stop is None else asked.stop)
    if start >= stop:
        return None
    response.set_status(206)
    response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{upload.offset}"
    return _Span(start, stop)


def _range_applies(request: web.Request, upload: Upload) -> bool:
    """If-Range (RFC 9110, 13.1.5): only with the very same bytes."""
    condition = request.headers.get("If-Range")
    return condition is None or condition.strip() == f'"{upload.id}"'


def _headers(upload: Upload) -> dict[str, str]:
    digest = format_repr_digest(upload.digests)
    media_type = _media_type(upload.metadata)
    name = upload.metadata.text("filename") or upload.metadata.text("name")
    disposition = "inline" if media_type in INLINE_TYPES else "attachment"
    return {
        "Content-Type": media_type,
        "Content-Disposition": disposition + ("" if name is None else _filename(name)),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        # Of all the bytes, also where only a range of them is asked for (RFC 9530, 3).
        **({} if digest is None else {"Repr-Digest": digest}),
    }


def _media_type(metadata: Metadata) -> str:
    """The type the client told, unless a browser might run what has it."""
    told = (metadata.text("filetype") or metadata.text("type") or "").strip().lower()
    if not _MEDIA_TYPE.fullmatch(told) or _ACTIVE.search(told):
        return ANY_TYPE
    return told


def _filename(name: str) -> str:
    """``filename`` for old clients and ``filename*`` for the others (RFC 6266, RFC 8187)."""
    bare = name.replace("\\", "/").rsplit("/", 1)[-1][:255] or "download"
    plain = _UNQUOTABLE.sub("_", bare)
    return f"; filename=\"{plain}\"; filename*=UTF-8''{quote(bare, safe=_ATTR_CHARS)}"
