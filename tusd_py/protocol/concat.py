"""Upload-Concat (tus 1.0, concatenation): 'partial', or 'final;' and the URLs of the parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import InvalidConcat, UploadNotFound
from .model import Final, Partial, UploadId, parse_upload_id

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# No percent-encoding, no backslash, no query: an id needs none of them. Asked of the text as it
# came, for `urlsplit` forgives tabs and the like. Brackets are those of an IPv6 address.
_CLEAN = re.compile(r"[A-Za-z0-9_~.+=@!$&'()*,;:/\[\]-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where this server's uploads are, as this client sees it.

    Attributes:
        origin: scheme and authority, such as ``https://example.org``.
        base_path: the creation path, beginning and ending with a slash.
    """

    origin: str
    base_path: str

    def url_of(self, upload_id: UploadId) -> str:
        """The absolute URL of an upload (aiotus cannot use a relative one)."""
        return f"{self.origin}{self.base_path}{upload_id}"


def parse_concat(header: str, place: Place, max_parts: int) -> Partial | Final:
    """Parse the header; no URL in it is ever fetched.

    Raises:
        InvalidConcat: neither of the two forms, no part, too many parts, or a foreign URL.
        UploadNotFound: a clean path that cannot name an upload of this server.
    """
    if header == "partial":
        return Partial()
    form, semicolon, urls = header.partition(";")
    if form != "final" or not semicolon:
        raise InvalidConcat
    references = urls.split(" ")
    if len(references) > max_parts:
        raise InvalidConcat(f"a final upload may have at most {max_parts} parts")
    return Final(parts=tuple(_parse_part(ref, place) for ref in references), header=header)


def _parse_part(reference: str, place: Place) -> UploadId:
    """Return the id behind an absolute URL, an absolute path or a relative reference."""
    if not _CLEAN.fullmatch(reference) or {"..", "."} & set(reference.split("/")):
        raise InvalidConcat
    try:
        url = urlsplit(reference)
    except ValueError:  # a bracket without its other half
        raise InvalidConcat from None
    if (url.scheme or url.netloc) and not _is_here(url.scheme, url.netloc, place):
        raise InvalidConcat("a part of Upload-Concat is not on this server")
    path = url.path if url.path.startswith("/") else place.base_path + url.path
    upload_id = parse_upload_id(path.removeprefix(place.base_path))
    if upload_id is None or not path.startswith(place.base_path):
        raise UploadNotFound
    return upload_id


def _is_here(scheme: str, authority: str, place: Place) -> bool:
    # The scheme may differ: a TLS proxy in front shows its clients another one than it shows us.
    if scheme not in _DEFAULT_PORTS:
        return False
    here = urlsplit(place.origin)
    return _bare(scheme, authority) == _bare(here.scheme, here.netloc)


def _bare(scheme: str, authority: str) -> str:
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))
