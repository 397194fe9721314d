"""What is in Redis, if the settings say so."""

from __future__ import annotations

from pathlib import Path

from ..config import Settings, SettingsError
from ..filesystem.work import FileWork
from ..hooks.outbox_redis import RedisOutbox
from ..offsets.redis import RedisOffsets
from ..offsets.redis_copies import Copies
from ..offsets.redis_link import RedisLink
from ..quotas.redis import RedisLedger
from ..redis_client.address import RedisAddress, RedisOptions
from ..telemetry.history_redis import RedisHistory


def redis_options(settings: Settings) -> RedisOptions:
    """Return where Redis is, and how it is used.

    Raises:
        SettingsError: the URL is wrong.
    """
    try:
        address = RedisAddress(settings.redis_url or "")
    except ValueError as error:
        raise SettingsError(f"redis-url {error}") from None
    return RedisOptions(
        address=address,
        prefix=settings.redis_prefix,
        lease_s=settings.redis_lease,
        timeout_s=settings.redis_timeout,
    )


def make_offsets(settings: Settings, directory: Path, run: FileWork) -> RedisOffsets:
    """Return where records and claims are."""
    copies = Copies(
        directory,
        durability=settings.durability,
        file_mode=settings.file_perms,
    )
    return RedisOffsets(redis_options(settings), run, copies=copies)


def make_outbox(settings: Settings) -> RedisOutbox:
    """Return where events are kept until they are delivered."""
    return RedisOutbox(redis_options(settings))


def make_history(settings: Settings) -> RedisHistory:
    """Return where the history is kept."""
    return RedisHistory(redis_options(settings))


def make_ledger(settings: Settings) -> RedisLedger:
    """Return where uploads are counted."""
    return RedisLedger(redis_options(settings))


async def check(settings: Settings) -> None:
    """Find out whether Redis can be used.

    Raises:
        SettingsError: the URL is wrong.
        StoreUnavailable: it cannot be reached, or it is too old.
    """
    link = RedisLink(redis_options(settings))
    await link.open()
    await link.close()
