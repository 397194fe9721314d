"""``tusd-py check``: whether all is well with the settings, the machine and the stores."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..config import Settings, SettingsError
from ..interfaces import EventState
from ..protocol.errors import TusError
from ..service.administration import Administration, Filter
from ..service.status import State
from ..startup import look_around
from ..wiring import check_stores, opened_administration
from .operating import Counting, size
from .options import as_json, command

_LITTLE_ROOM = 0.05
_MOST_NAMED = 10
_LOOPBACK = ("127.", "localhost:", "[::1]:")


class Level(enum.StrEnum):
    """How bad it is."""

    GOOD = "good"
    ADVICE = "advice"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at."""

    level: Level
    subject: str
    sentence: str


def _check(settings: Settings, *, as_json: bool) -> int:
    """Print what was found; return 1 if the server would not work, or does not."""
    worst = Level.GOOD
    levels = list(Level)

    directory = settings.upload_dir.absolute()

    async def show() -> None:
        nonlocal worst
        async for remark in _look(settings, directory):
            worst = max(worst, remark.level, key=levels.index)
            print(_json(remark) if as_json else _line(remark), flush=True)

    asyncio.run(show())
    return int(worst is Level.ERROR)


def _json(remark: Remark) -> str:
    return json.dumps(
        {"level": remark.level.value, "subject": remark.subject, "sentence": remark.sentence}
    )


def _line(remark: Remark) -> str:
    return f"{remark.level.value:<8} {remark.subject}: {remark.sentence}"


async def _look(settings: Settings, directory: Path) -> AsyncIterator[Remark]:
    yield Remark(Level.GOOD, "settings", "they can be read, and fit together")
    for sentence in _advise(settings):
        yield Remark(Level.ADVICE, "settings", sentence)
    missing = False
    for remark in _look_at_directory(directory):
        missing = missing or remark.level is Level.ERROR
        yield remark
    if missing:
        return
    for finding in look_around(settings):
        yield Remark(Level.WARNING, "machine", finding.reason)
    warnings = _Warnings()
    try:
        with warnings:
            await check_stores(settings)
            async with opened_administration(settings) as administration:
                async for remark in _look_at_stores(administration):
                    yield remark
    except (SettingsError, TusError, OSError) as error:
        yield Remark(Level.ERROR, "stores", str(error))
    for sentence in warnings.sentences:
        yield Remark(Level.WARNING, "stores", sentence)


def _advise(settings: Settings) -> Iterator[str]:
    if not settings.expire_after:
        yield "unfinished uploads stay for ever: --expire-after 7d removes them"
    if not settings.max_size:
        yield "one upload may fill the disk: --max-size bounds it"
    admin = settings.admin_listen
    if admin is not None and not admin.startswith(_LOOPBACK) and settings.admin_token_file is None:
        yield f"whoever reaches {admin} may remove uploads: --admin-token-file wants a token"
    if settings.behind_proxy and not settings.trusted_proxies:
        yield "every client may say where it comes from: --trusted-proxies names your proxies"


def _look_at_directory(directory: Path) -> Iterator[Remark]:
    if not directory.is_dir():
        yield Remark(Level.ERROR, "directory", f"there is no {directory}; serve makes it")
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield Remark(
            Level.ERROR, "directory", f"this user ({os.geteuid()}) may not write to {directory}"
        )
        return
    if os.stat(directory).st_uid != os.geteuid():
        yield Remark(
            Level.ADVICE,
            "directory",
            f"{directory} belongs to another user: run commands as the one that the server runs as",
        )
    usage = shutil.disk_usage(directory)
    room = f"{size(usage.free)} of {size(usage.total)} are free in {directory}"
    little = usage.free < usage.total * _LITTLE_ROOM
    yield Remark(Level.WARNING if little else Level.GOOD, "directory", room)


async def _look_at_stores(administration: Administration) -> AsyncIterator[Remark]:
    sums: dict[State, int] = {}
    damaged: list[str] = []
    with Counting("uploads looked at") as counting:
        async for status in administration.every(Filter()):
            counting.step()
            sums[status.state] = sums.get(status.state, 0) + 1
            # With Redis only a look at the bytes tells that there are none.
            if status.state is State.FAILED or (status.offset and status.updated_at is None):
                damaged.append(status.id)
    counted = ", ".join(f"{sums[state]} {state.value}" for state in State if state in sums)
    yield Remark(Level.GOOD, "uploads", counted or "there are none")
    if damaged:
        named = " ".join(damaged[:_MOST_NAMED]) + (" ..." if damaged[_MOST_NAMED:] else "")
        yield Remark(
            Level.ERROR,
            "uploads",
            f"bytes or records of {len(damaged)} are missing, so they cannot be continued;"
            f" remove them with rm: {named}",
        )
    counts = await administration.event_counts()
    if given_up := counts.get(EventState.GIVEN_UP, 0):
        yield Remark(
            Level.WARNING,
            "hooks",
            f"{given_up} events could not be delivered: see hooks list, then hooks retry --all",
        )


class _Warnings(logging.Handler):
    """Collects what the stores warn of when they are opened, inside ``with``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: list[str] = []
        self._log = logging.getLogger("tusd_py")

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        self.sentences.append(str(getattr(record, "reason", record.getMessage())))

    def __enter__(self) -> None:
        """Begin to."""
        self._log.addHandler(self)

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._log.removeHandler(self)


check = command(
    "check",
    _check,
    "Look at settings, machine and stores, and say what is wrong and what could be better. "
    "Takes the options of serve, and may run while servers do. Ends with 1 if there is an error.",
    [as_json],
)
