"""The API of operators, as the settings want it guarded."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from aiohttp import web

from ..access.watched import WatchedFile
from ..config import Settings
from ..service.administration import Administration
from ..web.admin.api import AdminApi
from ..web.admin.guard import Guard
from ..web.admin.openapi import openapi_routes
from .naming import naming

_SHORTEST_TOKEN = 16


class AdminRoom:
    """The API, and what guards it.

    Args:
        settings: of the application.
        administration: what it can do.

    Raises:
        SettingsError: the file of tokens cannot be used.
    """

    def __init__(self, settings: Settings, administration: Administration) -> None:
        self._administration = administration
        self._guard = make_guard(settings)

    def routes(self, others: Sequence[web.AbstractRouteDef]) -> Sequence[web.AbstractRouteDef]:
        """Return what serves the API, and the other routes, which are guarded like it."""
        token = self._guard.check_token is not None
        own = [*openapi_routes(token=token), *AdminApi(self._administration).routes()]
        return self._guard.around([*own, *others])


ADMIN: web.AppKey[AdminRoom] = web.AppKey("admin", AdminRoom)
"""What operators may do with an application made by `create_app`."""


def make_guard(settings: Settings) -> Guard:
    """Return what requests to the API have to pass.

    Raises:
        SettingsError: the file of tokens cannot be used.
    """
    if (path := settings.admin_token_file) is None:
        return Guard(hosts=settings.admin_hosts)
    with naming("admin-token-file", path):
        tokens = WatchedFile(path, _parse_tokens)

    async def check(token: str) -> bool:
        given = token.encode(errors="surrogateescape")
        # All are compared, so that the time tells nothing of which one it was.
        return sum(hmac.compare_digest(given, known) for known in await tokens.get()) > 0

    return Guard(hosts=settings.admin_hosts, check_token=check)


def _parse_tokens(content: bytes) -> tuple[bytes, ...]:
    tokens = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not tokens or min(map(len, tokens)) < _SHORTEST_TOKEN:
        raise ValueError(f"must have a token of {_SHORTEST_TOKEN} characters or more on each line")
    return tokens
