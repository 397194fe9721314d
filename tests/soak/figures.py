"""What a soak looks at, and whether it stayed flat."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import psutil

MIB = 1 << 20

# Memory may differ between two lives of a server by this much without anything leaking: clients
# come back in another order each time.
_MEMORY_SLACK = 1.25
_MEMORY_SLACK_BYTES = 8 * MIB
# Each thread that stores keeps a pipe.
_KEPT_FILES = 2 + 4 * 2
# One for each thread that can be at it when the server is killed.
_HALF_MADE_EACH = 6


@dataclass(kw_only=True)
class Life:
    """One life of the server, from its start to the kill.

    Attributes:
        memory_bytes: resident, at most; `files` and `threads` likewise.
        idle: idle connections, at most.
        running: uploads with a connection of their own, at most.
        completed: uploads that were complete, checked and removed.
        interrupted: connections that ended early, or were told to come later.
    """

    began_s: float
    memory_bytes: int = 0
    files: int = 0
    threads: int = 0
    idle: int = 0
    running: int = 0
    completed: int = 0
    uploaded_bytes: int = 0
    interrupted: int = 0

    def look(self, process: psutil.Process) -> None:
        """Take the present figures of the server into account."""
        with process.oneshot():
            self.memory_bytes = max(self.memory_bytes, process.memory_info().rss)
            self.threads = max(self.threads, process.num_threads())
        self.files = max(self.files, process.num_fds())


@dataclass(kw_only=True)
class Result:
    """What came of a soak.

    Attributes:
        lives: of the server, in order.
        at_rest: the last server, when all uploads had ended and all connections were closed.
        unknown_uploads: uploads on disk that no client knows.
        lost_creations: creations whose answer a kill swallowed: each may be one of those.
        half_made: records that a kill caught before they had their name; the server removes them
            when they are a day old.
        odd_files: files that belong to no upload at all.
        redis_keys: left in Redis for good; None without it.
        broken: promises that were broken.
    """

    seconds: float
    lives: list[Life]
    fresh: Life
    at_rest: Life
    unknown_uploads: int
    lost_creations: int
    half_made: int
    odd_files: list[str]
    redis_keys: int | None
    broken: list[str]

    def troubles(self) -> list[str]:
        """Return, in a sentence each, what was not flat, or wrong."""
        found = list(self.broken)
        if not self._memory_is_flat():
            found.append("memory grows from life to life")
        if len({life.threads for life in self.lives}) > 1:
            found.append("the number of threads changes")
        if self.at_rest.threads > self.fresh.threads:
            found.append("threads are left over")
        if self.at_rest.files > self.fresh.files + _KEPT_FILES:
            found.append(f"{self.at_rest.files - self.fresh.files} descriptors are left over")
        if self.unknown_uploads > self.lost_creations:
            found.append("there are uploads that nobody has created")
        if self.half_made > _HALF_MADE_EACH * (len(self.lives) - 1):
            found.append(f"{self.half_made} half-made records are more than kills can leave")
        if self.odd_files:
            found.append(f"there are files of no upload: {', '.join(self.odd_files[:5])}")
        if self.redis_keys is not None and self.redis_keys > 3 * self.lost_creations + 8:
            found.append(f"{self.redis_keys} keys are left in Redis")
        return found

    def _memory_is_flat(self) -> bool:
        full = [life.memory_bytes for life in self.lives[:-1]] or [self.lives[0].memory_bytes]
        half = len(full) // 2
        if not half:
            return True
        early, late = statistics.median(full[:half]), statistics.median(full[half:])
        return late <= early * _MEMORY_SLACK + _MEMORY_SLACK_BYTES

    def as_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return {**asdict(self), "troubles": self.troubles()}


_COLUMNS = ("life", "at s", "MiB", "files", "threads", "idle", "running", "done", "MB up", "breaks")


def table(result: Result) -> str:
    """Return the figures for people; it is Markdown, too."""
    rows: list[Sequence[object]] = [_COLUMNS, ["---:"] * len(_COLUMNS)]
    named = [(str(n), life) for n, life in enumerate(result.lives, 1)]
    for name, life in [("fresh", result.fresh), *named, ("at rest", result.at_rest)]:
        rows.append(
            (
                *(name, round(life.began_s), round(life.memory_bytes / MIB), life.files),
                *(life.threads, life.idle, life.running, life.completed),
                *(round(life.uploaded_bytes / 1e6), life.interrupted),
            )
        )
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    lines += [
        "",
        f"{result.seconds / 60:.1f} minutes, {len(result.lives) - 1} kills, "
        f"{sum(life.completed for life in result.lives)} uploads completed and compared; "
        f"{result.unknown_uploads} uploads left over "
        f"({result.lost_creations} creations lost their answer), "
        f"{result.half_made} half-made records, {len(result.odd_files)} other files"
        + ("." if result.redis_keys is None else f", {result.redis_keys} keys in Redis."),
        *(f"TROUBLE: {trouble}." for trouble in result.troubles()),
    ]
    if not result.troubles():
        lines.append("Everything is flat, and every byte is right.")
    return "\n".join(lines)
