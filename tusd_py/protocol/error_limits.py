"""What is refused because there are limits; see the tree in `errors`."""

from __future__ import annotations

from .error_base import TusError


class MaxSizeExceeded(TusError):
    """Maximum size exceeded."""

    code, status = "ERR_MAX_SIZE_EXCEEDED", 413

    def __init__(self, max_size: int) -> None:
        """Take the largest size an upload may have, in bytes."""
        super().__init__(f"the upload may have at most {max_size} bytes")
        self.max_size = max_size

    @property
    def headers(self) -> dict[str, str]:
        return {"Tus-Max-Size": str(self.max_size)}


class UploadSizeExceeded(TusError):
    """The body has more bytes than the upload still misses."""

    code, status = "ERR_UPLOAD_SIZE_EXCEEDED", 413


class QuotaExceeded(TusError):
    """There is no room for as many bytes in your quota; remove some of your uploads first."""

    code, status = "ERR_QUOTA_EXCEEDED", 413

    def __init__(self, *, left: int) -> None:
        """Take how many bytes the owner may still have."""
        super().__init__(
            f"your uploads may have {left} more bytes together; remove some of them first"
        )
        self.left = left


class TooManyUploads(TusError):
    """There are as many unfinished uploads as there may be; finish or remove some, try again."""

    code, status, retry_after_s = "ERR_TOO_MANY_UPLOADS", 423, 5

    def __init__(self, *, server: bool = False) -> None:
        """Take whether it is the whole server that has too many, and not the owner."""
        super().__init__(
            "the server has as many unfinished uploads as it takes; try again later"
            if server
            else "you have as many unfinished uploads as you may have; finish or remove some, "
            "then try again"
        )


class TooManyCreations(TusError):
    """Uploads are created faster than is allowed; wait a moment, then try again."""

    code, status = "ERR_TOO_MANY_CREATIONS", 423

    def __init__(self, wait_s: int, *, server: bool = False) -> None:
        """Take after how many seconds there may be another one, and whose limit it is."""
        whose = "the server takes no new uploads" if server else "you may not create another upload"
        super().__init__(f"{whose} for {wait_s} s; then try again")
        self.wait_s = wait_s

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.wait_s)}


class TooManyConnections(TusError):
    """The server has as many connections as it may have; try again."""

    code, status, closes = "ERR_TOO_MANY_CONNECTIONS", 503, True
    retry_after_s = 1


class InsufficientStorage(TusError):
    """The server has no room for more bytes now; what arrived is kept."""

    code, status = "ERR_INSUFFICIENT_STORAGE", 507
