"""The aiohttp application: routes, and the life of what is behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from aiohttp import web
from aiohttp.typedefs import Handler

from ..protocol.errors import MethodNotAllowed, TusError, UploadNotFound
from ..service.uploads import Uploads
from .handlers import Handlers, defer_continue

UPLOADS: web.AppKey[Uploads] = web.AppKey("uploads", Uploads)
"""The service of an application made by `create_app`, for code that embeds it."""

_HANDLERS: web.AppKey[Handlers] = web.AppKey("handlers", Handlers)


def make_application(
    handlers: Handlers, running: Callable[[], AbstractAsyncContextManager[None]]
) -> web.Application:
    """Return an application that serves uploads below wherever it is mounted.

    Args:
        handlers: answers the requests.
        running: entered at start-up and left at clean-up; opens the stores and runs tasks.
    """
    app = web.Application()
    app[UPLOADS] = handlers.uploads
    app[_HANDLERS] = handlers
    _add_routes(app, "", handlers)

    async def run(_: web.Application) -> AsyncIterator[None]:
        async with running():
            yield

    async def stop_bodies(_: web.Application) -> None:
        handlers.uploads.stop_bodies()

    app.cleanup_ctx.append(run)
    app.on_shutdown.append(stop_bodies)
    return app


def _add_routes(app: web.Application, base: str, handlers: Handlers) -> None:
    for path in ("", "/", "/{target:.+}"):
        # One route for all methods: X-HTTP-Method-Override decides which one counts.
        app.router.add_route("*", base + path, handlers.handle, expect_handler=defer_continue)


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer paths that nobody serves as everything else is answered: ``CODE: sentence``."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        error: TusError = MethodNotAllowed(*sorted(refused.allowed_methods))
    except web.HTTPNotFound:
        error = UploadNotFound("there is nothing at this path")
    return web.Response(status=error.status, headers=error.headers, text=error.text)


def make_root(
    app: web.Application,
    base_path: str,
    *,
    greeting: str | None,
    routes: Sequence[web.AbstractRouteDef] = (),
) -> web.Application:
    """Return the application of the whole server, with uploads below `base_path`.

    It takes the place of `app`, which is not mounted: that would route every request twice.

    Args:
        app: made by `make_application`.
        base_path: begins and ends with a slash.
        greeting: what GET / answers, or None for 404.
        routes: what else is served; they go before uploads.
    """
    if base_path == "/" and not routes:
        return app
    root = web.Application(middlewares=[plain_errors])
    root[UPLOADS] = app[UPLOADS]
    root.cleanup_ctx.extend(app.cleanup_ctx)
    root.on_shutdown.extend(app.on_shutdown)
    root.add_routes(routes)
    _add_routes(root, base_path.rstrip("/"), app[_HANDLERS])

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text=greeting)

    if greeting is not None and base_path != "/":
        root.router.add_get("/", greet)
    return root
