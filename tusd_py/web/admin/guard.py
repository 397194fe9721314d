"""Who may use the API of operators: nobody from other sites, and if so configured only who knows.

The listener is meant for loopback or a network of operators. A browser on that network can be made
to send requests by any page it shows: that is what is kept out here, with or without a token.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ...protocol.errors import Forbidden, Unauthorized

API = "/api/"
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_BEARER = "bearer "

CheckToken = Callable[[str], Awaitable[bool]]
"""Whether a token is one of those that may do everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What a request to the API has to pass.

    Attributes:
        hosts: names that the server may be reached by, beside addresses and localhost.
        check_token: None: no token is needed.
    """

    hosts: tuple[str, ...] = ()
    check_token: CheckToken | None = None

    def around(self, routes: Iterable[web.AbstractRouteDef]) -> Sequence[web.AbstractRouteDef]:
        """Return the routes, those of the API guarded; others are as they were."""
        return [
            web.RouteDef(route.method, route.path, self._guarded(route.handler), route.kwargs)
            if isinstance(route, web.RouteDef) and route.path.startswith(API)
            else route
            for route in routes
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            await self._check(request)
            return await handler(request)

        return handle

    async def _check(self, request: web.Request) -> None:
        """Refuse what may come from another site, or from nobody we know.

        Raises:
            Forbidden, Unauthorized
        """
        host = request.headers.get(hdrs.HOST, "")
        if not self._is_ours(host):
            raise Forbidden("the Host header names another host; see admin-hosts")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin.partition("://")[2] != host:
            raise Forbidden("requests from pages of other origins are not allowed")
        if request.method not in _READING and not _cannot_be_forged(request):
            raise Forbidden("a change needs Content-Type: application/json, or X-Requested-With")
        if self.check_token is not None:
            await self._check_token(request, self.check_token)

    def _is_ours(self, host: str) -> bool:
        """Whether no name of somebody else's was made to lead here (DNS rebinding)."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return True
        if "*" in self.hosts or name in {known.lower() for known in self.hosts}:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    async def _check_token(self, request: web.Request, check: CheckToken) -> None:
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        if not given:
            raise Unauthorized
        if given[: len(_BEARER)].lower() != _BEARER or not await check(given[len(_BEARER) :]):
            raise Unauthorized(challenge='Bearer error="invalid_token"')


def _cannot_be_forged(request: web.Request) -> bool:
    """Whether a page of another site could not have sent this without a preflight."""
    return "X-Requested-With" in request.headers or request.content_type == "application/json"
