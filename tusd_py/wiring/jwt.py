"""JSON Web Tokens, as the settings name them."""

from __future__ import annotations

from pathlib import Path

from ..access.jwks import KeysAtUrl
from ..access.jwt import JwtRules, JwtTokens
from ..access.keys import FileKeys, Keys, KeySet, PublicKey, Secret
from ..config import Settings
from .naming import naming


def make_jwt_check(settings: Settings) -> JwtTokens:
    """Return what checks tokens; one of the settings names its keys.

    Raises:
        SettingsError: they cannot be used.
    """
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
        quota_claim=settings.auth_jwt_quota_claim,
    )
    return JwtTokens(_keys(settings), rules)


def _keys(settings: Settings) -> Keys:
    jwks = settings.auth_jwt_jwks
    if jwks is not None and jwks.startswith(("https://", "http://")):
        return KeysAtUrl(jwks)
    for name, path, kind in (
        ("auth-jwt-secret-file", settings.auth_jwt_secret_file, Secret),
        ("auth-jwt-key-file", settings.auth_jwt_key_file, PublicKey),
        ("auth-jwt-jwks", None if jwks is None else Path(jwks), KeySet),
    ):
        if path is not None:
            with naming(name, path):
                return FileKeys(path, kind)
    raise AssertionError("no setting names keys")
