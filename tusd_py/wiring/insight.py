"""Ring 4: who watches what happens, and what operators are shown of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from aiohttp import web

from ..config import Settings
from ..interfaces import Outbox
from ..interfaces.health import Facts
from ..interfaces.occurrences import Observe, ignore
from ..interfaces.outbox import EventState
from ..protocol.errors import InsufficientStorage
from ..telemetry.access_log import AccessLog
from ..telemetry.catalogue import CLAIM_EVENTS
from ..telemetry.live import LiveUploads
from ..telemetry.logs import dropped_lines
from ..telemetry.metrics import Metrics
from ..telemetry.sampling import Sampler, growth
from ..telemetry.several import guarded, observe_all
from ..web.admin.app import make_admin_application
from ..web.admin.health import Health, health_routes
from ..web.admin.metrics import metrics_routes
from .admin import ADMIN
from .history import open_history_room
from .pages import dashboard_routes
from .stores import Stores


class Insight:
    """Everything that watches one application, and the rooms that show it.

    Args:
        settings: of the application.
        stores: that it uses.
        own: the application's own watcher.
        metrics: where to count.

    Attributes:
        live: the uploads that are being received by this process.
        health: whether it can serve.
        metrics: the numbers of this process.
        sampler: looks at what nobody tells.
        observe: tells all who watch.
    """

    def __init__(
        self, settings: Settings, stores: Stores, own: Observe = ignore, *, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._stores = stores
        self.live = LiveUploads()
        self.health = Health(
            {
                "data": partial(_no_facts, stores.data.check),
                "offsets": partial(_check_records, stores.offsets.check, settings.redis_url),
                "disk": self._check_disk,
            }
        )
        self.metrics = metrics
        self.sampler = Sampler(metrics)
        self._history = open_history_room(settings, self.live)
        record = {} if self._history is None else self._history.notes
        log = AccessLog().notes if settings.log_requests else {}
        self.observe = observe_all(metrics.notes, self.live.notes, record, log, guarded(own))
        self._watch_process()
        self._watch_stores()

    def _watch_process(self) -> None:
        metrics = self.metrics
        metrics.set("tusd_py_workers", 1)
        self.sampler.add(
            lambda: metrics.set("tusd_py_bodies_running", len(self.live)),
            growth(metrics, "tusd_py_log_lines_dropped_total", dropped_lines),
        )

    def _watch_stores(self) -> None:
        metrics, sampler = self.metrics, self.sampler
        if (lanes := self._stores.lanes) is not None:
            work = partial(metrics.buckets, "tusd_py_file_work_seconds")
            lanes.watch(work("short").note, work("long").note)
            queue = partial(metrics.set, "tusd_py_file_queue_jobs")
            sampler.add(
                lambda: queue(lanes.queued_short, "short"),
                lambda: queue(lanes.queued_long, "long"),
            )
        if self._settings.redis_url is not None:
            from ..offsets.redis import RedisOffsets

            if isinstance(offsets := self._stores.offsets, RedisOffsets):
                offsets.watch(metrics.buckets("tusd_py_redis_seconds").note)
                for event in CLAIM_EVENTS:
                    read = partial(getattr, offsets.events, event)
                    sampler.add(growth(metrics, "tusd_py_redis_claims_total", read, event))

    async def _check_disk(self) -> Facts:
        free = await self._stores.data.free_bytes()
        if free is not None and free < self._settings.ready_free_space:
            raise InsufficientStorage(f"only {free} bytes are free")
        return {"free_bytes": free}

    async def _look_at_disk(self) -> None:
        free = await self._stores.data.free_bytes()
        if free is not None:
            self.metrics.set("tusd_py_disk_free_bytes", free)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Show how many connections there are."""
        self.sampler.add(lambda: self.metrics.set("tusd_connections_open", count()))

    def metrics_routes(self, path: str = "/metrics") -> Sequence[web.AbstractRouteDef]:
        """Return the route of the page for Prometheus."""
        from ..telemetry.exposition import Exposition  # takes megabytes

        render = Exposition(self.metrics.cells).render
        return metrics_routes(render, self.sampler.look, path)

    def admin_routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what the admin listener serves."""
        history = () if self._history is None else (*self._history.routes(), *dashboard_routes())
        return [*health_routes(self.health), *self.metrics_routes(), *history]

    def recording(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Record what happens, if it is to be, for the length of the context."""
        return contextlib.nullcontext() if self._history is None else self._history.running()

    @contextlib.asynccontextmanager
    async def running(self, outbox: Outbox | None) -> AsyncIterator[None]:
        """Look at what nobody tells, for the length of the context; the stores are open.

        Args:
            outbox: None when nobody is told of anything.
        """
        self.sampler.add_long(self._look_at_disk)
        if outbox is not None:
            self.health.add("outbox", partial(_outbox_facts, outbox))
            self.sampler.add_long(partial(_count_events, outbox, self.metrics))
        task = asyncio.create_task(self.sampler.run(), name="sampler")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.health.close()


async def _no_facts(check: Callable[[], Awaitable[None]]) -> Facts:
    await check()
    return {}


async def _check_records(check: Callable[[], Awaitable[None]], redis_url: str | None) -> Facts:
    await check()
    return {"kept_in": "files" if redis_url is None else "Redis"}


async def _outbox_facts(outbox: Outbox) -> Facts:
    counts = await outbox.counts()
    return {state.value.replace(" ", "_"): counts.get(state, 0) for state in EventState}


async def _count_events(outbox: Outbox, metrics: Metrics) -> None:
    counts = await outbox.counts()
    for state in EventState:
        metrics.set("tusd_py_outbox_events", counts.get(state, 0), state.value)


INSIGHT: web.AppKey[Insight] = web.AppKey("insight", Insight)
"""Who watches an application made by `create_app`."""


def create_admin_app(app: web.Application) -> web.Application:
    """Return the admin application that belongs to one made by `create_app`.

    Its API is guarded as the settings say, and the rest has no access control: mount it where
    only operators can reach it, or put a middleware before it.
    """
    return make_admin_application(app[ADMIN].routes(app[INSIGHT].admin_routes()))
