"""``/api/live``: what is being received now, once or as a stream of events (server-sent events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from ...protocol.errors import TooManyConnections

# A browser opens six connections to one origin at most; this is many operators.
_MOST_WATCHERS = 64
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def live_routes(
    look: Callable[[], Awaitable[Mapping[str, Any]]], *, interval_s: float = 1.0
) -> Sequence[web.AbstractRouteDef]:
    """Return the route.

    Args:
        look: returns what is to be shown, for JSON.
        interval_s: between two events of a stream.
    """
    watchers: set[web.StreamResponse] = set()

    async def show(request: web.Request) -> web.StreamResponse:
        if "text/event-stream" not in request.headers.get("Accept", ""):
            return web.json_response(await look(), headers=_HEADERS)
        if len(watchers) >= _MOST_WATCHERS:
            raise TooManyConnections
        stream = web.StreamResponse(headers=_HEADERS | {"Content-Type": "text/event-stream"})
        watchers.add(stream)
        try:
            await _tell(request, stream)
        finally:
            watchers.discard(stream)
        return stream

    async def _tell(request: web.Request, stream: web.StreamResponse) -> None:
        await stream.prepare(request)
        try:
            while request.transport is not None and not request.transport.is_closing():
                await stream.write(f"data: {json.dumps(await look())}\n\n".encode())
                await asyncio.sleep(interval_s)
        except ConnectionResetError:
            pass  # nobody looks any more

    return [web.get("/api/live", show)]
