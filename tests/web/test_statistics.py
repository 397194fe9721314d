"""What is asked of the history over HTTP, and what is said when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pytest_aiohttp.plugin import AiohttpClient

from tusd_py.interfaces.history import Batch, Counts, Period
from tusd_py.telemetry.history_memory import MemoryHistory
from tusd_py.web.admin.app import make_admin_application
from tusd_py.web.admin.statistics import statistics_routes

NOW = 1_700_002_830.0
MINUTE = 1_700_002_800


class HangingHistory(MemoryHistory):
    """Never answers."""

    async def read(self, period: Period, now: float) -> Mapping[int, Counts]:
        never: asyncio.Future[Mapping[int, Counts]] = asyncio.get_running_loop().create_future()
        return await never


async def _flushed() -> bool:
    return True


async def _not_flushed() -> bool:
    return False


async def test_a_period_is_shown(aiohttp_client: AiohttpClient) -> None:
    """The last hour if none is named; and whether what has just happened is in it."""
    history = MemoryHistory()
    await history.add(Batch(minutes={MINUTE: {"created": 3}, MINUTE - 7200: {"created": 4}}), NOW)
    routes = statistics_routes(history, _not_flushed, clock=lambda: NOW)
    client = await aiohttp_client(make_admin_application(routes))
    for query, period, created in (("", "hour", 3), ("?period=day", "day", 7)):
        answer = await client.get(f"/api/stats{query}")
        shown = await answer.json()
        assert (shown["period"], shown["totals"]["created"]) == (period, created)
        assert (shown["now"], shown["up_to_date"]) == (NOW, False)
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_history_that_hangs_is_told(aiohttp_client: AiohttpClient) -> None:
    """Whoever looks is not left waiting."""
    routes = statistics_routes(HangingHistory(), _flushed, timeout_s=0.01)
    client = await aiohttp_client(make_admin_application(routes))
    answer = await client.get("/api/stats")
    assert answer.status == 503
    assert (await answer.text()).startswith("ERR_STORE_UNAVAILABLE: ")
