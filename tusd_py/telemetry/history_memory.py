"""A history in memory: for tests, and where nothing outlives the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..interfaces.history import Batch, Counts, Period, add_to, steps_of


class MemoryHistory:
    """Implements `History` in the memory of this process."""

    def __init__(self) -> None:
        self._steps: dict[Period, dict[int, dict[str, int]]] = {period: {} for period in Period}
        self._known: set[str] = set()
        self._board: dict[str, tuple[str, float]] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def add(self, batch: Batch, now: float) -> None:
        if batch.id in self._known:
            return
        self._known.add(batch.id)
        for period, steps in self._steps.items():
            for start, counts in steps_of(batch.minutes, period).items():
                add_to(steps.setdefault(start, {}), counts)
            for start in [start for start in steps if start < period.first_of(now)]:
                del steps[start]

    async def read(self, period: Period, now: float) -> Mapping[int, Counts]:
        first = period.first_of(now)
        steps = self._steps[period]
        return {start: dict(counts) for start, counts in steps.items() if start >= first}

    async def post(self, process: str, notice: str, *, until: float) -> None:
        self._board[process] = (notice, until)

    async def board(self, now: float) -> Sequence[str]:
        return [notice for notice, until in self._board.values() if until > now]
