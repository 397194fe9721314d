"""The admin application: each room of it brings its own routes."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Handler

from ...protocol.errors import TusError
from ..app import plain_errors


def make_admin_application(routes: Iterable[web.AbstractRouteDef]) -> web.Application:
    """Return an application with those routes, that answers errors as ``CODE: sentence``."""
    app = web.Application(middlewares=[plain_errors, _told_errors])
    app.add_routes(routes)
    return app


@web.middleware
async def _told_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except TusError as error:
        return web.Response(status=error.status, headers=error.headers, text=error.text)
