"""CORS: which pages of other origins may use the server, said on every answer, errors too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..protocol.errors import OriginNotAllowed

METHODS = ("POST", "GET", "HEAD", "PATCH", "DELETE", "OPTIONS")

# '*' would cover neither Authorization nor requests with credentials.
REQUEST_HEADERS = (
    "Authorization",
    "Origin",
    "X-Requested-With",
    "X-Request-ID",
    "X-HTTP-Method-Override",
    "Content-Type",
    "Content-Disposition",
    "Content-Digest",
    "Repr-Digest",
    "Want-Repr-Digest",
    "Upload-Length",
    "Upload-Offset",
    "Tus-Resumable",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Concat",
    "Upload-Checksum",
    "Upload-Complete",
    "Upload-Incomplete",
    "Upload-Draft-Interop-Version",
)

RESPONSE_HEADERS = (
    "Location",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Expires",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Tus-Version",
    "Tus-Resumable",
    "Tus-Max-Size",
    "Tus-Extension",
    "Tus-Checksum-Algorithm",
    "Upload-Complete",
    "Upload-Incomplete",
    "Upload-Limit",
    "Upload-Draft-Interop-Version",
    "Repr-Digest",
    "Content-Disposition",
    "WWW-Authenticate",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """The policy; headers are joined once, not for every answer.

    Attributes:
        origin: the whole Origin must match it.
        credentials: whether cookies and the like may be sent.
    """

    origin: re.Pattern[str]
    credentials: bool = False
    preflight: Mapping[str, str]
    exposed: str

    @classmethod
    def of(  # noqa: PLR0913 - all keywords, each a setting
        cls,
        *,
        origin: str,
        credentials: bool,
        methods: tuple[str, ...],
        request_headers: tuple[str, ...],
        response_headers: tuple[str, ...],
        max_age_s: int,
    ) -> Cors:
        """Make the policy from what is to be allowed beyond the built-in lists."""
        return cls(
            origin=re.compile(origin),
            credentials=credentials,
            preflight={
                "Access-Control-Allow-Methods": ", ".join((*METHODS, *methods)),
                "Access-Control-Allow-Headers": ", ".join((*REQUEST_HEADERS, *request_headers)),
                "Access-Control-Max-Age": str(max_age_s),
            },
            exposed=", ".join((*RESPONSE_HEADERS, *response_headers)),
        )

    def check(self, origin: str | None) -> None:
        """Refuse pages of other origins before anything is done.

        Raises:
            OriginNotAllowed: 403.
        """
        if origin is not None and not self._allows(origin):
            raise OriginNotAllowed

    def headers_for(self, origin: str | None, *, preflight: bool) -> dict[str, str]:
        """Return what to add to an answer, whatever its status."""
        headers = {"Vary": "Origin"}
        if origin is None or not self._allows(origin):
            return headers
        headers["Access-Control-Allow-Origin"] = origin
        if self.credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if preflight:
            headers |= self.preflight
        else:
            headers["Access-Control-Expose-Headers"] = self.exposed
        return headers

    def _allows(self, origin: str) -> bool:
        # Browsers send ASCII; anything else could not be repeated in an answer.
        return origin.isascii() and self.origin.fullmatch(origin) is not None
