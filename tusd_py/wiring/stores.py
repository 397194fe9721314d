"""The stores: in one directory, or records and events in Redis."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ..config import Settings, SettingsError
from ..data.disk import DiskData
from ..filesystem.lanes import Lanes
from ..filesystem.new_files import PRIVATE_FOLDER
from ..filesystem.work import FileWork
from ..hooks.outbox_memory import MemoryOutbox
from ..hooks.outbox_sqlite import SqliteOutbox
from ..interfaces import DataStore, Durability, Ledger, OffsetStore, Outbox, Placer
from ..offsets.files import FileOffsets
from ..quotas.memory import MemoryLedger
from ..quotas.sqlite import SqliteLedger
from .access import choose_access
from .admin import make_guard
from .bounds import make_bounds
from .hooks import make_transports
from .placing import check_placer, make_placer


@dataclass(frozen=True, slots=True)
class Stores:
    """Where everything is kept, and the threads that two of the stores share."""

    offsets: OffsetStore
    data: DataStore
    lanes: Lanes | None = None
    outbox: Outbox = field(default_factory=MemoryOutbox)
    ledger: Ledger = field(default_factory=MemoryLedger)
    placer: Placer | None = None


def make_stores(settings: Settings) -> Stores:
    """One directory for bytes, laid out as tusd's; records and claims there, too, or in Redis."""
    lanes = Lanes()
    run: FileWork = lanes
    directory = upload_directory(settings)
    data = DiskData(
        directory,
        run,
        dir_mode=settings.dir_perms,
        file_mode=settings.file_perms,
        fenced=settings.redis_url is not None,
    )
    outbox = make_outbox(settings)
    placer = make_placer(settings, directory, run)
    if settings.redis_url is not None:
        from . import redis  # whose library takes megabytes that nobody else needs

        offsets: OffsetStore = redis.make_offsets(settings, directory, run)
        return Stores(offsets, data, lanes, outbox, make_ledger(settings), placer)
    offsets = FileOffsets(
        directory,
        run,
        durability=settings.durability,
        file_mode=settings.file_perms,
    )
    return Stores(offsets, data, lanes, outbox, make_ledger(settings), placer)


def make_outbox(settings: Settings) -> Outbox:
    """Return where events are kept until they are delivered: beside the records."""
    if settings.redis_url is not None:
        from . import redis

        return redis.make_outbox(settings)
    directory = upload_directory(settings)
    return SqliteOutbox(
        directory / PRIVATE_FOLDER / "outbox.sqlite",
        durable=settings.durability is not Durability.NONE,
    )


def make_ledger(settings: Settings) -> Ledger:
    """Return where uploads are counted, and rates shared: by all nodes, or all workers.

    Where nothing has to be counted, or shared, it costs nothing.
    """
    bounds = make_bounds(settings)
    rates = (bounds.server.bytes_per_second, bounds.owner.bytes_per_second)
    shares = settings.redis_url is not None or settings.workers != 1
    if not bounds.counting and not (shares and any(rates)):
        return MemoryLedger()
    if settings.redis_url is not None:
        from . import redis

        return redis.make_ledger(settings)
    return SqliteLedger(upload_directory(settings) / PRIVATE_FOLDER / "quotas.sqlite")


def upload_directory(settings: Settings) -> Path:
    """Return the directory with all links on the way followed: once, and never again."""
    return Path(os.path.realpath(settings.upload_dir))


async def check_stores(settings: Settings) -> None:
    """Find out what cannot work, before there are workers.

    Raises:
        SettingsError: a URL is wrong, a file of keys or tokens, or the directory of hooks is
            missing, or files would be placed among uploads.
        StoreUnavailable: a store cannot be reached, or cannot be used.
    """
    choose_access(settings, None)
    make_guard(settings)
    make_transports(settings)
    await check_placer(settings, upload_directory(settings))
    if settings.redis_url is not None:
        from . import redis

        await redis.check(settings)


async def rebuild_records(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """Give Redis every record that it has lost; iterate over ids and what became of them."""
    if settings.redis_url is None:
        raise SettingsError("redis-url is missing: only what Redis loses has to be rebuilt")
    from . import redis

    lanes = Lanes()
    lanes.start()
    offsets = redis.make_offsets(settings, upload_directory(settings), lanes)
    try:
        await offsets.open()
        async for outcome in offsets.rebuild_all():
            yield outcome
    finally:
        await offsets.close()
        lanes.stop()
