"""Everything that can go wrong, as one tree: a class is a code is a status.

::

    TusError
    ├── the request is wrong (4xx: repeating it will not help)
    │   ├── BadRequest                 400  ERR_BAD_REQUEST
    │   ├── InvalidUploadLength        400  ERR_INVALID_UPLOAD_LENGTH
    │   ├── InvalidDeferLength         400  ERR_INVALID_UPLOAD_LENGTH_DEFER
    │   ├── AmbiguousUploadLength      400  ERR_AMBIGUOUS_UPLOAD_LENGTH
    │   ├── InvalidOffset              400  ERR_INVALID_OFFSET
    │   ├── InvalidMetadata            400  ERR_INVALID_METADATA
    │   ├── InvalidConcat              400  ERR_INVALID_CONCAT
    │   ├── ConcatenationUnsupported   400  ERR_CONCATENATION_UNSUPPORTED
    │   ├── UploadNotFinished          400  ERR_UPLOAD_NOT_FINISHED
    │   ├── IncompleteUpload           400  ERR_INCOMPLETE_UPLOAD
    │   ├── InvalidChecksum            400  ERR_INVALID_CHECKSUM
    │   ├── InvalidBody                400  ERR_INVALID_BODY
    │   ├── UnexpectedEOF              400  ERR_UNEXPECTED_EOF
    │   ├── UploadRejected             400  ERR_UPLOAD_REJECTED
    │   ├── UploadStopped              400  ERR_UPLOAD_STOPPED
    │   ├── TerminationRejected        400  ERR_UPLOAD_TERMINATION_REJECTED
    │   ├── Unauthorized               401  ERR_UNAUTHORIZED
    │   ├── Forbidden                  403  ERR_FORBIDDEN
    │   ├── OriginNotAllowed           403  ERR_ORIGIN_NOT_ALLOWED
    │   ├── ModifyFinal                403  ERR_MODIFY_FINAL
    │   ├── UploadNotFound             404  ERR_UPLOAD_NOT_FOUND
    │   ├── MethodNotAllowed           405  ERR_METHOD_NOT_ALLOWED
    │   ├── UploadExpired              410  ERR_UPLOAD_EXPIRED
    │   ├── UploadDamaged              410  ERR_UPLOAD_DAMAGED
    │   ├── UploadFailed               410  ERR_UPLOAD_FAILED
    │   ├── UnsupportedVersion         412  ERR_UNSUPPORTED_VERSION
    │   ├── MaxSizeExceeded            413  ERR_MAX_SIZE_EXCEEDED
    │   ├── UploadSizeExceeded         413  ERR_UPLOAD_SIZE_EXCEEDED
    │   ├── QuotaExceeded              413  ERR_QUOTA_EXCEEDED
    │   ├── InvalidContentType         415  ERR_INVALID_CONTENT_TYPE
    │   ├── FileTypeNotAllowed         415  ERR_FILE_TYPE_NOT_ALLOWED
    │   ├── UnsupportedEncoding        415  ERR_UNSUPPORTED_ENCODING
    │   ├── ExpectationFailed          417  ERR_EXPECTATION_FAILED
    │   └── ChecksumMismatch           460  ERR_CHECKSUM_MISMATCH
    ├── try again (409 and 423: every tus client does)
    │   ├── MismatchedOffset           409  ERR_MISMATCHED_OFFSET
    │   ├── UploadLocked               423  ERR_UPLOAD_LOCKED
    │   ├── UploadInterrupted          423  ERR_UPLOAD_INTERRUPTED
    │   ├── TooManyUploads             423  ERR_TOO_MANY_UPLOADS
    │   ├── TooManyCreations           423  ERR_TOO_MANY_CREATIONS
    │   ├── ClaimLost                  423  ERR_CLAIM_LOST
    │   └── BytesBusy                  423  ERR_BYTES_BUSY
    ├── the server cannot, now or ever (5xx)
    │   ├── InternalError              500  ERR_INTERNAL_SERVER_ERROR
    │   ├── NotImplementedByServer     501  ERR_NOT_IMPLEMENTED
    │   ├── ServerShutdown             503  ERR_SERVER_SHUTDOWN
    │   ├── TooManyConnections         503  ERR_TOO_MANY_CONNECTIONS
    │   ├── ReadTimeout                503  ERR_READ_TIMEOUT
    │   ├── StoreUnavailable           503  ERR_STORE_UNAVAILABLE
    │   ├── HookUnavailable            503  ERR_HOOK_UNAVAILABLE
    │   ├── AuthorizationUnavailable   503  ERR_AUTHORIZATION_UNAVAILABLE
    │   ├── HTTPVersionUnsupported     505  ERR_HTTP_VERSION
    │   └── InsufficientStorage        507  ERR_INSUFFICIENT_STORAGE
    └── UploadExists                   500  between our own rooms; a client never sees it

tus-js-client gives up for good on every 4xx but 409 and 423, and retries the rest.
So a stalled client is told 503, not 408, and a busy upload 423, not 409.
Codes are tusd's where tusd has one.
"""

# ruff: noqa: PLC0414 - the whole tree is to be had here
from __future__ import annotations

from .error_base import TusError as TusError
from .error_limits import InsufficientStorage as InsufficientStorage
from .error_limits import MaxSizeExceeded as MaxSizeExceeded
from .error_limits import QuotaExceeded as QuotaExceeded
from .error_limits import TooManyConnections as TooManyConnections
from .error_limits import TooManyCreations as TooManyCreations
from .error_limits import TooManyUploads as TooManyUploads
from .error_limits import UploadSizeExceeded as UploadSizeExceeded


class BadRequest(TusError):
    """The request is malformed."""

    code, status = "ERR_BAD_REQUEST", 400


class InvalidUploadLength(TusError):
    """Upload-Length is missing or is not one plain non-negative integer."""

    code, status = "ERR_INVALID_UPLOAD_LENGTH", 400


class InvalidDeferLength(TusError):
    """Upload-Defer-Length must be 1."""

    code, status = "ERR_INVALID_UPLOAD_LENGTH_DEFER", 400


class AmbiguousUploadLength(TusError):
    """Send either Upload-Length or Upload-Defer-Length, not both."""

    code, status = "ERR_AMBIGUOUS_UPLOAD_LENGTH", 400


class InvalidOffset(TusError):
    """Upload-Offset is missing or is not one plain non-negative integer."""

    code, status = "ERR_INVALID_OFFSET", 400


class InvalidMetadata(TusError):
    """Upload-Metadata must be a comma list of unique keys, each with a base64 value or none."""

    code, status = "ERR_INVALID_METADATA", 400


class InvalidConcat(TusError):
    """Upload-Concat must be 'partial' or 'final;' with the URLs of uploads on this server."""

    code, status = "ERR_INVALID_CONCAT", 400


class ConcatenationUnsupported(TusError):
    """This server does not concatenate uploads."""

    code, status = "ERR_CONCATENATION_UNSUPPORTED", 400


class UploadNotFinished(TusError):
    """One of the partial uploads is not finished."""

    code, status = "ERR_UPLOAD_NOT_FINISHED", 400


class IncompleteUpload(TusError):
    """The upload is not complete yet, so it cannot be downloaded."""

    code, status = "ERR_INCOMPLETE_UPLOAD", 400


class InvalidChecksum(TusError):
    """Upload-Checksum must name a supported algorithm and a base64 digest of its size."""

    code, status = "ERR_INVALID_CHECKSUM", 400


class InvalidBody(TusError):
    """The request body is not framed as HTTP demands."""

    code, status, closes = "ERR_INVALID_BODY", 400, True


class UnexpectedEOF(TusError):
    """The connection ended before the whole body had arrived; what arrived is kept."""

    code, status, closes = "ERR_UNEXPECTED_EOF", 400, True


class UploadRejected(TusError):
    """Upload creation has been rejected by the server."""

    code, status = "ERR_UPLOAD_REJECTED", 400


class UploadStopped(TusError):
    """The upload has been stopped by the server, and removed."""

    code, status, closes = "ERR_UPLOAD_STOPPED", 400, True


class TerminationRejected(TusError):
    """Upload termination has been rejected by the server."""

    code, status = "ERR_UPLOAD_TERMINATION_REJECTED", 400


class Unauthorized(TusError):
    """Credentials are missing or not accepted."""

    code, status = "ERR_UNAUTHORIZED", 401

    def __init__(self, sentence: str | None = None, *, challenge: str = "Bearer") -> None:
        """Take what WWW-Authenticate says; RFC 9110 demands that header of every 401."""
        super().__init__(sentence)
        self.challenge = challenge

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": self.challenge}


class Forbidden(TusError):
    """These credentials do not allow this."""

    code, status = "ERR_FORBIDDEN", 403


class OriginNotAllowed(TusError):
    """Requests from this origin are not allowed."""

    code, status = "ERR_ORIGIN_NOT_ALLOWED", 403


class ModifyFinal(TusError):
    """A final upload is made of its partial uploads and takes no bytes of its own."""

    code, status = "ERR_MODIFY_FINAL", 403


class UploadNotFound(TusError):
    """Upload not found."""

    code, status = "ERR_UPLOAD_NOT_FOUND", 404


class MethodNotAllowed(TusError):
    """This method is not allowed here."""

    code, status = "ERR_METHOD_NOT_ALLOWED", 405

    def __init__(self, *allowed: str) -> None:
        """Take the methods that are allowed."""
        super().__init__()
        self.allowed = allowed

    @property
    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class UploadExpired(TusError):
    """The upload has expired; start a new one."""

    code, status = "ERR_UPLOAD_EXPIRED", 410


class UploadDamaged(TusError):
    """Stored bytes of this upload are missing, so it cannot be continued; start a new one."""

    code, status = "ERR_UPLOAD_DAMAGED", 410


class UploadFailed(TusError):
    """The file is not the one that its metadata announced; start a new upload."""

    code, status = "ERR_UPLOAD_FAILED", 410


class UnsupportedVersion(TusError):
    """Tus-Resumable is missing or names a version this server does not speak."""

    code, status = "ERR_UNSUPPORTED_VERSION", 412

    def __init__(self, *versions: str) -> None:
        """Take the versions that are spoken, the preferred one first."""
        super().__init__()
        self.versions = versions

    @property
    def headers(self) -> dict[str, str]:
        # Core protocol, Tus-Version: MUST be sent with this 412.
        return {"Tus-Version": ",".join(self.versions)}


class InvalidContentType(TusError):
    """The Content-Type of a PATCH must be application/offset+octet-stream."""

    code, status = "ERR_INVALID_CONTENT_TYPE", 415


class FileTypeNotAllowed(TusError):
    """Files of this type are not accepted here."""

    code, status = "ERR_FILE_TYPE_NOT_ALLOWED", 415


class UnsupportedEncoding(TusError):
    """Request bodies are stored as they are; do not send a Content-Encoding."""

    code, status, closes = "ERR_UNSUPPORTED_ENCODING", 415, True


class ExpectationFailed(TusError):
    """The only expectation this server meets is 100-continue."""

    code, status = "ERR_EXPECTATION_FAILED", 417


class ChecksumMismatch(TusError):
    """The body does not have the announced checksum and was discarded."""

    code, status = "ERR_CHECKSUM_MISMATCH", 460


class MismatchedOffset(TusError):
    """Upload-Offset does not match the offset of the upload."""

    code, status = "ERR_MISMATCHED_OFFSET", 409

    def __init__(self, *, offset: int) -> None:
        """Take the true offset, in bytes."""
        super().__init__(f"the upload continues at offset {offset}")
        self.offset = offset

    @property
    def headers(self) -> dict[str, str]:
        return {"Upload-Offset": str(self.offset)}


class UploadLocked(TusError):
    """Another request is using this upload and did not leave in time; try again."""

    code, status = "ERR_UPLOAD_LOCKED", 423


class UploadInterrupted(TusError):
    """Another request for this upload took over; what arrived is kept."""

    code, status, closes = "ERR_UPLOAD_INTERRUPTED", 423, True


class ClaimLost(TusError):
    """Another server took this upload over; ask for the offset and try again."""

    code, status, closes = "ERR_CLAIM_LOST", 423, True


class BytesBusy(TusError):
    """Another server was still writing to this upload, though it may not; try again."""

    code, status, closes = "ERR_BYTES_BUSY", 423, True


class InternalError(TusError):
    """The server failed; try again."""

    code, status = "ERR_INTERNAL_SERVER_ERROR", 500


class NotImplementedByServer(TusError):
    """This server does not have the requested feature."""

    code, status, closes = "ERR_NOT_IMPLEMENTED", 501, True


class ServerShutdown(TusError):
    """The server is shutting down; what arrived is kept, try again."""

    code, status, closes = "ERR_SERVER_SHUTDOWN", 503, True
    retry_after_s = 1


class ReadTimeout(TusError):
    """Too few bytes arrived for too long; what arrived is kept, try again."""

    code, status, closes = "ERR_READ_TIMEOUT", 503, True


class StoreUnavailable(TusError):
    """The store cannot be reached just now; nothing is lost, try again."""

    code, status = "ERR_STORE_UNAVAILABLE", 503
    retry_after_s = 1


class HookUnavailable(TusError):
    """What decides about uploads cannot be reached just now; nothing was done, try again."""

    code, status, retry_after_s = "ERR_HOOK_UNAVAILABLE", 503, 1


class AuthorizationUnavailable(TusError):
    """Credentials cannot be checked just now; try again."""

    code, status, retry_after_s = "ERR_AUTHORIZATION_UNAVAILABLE", 503, 1


class HTTPVersionUnsupported(TusError):
    """Speak HTTP/1.1 or HTTP/1.0 on this connection."""

    code, status, closes = "ERR_HTTP_VERSION", 505, True


class UploadExists(TusError):
    """An upload with this id exists already."""
