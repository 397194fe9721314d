"""The history of an application: who records it, and who shows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from ..config import Settings
from ..filesystem.new_files import PRIVATE_FOLDER
from ..interfaces.history import History
from ..telemetry.history_sqlite import SqliteHistory
from ..telemetry.live import LiveUploads
from ..telemetry.live_board import LiveBoard
from ..telemetry.recorder import Recorder
from ..web.admin.live import live_routes
from ..web.admin.statistics import statistics_routes
from .stores import upload_directory

_PAUSE_S = 1.0


class HistoryRoom:
    """Records what happens, and shows it.

    Args:
        live: what is being received by this process.
        shared: whether other processes record into the same history.

    Attributes:
        notes: what takes note of what.
    """

    def __init__(self, history: History, live: LiveUploads, *, shared: bool) -> None:
        self._history = history
        self._recorder = Recorder(history)
        self._board = LiveBoard(live, history if shared else None)
        self.notes = self._recorder.notes

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write down what happens for the length of the context, and the rest at its end."""
        task = asyncio.create_task(self._run(), name="history")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._recorder.close()

    async def _run(self) -> None:
        while True:
            await self._recorder.flush()
            await self._board.post()
            await asyncio.sleep(_PAUSE_S)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what the admin listener shows of it."""
        return [
            *statistics_routes(self._history, self._recorder.flush),
            *live_routes(self._board.look),
        ]


def open_history_room(settings: Settings, live: LiveUploads) -> HistoryRoom | None:
    """Return where history is recorded; None: nobody wants it to be."""
    if settings.history == "off" or (settings.history == "auto" and not settings.admin_listen):
        return None
    shared = settings.workers != 1 or settings.redis_url is not None
    return HistoryRoom(make_history(settings), live, shared=shared)


def make_history(settings: Settings) -> History:
    """Return where it is kept: beside the records."""
    if settings.redis_url is not None:
        from . import redis

        return redis.make_history(settings)
    return SqliteHistory(upload_directory(settings) / PRIVATE_FOLDER / "history.sqlite")
