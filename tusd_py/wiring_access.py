"""Ring 4: makes the ready-made rules of who may do what, as the settings name them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from .access.bearer import BearerAccess, TokenCheck
from .access.jwks import KeysAtUrl
from .access.jwt import JwtRules, JwtTokens
from .access.keys import FileKeys, Keys, KeySet, PublicKey, Secret
from .access.tokens import FileTokens
from .config import Settings, SettingsError
from .interfaces import Authorize
from .service.access import allow_all


def choose_access(settings: Settings, own: Authorize | None) -> Authorize:
    """Return who decides who may do what: a callable of the application, or the settings.

    Raises:
        SettingsError: both would decide, or a file cannot be used.
    """
    checks = _checks(settings)
    if checks and own is not None:
        raise SettingsError("who may do what is decided by authorize, or by auth-..., not by both")
    return BearerAccess(*checks) if checks else own or allow_all


@contextlib.asynccontextmanager
async def opened_access(authorize: Authorize) -> AsyncIterator[None]:
    """End what runs in the background for it on leaving."""
    try:
        yield
    finally:
        if isinstance(authorize, BearerAccess):
            await authorize.close()


def _checks(settings: Settings) -> list[TokenCheck]:
    checks: list[TokenCheck] = []
    if (path := settings.auth_tokens_file) is not None:
        with _named("auth-tokens-file", path):
            checks.append(FileTokens(path))
    keys = _jwt_keys(settings)
    if keys is not None:
        usual = ("RS256", "ES256") if settings.auth_jwt_secret_file is None else ("HS256",)
        rules = JwtRules(
            algorithms=settings.auth_jwt_algorithms or usual,
            audience=settings.auth_jwt_audience,
            issuer=settings.auth_jwt_issuer,
            leeway_s=settings.auth_jwt_leeway,
            grace_s=settings.auth_jwt_grace,
            owner_claim=settings.auth_jwt_owner_claim,
            max_size_claim=settings.auth_jwt_max_size_claim,
            types_claim=settings.auth_jwt_types_claim,
        )
        checks.append(JwtTokens(keys, rules))
    return checks


def _jwt_keys(settings: Settings) -> Keys | None:
    jwks = settings.auth_jwt_jwks
    if jwks is not None and jwks.startswith(("https://", "http://")):
        return KeysAtUrl(jwks)
    for name, path, kind in (
        ("auth-jwt-secret-file", settings.auth_jwt_secret_file, Secret),
        ("auth-jwt-key-file", settings.auth_jwt_key_file, PublicKey),
        ("auth-jwt-jwks", None if jwks is None else Path(jwks), KeySet),
    ):
        if path is not None:
            with _named(name, path):
                return FileKeys(path, kind)
    return None


@contextlib.contextmanager
def _named(setting: str, path: Path) -> Iterator[None]:
    """Say which setting it is that cannot be used."""
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{setting}: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{setting}: {path} {error}") from None
