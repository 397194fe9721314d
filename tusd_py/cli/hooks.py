"""``tusd-py hooks``: what has happened and was not delivered yet."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import click

from ..config import Settings
from ..interfaces import Entry, Outbox
from ..protocol.errors import TusError
from ..server import StartError
from ..wiring import make_outbox
from .options import as_json, command

hooks = click.Group("hooks", help="See and retry the events that hooks have not taken yet.")


def _list(settings: Settings, *, as_json: bool, limit: int) -> int:
    async def show(outbox: Outbox) -> int:
        entries = await outbox.entries(limit)
        for entry in entries:
            print(json.dumps(_fields(entry)) if as_json else _line(entry))
        if not entries and not as_json:
            print("nothing is waiting")
        return 0

    return _with_outbox(settings, show)


def _retry(settings: Settings, *, event: str | None, everything: bool) -> int:
    if (event is None) is not everything:
        raise click.UsageError("name one EVENT, or --all")

    async def make_due(outbox: Outbox) -> int:
        count = await outbox.retry(event, time.time())
        print(f"{count} due now" if count else "nothing that has failed")
        return int(not count and event is not None)

    return _with_outbox(settings, make_due)


def _with_outbox(settings: Settings, work: Callable[[Outbox], Awaitable[int]]) -> int:
    directory = settings.upload_dir
    if settings.redis_url is None and not directory.is_dir():
        raise StartError(f"there is no directory {directory}; name another with --upload-dir")

    async def run() -> int:
        outbox = make_outbox(settings)
        await outbox.open()
        try:
            return await work(outbox)
        finally:
            await outbox.close()

    try:
        return asyncio.run(run())
    except (TusError, OSError) as error:
        raise StartError(f"cannot read the outbox: {error}") from None


def _fields(entry: Entry) -> dict[str, object]:
    event = entry.event
    return {
        "event": event.id,
        "type": event.type.value,
        "upload": event.upload.id,
        "receiver": entry.receiver,
        "state": entry.state.value,
        "happened": None if event.at is None else _date(event.at),
        "attempts": entry.attempts,
        "due": _date(entry.due_at) if entry.attempts else None,
        "error": entry.error,
    }


def _line(entry: Entry) -> str:
    event = entry.event
    failed = f", {entry.attempts} failed: {entry.error}" if entry.attempts else ""
    return (
        f"{event.id} {event.type.value} of {event.upload.id} for {entry.receiver}: "
        f"{entry.state.value}{failed}"
    )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


hooks.add_command(
    command(
        "list",
        _list,
        "Show the events that are waiting, oldest first. May run while servers do.",
        [
            as_json,
            click.Option(
                ["--limit"],
                type=click.IntRange(1),
                default=1000,
                show_default=True,
                help="show so many at most",
            ),
        ],
    )
)
hooks.add_command(
    command(
        "retry",
        _retry,
        "Have an event that failed, or was given up, delivered now. May run while servers do.",
        [
            click.Argument(["event"], required=False),
            click.Option(["--all", "everything"], is_flag=True, help="all that failed"),
        ],
    )
)
