"""Whoever bears the token: RFC 6750, the Authorization header only.

A token in a URL would end up in logs, histories and Referer headers, so none is looked for there.
"""

from __future__ import annotations

import logging
import re
from typing import Protocol

from ..interfaces import Access, Grant, Operation, RequestInfo
from ..protocol.errors import Unauthorized

_log = logging.getLogger(__name__)

# RFC 7235: one or more spaces, and the name of the scheme in any case.
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class TokenCheck(Protocol):
    """One kind of token."""

    async def grant(self, token: str, operation: Operation) -> Grant | None:
        """Return what the token allows; None: it is not of this kind, or not known.

        Raises:
            Unauthorized: it is of this kind and not accepted.
            AuthorizationUnavailable: that cannot be told now.
        """

    async def close(self) -> None:
        """End what runs in the background."""


class BearerAccess:
    """Implements `Authorize`: the bearer of a token acts on behalf of the owner it names.

    Args:
        checks: asked in this order; the first that knows the token decides.
    """

    def __init__(self, *checks: TokenCheck) -> None:
        self._checks = checks

    async def __call__(self, access: Access) -> Grant:
        try:
            return await self._grant(_token_of(access.request), access.operation)
        except Unauthorized as error:
            upload_id = None if access.upload is None else access.upload.id
            _log.info(
                "AccessRefused",
                extra={"operation": access.operation.value, "id": upload_id, "reason": str(error)},
            )
            raise

    async def close(self) -> None:
        """End what runs in the background."""
        for check in self._checks:
            await check.close()

    async def _grant(self, token: str, operation: Operation) -> Grant:
        for check in self._checks:
            grant = await check.grant(token, operation)
            if grant is not None:
                return grant
        raise refused("the token is not accepted")


def refused(reason: str) -> Unauthorized:
    """Return the error for a token that is not accepted; `reason` is plain ASCII without quotes."""
    challenge = f'Bearer error="invalid_token", error_description="{reason}"'
    return Unauthorized(reason, challenge=challenge)


def _token_of(request: RequestInfo) -> str:
    fields = request.headers.get("Authorization", ())
    if not fields:  # RFC 6750, 3.1: no error code for who may simply not know
        raise Unauthorized("send a token: Authorization: Bearer ...")
    match = _BEARER.fullmatch(fields[0].strip()) if len(fields) == 1 else None
    if match is None:
        raise refused("Authorization must be Bearer and one token")
    return match[1]
