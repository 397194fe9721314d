"""``/api/stats``: what the recorded history says of the last hour, day or week."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from ...interfaces.history import History, Period
from ...protocol.errors import BadRequest, StoreUnavailable
from ...service.statistics import Statistics

# A disk may hang; who looks is told so.
_PATIENCE_S = 5.0
_PERIODS = {period.label: period for period in Period}


def statistics_routes(
    history: History,
    flush: Callable[[], Awaitable[bool]],
    *,
    clock: Callable[[], float] = time.time,
    timeout_s: float = _PATIENCE_S,
) -> Sequence[web.AbstractRouteDef]:
    """Return the route.

    Args:
        flush: writes down what this process has counted; False: it cannot be just now.
        clock: seconds since the epoch.
        timeout_s: how long the history may take.
    """

    async def show(request: web.Request) -> web.Response:
        period = _PERIODS.get(request.query.get("period", Period.HOUR.label))
        if period is None:
            raise BadRequest(f"period must be one of {', '.join(_PERIODS)}.")
        now = clock()
        try:
            async with asyncio.timeout(timeout_s):
                up_to_date = await flush()
                found = await history.read(period, now)
        except TimeoutError:
            raise StoreUnavailable from None
        statistics = Statistics.of(period, found, now)
        return web.json_response(
            {**statistics.as_json(), "up_to_date": up_to_date},
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    return [web.get("/api/stats", show)]
