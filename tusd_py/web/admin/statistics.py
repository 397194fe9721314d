"""``/api/stats``: what the recorded history says of the last hour, day or week."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from ...interfaces.history import History, Period
from ...protocol.errors import BadRequest
from ...service.statistics import Statistics

_PERIODS = {period.label: period for period in Period}


def statistics_routes(
    history: History,
    flush: Callable[[], Awaitable[bool]],
    *,
    clock: Callable[[], float] = time.time,
) -> Sequence[web.AbstractRouteDef]:
    """Return the route.

    Args:
        flush: writes down what this process has counted; False: it cannot be just now.
        clock: seconds since the epoch.
    """

    async def show(request: web.Request) -> web.Response:
        period = _PERIODS.get(request.query.get("period", Period.HOUR.label))
        if period is None:
            raise BadRequest(f"period must be one of {', '.join(_PERIODS)}.")
        up_to_date = await flush()
        now = clock()
        statistics = Statistics.of(period, await history.read(period, now), now)
        return web.json_response(
            {**statistics.as_json(), "up_to_date": up_to_date},
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
        )

    return [web.get("/api/stats", show)]
