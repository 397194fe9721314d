"""Ring 4: who watches what happens, and what operators are shown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from ..interfaces.health import Check
from ..interfaces.occurrences import Observe, ignore
from ..telemetry.live import LiveUploads
from ..telemetry.several import guarded, observe_all
from ..web.admin.app import make_admin_application
from ..web.admin.health import Health, health_routes


class Insight:
    """Everything that watches one application, and the rooms that show it.

    Args:
        own: the application's own watcher.
        checks: what `/readyz` looks at, by the name of the part.

    Attributes:
        live: the uploads that are being received by this process.
        health: whether it can serve.
        observe: tells all who watch.
    """

    def __init__(self, own: Observe = ignore, *, checks: Mapping[str, Check]) -> None:
        self.live = LiveUploads()
        self.health = Health(checks)
        self.observe = observe_all(self.live.observe, guarded(own))

    def admin_routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what the admin listener serves."""
        return [*health_routes(self.health)]

    async def aclose(self) -> None:
        """End what goes on in the background."""
        await self.health.close()


INSIGHT: web.AppKey[Insight] = web.AppKey("insight", Insight)
"""Who watches an application made by `create_app`."""


def create_admin_app(app: web.Application) -> web.Application:
    """Return the admin application that belongs to one made by `create_app`.

    It has no access control: mount it where only operators can reach it, or put a middleware
    before it.
    """
    return make_admin_application(app[INSIGHT].admin_routes())
