"""The tus 1.0.0 dialect: request head -> command, outcome -> response head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .checksum import ALGORITHMS, Checksum, ChecksumInTrailer, parse_checksum
from .commands import (
    Append,
    Appended,
    BodyHead,
    Command,
    Create,
    Created,
    Discover,
    Discovered,
    Fetch,
    Inspect,
    Inspected,
    Outcome,
    Terminate,
    Terminated,
    Watch,
)
from .concat import Place, parse_concat
from .digests import format_repr_digest
from .errors import (
    AmbiguousUploadLength,
    BadRequest,
    ConcatenationUnsupported,
    InvalidChecksum,
    InvalidConcat,
    InvalidContentType,
    InvalidDeferLength,
    InvalidMetadata,
    InvalidOffset,
    InvalidUploadLength,
    MaxSizeExceeded,
    MethodNotAllowed,
    NotImplementedByServer,
    UnsupportedEncoding,
    UnsupportedVersion,
    UploadNotFound,
)
from .headers import Headers, format_http_date, is_too_long_integer, parse_integer, the_only
from .metadata import parse_metadata
from .model import (
    CHECKSUM,
    CHECKSUM_TRAILER,
    CONCATENATION,
    CREATION_DEFER_LENGTH,
    CREATION_WITH_UPLOAD,
    TERMINATION,
    Capabilities,
    Final,
    Kind,
    Limits,
    Partial,
    Upload,
    UploadId,
    Whole,
)

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"

_ON_COLLECTION = ("POST", "OPTIONS")
_ON_UPLOAD = ("GET", "HEAD", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """All of a request that can be known before its body.

    Attributes:
        method: the method that counts, see `effective_method`.
        target: None for the creation URL, else what follows it in the path.
        upload_id: the target as an id; None when no upload can have that name.
        body_length: Content-Length, 0 without a body, None when chunked.
        place: where uploads are, as this client sees it.
        status: whether it asks how the upload stands, and not for its bytes.
    """

    method: str
    target: str | None
    upload_id: UploadId | None
    headers: Headers
    body_length: int | None
    place: Place
    status: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHead:
    """A response without its body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def effective_method(method: str, headers: Headers) -> str:
    """Return what X-HTTP-Method-Override makes of the method.

    Core, X-HTTP-Method-Override: MUST be interpreted as the request method, the actual one ignored.

    Raises:
        BadRequest: the override was sent more than once.
    """
    return the_only(headers, "X-HTTP-Method-Override", BadRequest) or method


@dataclass(frozen=True, slots=True, kw_only=True)
class Tus1:
    """The dialect, told what this server can do.

    Attributes:
        downloads: whether GET gives uploads back; tus itself does not ask for it.
    """

    capabilities: Capabilities
    limits: Limits
    downloads: bool = True

    def parse(self, head: RequestHead) -> Command:
        """Return what the request asks for.

        Raises:
            TusError: the head is malformed; nothing has been looked up yet.
        """
        match head.method:
            case "OPTIONS":  # Core: Tus-Resumable MUST be ignored, and any URL is fine
                return Discover()
            case "GET" if head.target is not None and (head.status or self.downloads):
                return Watch(id=_id_of(head)) if head.status else Fetch(id=_id_of(head))
            case "HEAD" if head.target is not None:
                # Old clients and link checkers send none; only a wrong one is refused.
                _check_version(head, may_miss=True)
                return Inspect(id=_id_of(head))
            case "POST" if head.target is None:
                _check_version(head)
                return self._parse_create(head)
            case "PATCH" if head.target is not None:
                _check_version(head)
                return self._parse_append(head)
            case "DELETE" if head.target is not None and TERMINATION in self.capabilities:
                _check_version(head)
                return Terminate(id=_id_of(head))
        raise MethodNotAllowed(*self._allowed(head))

    def render(self, outcome: Outcome, place: Place) -> ResponseHead:
        """Return the head that tells the client what came of its request."""
        match outcome:
            case Discovered():
                return ResponseHead(status=200, headers=self._announcement())
            case Created(upload):
                headers = {"Location": place.url_of(upload.id)} | _progress(upload)
                return ResponseHead(status=201, headers=headers)
            case Inspected(upload):
                return ResponseHead(status=200, headers=_description(upload, place))
            case Appended(upload):
                return ResponseHead(status=204, headers=_progress(upload))
            case Terminated():
                return ResponseHead(status=204)

    def _announcement(self) -> dict[str, str]:
        # No blank behind the commas: TUSKit splits without stripping.
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(self.capabilities.extensions),
        }
        if self.capabilities.max_size is not None:
            headers["Tus-Max-Size"] = str(self.capabilities.max_size)
        if CHECKSUM in self.capabilities:
            headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
        return headers

    def _allowed(self, head: RequestHead) -> tuple[str, ...]:
        if head.target is None:
            return _ON_COLLECTION
        off = set()
        if TERMINATION not in self.capabilities:
            off.add("DELETE")
        if not self.downloads:
            off.add("GET")
        return tuple(method for method in _ON_UPLOAD if method not in off)

    # --- POST

    def _parse_create(self, head: RequestHead) -> Create:
        _check_encoding(head)
        kind = self._parse_kind(head)
        metadata = parse_metadata(the_only(head.headers, "Upload-Metadata", InvalidMetadata))
        body = self._parse_first_body(head)
        if isinstance(kind, Final):
            _check_final_head(head, body)
            return Create(length=None, metadata=metadata, kind=kind, body=None)
        return Create(length=self._parse_length(head), metadata=metadata, kind=kind, body=body)

    def _parse_kind(self, head: RequestHead) -> Kind:
        header = the_only(head.headers, "Upload-Concat", InvalidConcat)
        if header is None:
            return Whole()
        if CONCATENATION not in self.capabilities:
            raise ConcatenationUnsupported
        return parse_concat(header, head.place, self.limits.max_parts)

    def _parse_length(self, head: RequestHead) -> int | None:
        length = the_only(head.headers, "Upload-Length", InvalidUploadLength)
        deferred = the_only(head.headers, "Upload-Defer-Length", InvalidDeferLength)
        if deferred is None:
            return self._parse_size(length)
        if length is not None:
            raise AmbiguousUploadLength
        if deferred != "1":
            raise InvalidDeferLength
        if CREATION_DEFER_LENGTH not in self.capabilities:
            raise NotImplementedByServer("uploads of unknown length are not supported here")
        return None

    def _parse_size(self, text: str | None) -> int:
        size = None if text is None else parse_integer(text)
        if size is not None:
            return size
        if text is not None and is_too_long_integer(text):
            raise MaxSizeExceeded(self.limits.size_ceiling)
        raise InvalidUploadLength

    def _parse_first_body(self, head: RequestHead) -> BodyHead | None:
        # Any other type is no upload of bytes: tuspy and aiotus label their empty POSTs
        # application/octet-stream.
        if head.headers.get("Content-Type") != CONTENT_TYPE or head.body_length == 0:
            return None
        if CREATION_WITH_UPLOAD not in self.capabilities:
            return None
        return self._parse_body(head)

    # --- PATCH

    def _parse_append(self, head: RequestHead) -> Append:
        upload_id = _id_of(head)
        _check_encoding(head)
        if the_only(head.headers, "Content-Type", InvalidContentType) != CONTENT_TYPE:
            raise InvalidContentType
        offset = parse_integer(the_only(head.headers, "Upload-Offset", InvalidOffset) or "")
        if offset is None:
            raise InvalidOffset
        declared = the_only(head.headers, "Upload-Length", InvalidUploadLength)
        return Append(
            id=upload_id,
            offset=offset,
            declared_length=None if declared is None else self._parse_size(declared),
            body=self._parse_body(head),
        )

    def _parse_body(self, head: RequestHead) -> BodyHead:
        trailers = _announced_trailers(head.headers)
        checksum = self._parse_checksum(head, in_trailer="upload-checksum" in trailers)
        return BodyHead(length=head.body_length, checksum=checksum, trailers=trailers)

    def _parse_checksum(
        self, head: RequestHead, *, in_trailer: bool
    ) -> Checksum | ChecksumInTrailer | None:
        header = the_only(head.headers, "Upload-Checksum", InvalidChecksum)
        if not in_trailer:
            return None if header is None else parse_checksum(header)
        if header is not None:
            raise InvalidChecksum("send Upload-Checksum as a header or as a trailer, not both")
        if CHECKSUM_TRAILER not in self.capabilities or head.body_length is not None:
            raise InvalidChecksum("Upload-Checksum cannot be taken from a trailer here")
        return ChecksumInTrailer()


def _id_of(head: RequestHead) -> UploadId:
    if head.upload_id is None:
        raise UploadNotFound
    return head.upload_id


def _check_version(head: RequestHead, *, may_miss: bool = False) -> None:
    versions = head.headers.getall("Tus-Resumable", ())
    if list(versions) != [VERSION] and not (may_miss and not versions):
        raise UnsupportedVersion(VERSION)


def _check_encoding(head: RequestHead) -> None:
    if any(coding.lower() != "identity" for coding in head.headers.getall("Content-Encoding", ())):
        raise UnsupportedEncoding


def _check_final_head(head: RequestHead, body: BodyHead | None) -> None:
    """Concatenation: the client MUST NOT send Upload-Length; its bytes are those of the parts."""
    if "Upload-Length" in head.headers or "Upload-Defer-Length" in head.headers:
        raise InvalidConcat("a final upload takes its length from its parts")
    if body is not None:
        raise InvalidConcat("a final upload takes its bytes from its parts")


def _announced_trailers(headers: Headers) -> frozenset[str]:
    lines = headers.getall("Trailer", ())
    return frozenset(token.strip().lower() for line in lines for token in line.split(","))


def _progress(upload: Upload) -> dict[str, str]:
    """Upload-Offset and Upload-Expires.

    Concatenation: the offset of a final SHOULD NOT be shown before its parts have been joined.
    """
    headers = {}
    if upload.complete or not isinstance(upload.kind, Final):
        headers["Upload-Offset"] = str(upload.offset)
    if upload.expires_at is not None:
        headers["Upload-Expires"] = format_http_date(upload.expires_at)
    return headers


def _description(upload: Upload, place: Place) -> dict[str, str]:
    headers = _progress(upload)
    if upload.length is not None:
        headers["Upload-Length"] = str(upload.length)
    elif not isinstance(upload.kind, Final):
        headers["Upload-Defer-Length"] = "1"
    if upload.metadata.header is not None:
        headers["Upload-Metadata"] = upload.metadata.header
    if upload.finished and (digest := format_repr_digest(upload.digests)) is not None:
        headers["Repr-Digest"] = digest
    match upload.kind:
        case Partial():
            headers["Upload-Concat"] = "partial"
        case Final(parts=parts, header=header):
            urls = " ".join(place.base_path + part for part in parts)
            headers["Upload-Concat"] = header or f"final;{urls}"
    return headers
