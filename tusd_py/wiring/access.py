"""Ring 4: makes the ready-made rules of who may do what, as the settings name them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ..access.bearer import BearerAccess, TokenCheck
from ..access.tokens import FileTokens
from ..config import Settings, SettingsError
from ..interfaces import Authorize
from ..service.access import allow_all
from .naming import naming


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
        with naming("auth-tokens-file", path):
            checks.append(FileTokens(path))
    jwt = settings.auth_jwt_jwks, settings.auth_jwt_secret_file, settings.auth_jwt_key_file
    if any(jwt):
        # Its libraries take megabytes that nobody else needs.
        from .jwt import make_jwt_check

        checks.append(make_jwt_check(settings))
    return checks
