"""The page that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

Render = Callable[[str], tuple[bytes, str]]
"""Returns page and content type for a header Accept. It may take a while, so a thread does it."""


def metrics_routes(
    render: Render, look: Callable[[], None], path: str = "/metrics"
) -> Sequence[web.AbstractRouteDef]:
    """Return the route of the metrics.

    Args:
        look: brings what is rendered up to date.
    """

    async def show(request: web.Request) -> web.Response:
        look()
        page, content_type = await asyncio.to_thread(render, request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    return [web.get(path, show)]
