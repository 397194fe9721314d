"""JSON Web Tokens (RFC 7519): who made them is checked by PyJWT, what they allow is read here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from ..interfaces import Grant, Operation
from ..protocol.model import LARGEST_SIZE
from .bearer import refused
from .keys import Keys
from .limits import LIMITS, RATES, with_limits

_log = logging.getLogger(__name__)

_LONGEST_OWNER = 255
# With these a client goes on with what it began; they make nothing and give nothing away.
_CONTINUING = (Operation.INSPECT, Operation.APPEND)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtRules:
    """What is demanded of a token, beyond a good signature and an end (`exp`).

    Attributes:
        algorithms: the only ones that count, whatever a token says of itself.
        audience: one of these must be in `aud`; none: the token must have no `aud`.
        issuer: what `iss` must be.
        leeway_s: how far clocks may differ.
        grace_s: how long after its end a token still continues uploads of its owner.
        owner_claim: on whose behalf the bearer acts; a token without it is refused.
        max_size_claim: the most bytes an upload may have, if the token says so.
        types_claim: the types it may be of, a list of globs, if the token says so.
        quota_claim: what the owner may have and do, if the token says so; None: it does not count.
    """

    algorithms: tuple[str, ...]
    audience: tuple[str, ...] = ()
    issuer: str | None = None
    leeway_s: float = 30.0
    grace_s: float = 0.0
    owner_claim: str = "sub"
    max_size_claim: str = "upload_max_size"
    types_claim: str = "upload_types"
    quota_claim: str | None = None


class JwtTokens:
    """Implements `TokenCheck` for JSON Web Tokens."""

    def __init__(self, keys: Keys, rules: JwtRules) -> None:
        self._keys = keys
        self._rules = rules

    async def grant(self, token: str, operation: Operation) -> Grant | None:
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            return None  # not a JWT; perhaps somebody else knows it
        algorithm = header.get("alg")
        if algorithm not in self._rules.algorithms:
            raise refused("the token is signed by a method that is not accepted here")
        keys = await self._keys.find(algorithm, header.get("kid"))
        return self._grant_of(self._claims(token, algorithm, keys, operation))

    async def close(self) -> None:
        await self._keys.close()

    def _claims(
        self, token: str, algorithm: str, keys: Sequence[Any], operation: Operation
    ) -> Mapping[str, Any]:
        why: PyJWTError | None = None
        for key in keys:
            try:
                return self._decode(token, algorithm, key, operation)
            except PyJWTError as error:
                why = error
        if isinstance(why, ExpiredSignatureError):
            raise refused("the token has expired")
        # What exactly is wrong with it is nobody's business but the operator's.
        _log.debug("TokenNotAccepted", extra={"error": type(why).__name__, "keys": len(keys)})
        raise refused("the token is not accepted")

    def _decode(
        self, token: str, algorithm: str, key: Any, operation: Operation
    ) -> Mapping[str, Any]:
        rules = self._rules

        def decode(leeway_s: float, *, ends: bool = True) -> dict[str, Any]:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=rules.audience or None,
                issuer=rules.issuer,
                leeway=leeway_s,
                options={"require": ["exp", rules.owner_claim], "verify_exp": ends},
            )

        # A token counts for as long as the request takes that it came with.
        if operation is Operation.FINISH:
            return decode(rules.leeway_s, ends=False)
        try:
            return decode(rules.leeway_s)
        except ExpiredSignatureError:
            if operation not in _CONTINUING or not rules.grace_s:
                raise
            return decode(rules.leeway_s + rules.grace_s)

    def _grant_of(self, claims: Mapping[str, Any]) -> Grant:
        rules = self._rules
        owner = claims[rules.owner_claim]
        if not isinstance(owner, str) or not 0 < len(owner) <= _LONGEST_OWNER:
            raise refused(f"the claim {rules.owner_claim} must be a short text")
        max_size = claims.get(rules.max_size_claim)
        if max_size is not None and not _is_size(max_size):
            raise refused(f"the claim {rules.max_size_claim} must be a number of bytes")
        types = claims.get(rules.types_claim)
        if types is not None and not _are_texts(types):
            raise refused(f"the claim {rules.types_claim} must be a list of types")
        grant = Grant(owner=owner, max_size=max_size, types=None if types is None else tuple(types))
        limits = None if rules.quota_claim is None else claims.get(rules.quota_claim)
        if limits is None:
            return grant
        if not _are_limits(limits):
            raise refused(f"the claim {rules.quota_claim} must be an object of limits")
        return with_limits(grant, limits)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SIZE


def _are_limits(value: object) -> TypeGuard[Mapping[str, int]]:
    """Whether it is an object; a name that nobody knows might be meant to be a limit."""
    return isinstance(value, dict) and all(
        name in LIMITS and _is_size(limit) and (limit > 0 or name not in RATES)
        for name, limit in value.items()
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
