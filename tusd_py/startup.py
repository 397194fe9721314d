"""What is worth a warning before the first connection; the server starts all the same.

One look at the machine, without a store or a service. What cannot work at all is no warning:
`wiring.check_stores` and the sockets see to that.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import http_parser

from .config import Settings
from .filesystem.mounts import MOUNTS, is_shared, kind_of

_VOLATILE = frozenset({"tmpfs", "ramfs"})
# Nobody runs a version of this program before it was written: the clock has never been set.
_WRITTEN_AT = 1_750_000_000.0
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an operator should know.

    Attributes:
        event: its name in the log.
        reason: one sentence that says what it means.
    """

    event: str
    reason: str


def look_around(
    settings: Settings,
    *,
    mounts: Path = MOUNTS,
    clock: Callable[[], float] = time.time,
    parser: type = http_parser.HttpRequestParser,
) -> Iterator[Finding]:
    """Find what is odd about the machine; the upload directory exists.

    Args:
        mounts: in the format of /proc/self/mountinfo.
        clock: seconds since the epoch.
        parser: aiohttp's, as it was chosen at import.
    """
    directory = Path(settings.upload_dir).absolute()
    yield from _look_at_parser(parser)
    yield from _look_at_file_system(directory, mounts, shared=settings.redis_url is not None)
    yield from _look_at_permissions(directory)
    yield from _look_at_clock(directory, clock())


def _look_at_parser(parser: type) -> Iterator[Finding]:
    if parser is http_parser.HttpRequestParserPy:
        yield Finding(
            "ParserUnsafe",
            "aiohttp runs on its pure Python parser, which is slower and had most of aiohttp's"
            " security advisories: install its wheel and unset AIOHTTP_NO_EXTENSIONS",
        )


def _look_at_file_system(directory: Path, mounts: Path, *, shared: bool) -> Iterator[Finding]:
    kind = kind_of(directory, mounts)
    if kind in _VOLATILE:
        yield Finding("FileSystemUnsafe", f"uploads are on {kind}: a reboot loses all of them")
    elif kind == "overlay":
        yield Finding(
            "FileSystemUnsafe",
            "uploads are on overlay, the file system of a container: they go when it is removed;"
            " mount a volume",
        )
    elif is_shared(kind) and not shared:
        yield Finding(
            "FileSystemUnsafe",
            f"uploads are on {kind}, which other hosts can write to: only one host may serve"
            " this directory, unless all of them use one --redis-url",
        )


def _look_at_permissions(directory: Path) -> Iterator[Finding]:
    """Whoever can replace a directory on the way can lead uploads to any other place."""
    for place in (directory, *directory.parents):
        found = os.stat(place)
        open_to_all = found.st_mode & stat.S_IWOTH
        # In a directory like /tmp others cannot rename or remove what is ours.
        if open_to_all and (place == directory or not found.st_mode & stat.S_ISVTX):
            yield Finding(
                "PermissionsUnsafe",
                f"every user of this machine can write to {place}, and so to any file that"
                " this server can: chmod o-w",
            )


def _look_at_clock(directory: Path, now: float) -> Iterator[Finding]:
    if now < _WRITTEN_AT or now < os.stat(directory).st_mtime - _DAY_S:
        yield Finding(
            "ClockUnsafe",
            "the clock of this machine is behind: uploads will expire at the wrong time",
        )
