"""A limit of the kernel (cgroup v1) for one process: of its threads, or of its memory."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def available(controller: str) -> bool:
    """Whether limits of that kind can be set here."""
    return os.access(ROOT / controller / "cgroup.procs", os.W_OK)


class Group:
    """One group; processes that are put into it share its limits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def joining(self) -> tuple[str, ...]:
        """What has to stand before a command so that it runs in the group."""
        return ("sh", "-c", f'echo $$ > {self._folder}/cgroup.procs && exec "$@"', "sh")

    def add(self, pid: int) -> None:
        """Put a process with all its threads into it."""
        self.set("cgroup.procs", pid)

    def set(self, name: str, value: int | str) -> None:
        """Set a limit."""
        (self._folder / name).write_text(f"{value}\n")

    def get(self, name: str) -> str:
        """Read a limit or a figure."""
        return (self._folder / name).read_text().strip()


@contextlib.contextmanager
def group(controller: str) -> Iterator[Group]:
    """Have a group for the length of the context; its processes have to end before."""
    folder = ROOT / controller / f"tusd-py-{uuid.uuid4().hex[:12]}"
    folder.mkdir()
    try:
        yield Group(folder)
    finally:
        folder.rmdir()
