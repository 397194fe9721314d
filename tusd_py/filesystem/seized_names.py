"""The names of data files that were taken away from a writer: ``<id>,<fence>-<random>``.

No upload id has a comma, so nothing else has such a name, and the random part keeps two holders
apart whom a split brain gave the same fence. See docs/explanation/redis.md.
"""

from __future__ import annotations

import contextlib
import os
import secrets

UNFINISHED = "~"  # at the end of the name of a copy that is still being made
_COMMA = ","


def seized_path(path: str, fence: int) -> str:
    """Return a name that nobody had before, for the bytes that are at `path`."""
    return f"{plain_path(path)}{_COMMA}{fence}-{secrets.token_hex(4)}"


def plain_path(path: str) -> str:
    """Return the path that the bytes had before anybody seized them."""
    folder, name = os.path.split(path)
    return os.path.join(folder, name.partition(_COMMA)[0])


def is_seized_name(name: str) -> bool:
    """Whether only a seizure can have given that name."""
    return _COMMA in name and not name.startswith(".")


def newest_seized(path: str) -> str | None:
    """Return the name under which the bytes at `path` were seized last, if they ever were."""
    folder, name = os.path.split(plain_path(path))
    prefix = name + _COMMA
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = [
            (fence_of(entry.name), entry.path)
            for entry in os.scandir(folder)
            if entry.name.startswith(prefix) and not entry.name.endswith(UNFINISHED)
        ]
        return max(found)[1] if found else None
    return None


def fence_of(path: str) -> int:
    """Return the fence in a name that a seizure has given; -1 in any other."""
    fence = path.rpartition(_COMMA)[2].partition("-")[0]
    return int(fence) if fence.isdecimal() else -1
