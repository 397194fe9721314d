"""How many connections each of several workers has."""

from __future__ import annotations

import mmap

_BYTES_EACH = 8
_DEAD = (1 << 63) - 1


class Shares:
    """A number for each worker, in memory that all of them see; made before they are forked.

    Args:
        workers: how many there are.
    """

    def __init__(self, workers: int) -> None:
        self._open = memoryview(mmap.mmap(-1, _BYTES_EACH * workers)).cast("q")
        self._mine = 0
        for worker in range(workers):
            self.bury(worker)  # until it lives

    def become(self, worker: int) -> None:
        """Be that worker; others leave connections to it once it has told how many it has."""
        self._mine = worker

    def note(self, connections: int) -> None:
        """Tell how many connections this worker has now."""
        self._open[self._mine] = connections

    def bury(self, worker: int) -> None:
        """Let nobody leave connections to a worker that has died."""
        self._open[worker] = _DEAD

    def is_ahead(self, connections: int) -> bool:
        """Whether some other worker has clearly fewer than so many."""
        others = (open_ for worker, open_ in enumerate(self._open) if worker != self._mine)
        least = min(others, default=_DEAD)
        return connections > least + 2 + least // 4
