"""Ring 4: the listener for operators, beside that for uploads."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

from aiohttp import web

from .config import Settings
from .web.listening import host_and_port, listen_tcp
from .wiring.insight import create_admin_app

# Whoever watches at the end, perhaps a stream of events that never ends by itself, gets so long.
_LAST_LOOKS_S = 0.5


def listen_admin(settings: Settings) -> socket.socket | None:
    """Bind and listen, if there is to be such a listener.

    Raises:
        OSError: see `listen_tcp`.
    """
    if settings.admin_listen is None:
        return None
    host, _, port = settings.admin_listen.rpartition(":")
    return listen_tcp(host.strip("[]"), int(port))


def admin_url(sock: socket.socket) -> str:
    """Return where operators look."""
    return f"http://{host_and_port(sock)}/"


@contextlib.asynccontextmanager
async def serving_admin(app: web.Application, sock: socket.socket | None) -> AsyncIterator[None]:
    """Serve the admin application of `app` for the length of the context, if there is a socket."""
    if sock is None:
        yield
        return
    runner = web.AppRunner(create_admin_app(app), access_log=None, shutdown_timeout=_LAST_LOOKS_S)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()
