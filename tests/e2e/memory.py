"""Watches how much memory a server takes while it works."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.server import Server

_EVERY_S = 0.01


@dataclass(kw_only=True, slots=True)
class Memory:
    """Resident memory of a server, in bytes: at first, and at most."""

    first: int
    peak: int

    @property
    def grown(self) -> int:
        """By how much it grew."""
        return self.peak - self.first


@contextlib.contextmanager
def watched(server: Server) -> Iterator[Memory]:
    """Sample the memory of a server for the length of the context."""
    first = server.resident_bytes()
    memory = Memory(first=first, peak=first)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            memory.peak = max(memory.peak, server.resident_bytes())

    thread = threading.Thread(target=watch, name="memory watch")
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()
        memory.peak = max(memory.peak, server.resident_bytes())
