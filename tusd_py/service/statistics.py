"""What the recorded history says of a period; pure. docs/explanation/statistics.md defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..interfaces import history as names
from ..interfaces.history import Counts, Period, add_to

# What the charts show of each step.
_SERIES = (
    names.CREATED,
    names.FINISHED,
    names.CANCELLED,
    names.EXPIRED,
    names.RESUMED,
    names.BYTES,
)
_TOTALS = (
    *_SERIES,
    names.DELETED,
    names.RETIRED,
    names.BODIES,
    names.REQUESTS,
    names.LOST,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The sums of a period, and of each of its steps.

    Attributes:
        now: when it was asked for; seconds since the epoch.
        steps: counts by the beginning of each step, oldest first, none left out.
    """

    period: Period
    now: float
    steps: Mapping[int, Counts]
    sums: Counts

    @classmethod
    def of(cls, period: Period, found: Mapping[int, Counts], now: float) -> Statistics:
        """Return the statistics of what a history has of the period."""
        first = period.first_of(now)
        starts = range(first, first + period.steps * period.step_s, period.step_s)
        steps = {start: found.get(start, {}) for start in starts}
        sums: dict[str, int] = {}
        for counts in steps.values():
            add_to(sums, counts)
        return cls(period=period, now=now, steps=steps, sums=sums)

    @property
    def success_rate(self) -> float | None:
        """The share of uploads that were finished, of all that came to an end; None: none did."""
        ended = sum(map(self._sum, (names.FINISHED, names.CANCELLED, names.EXPIRED)))
        return self._sum(names.FINISHED) / ended if ended else None

    @property
    def bytes_per_s(self) -> float:
        """What came on average over the whole period, up to now."""
        elapsed_s = self.now - self.period.first_of(self.now)
        return self._sum(names.BYTES) / elapsed_s if elapsed_s > 0 else 0.0

    def by(self, prefix: str) -> dict[str, int]:
        """Return sums by what a name tells apart, most first."""
        found = {
            name.removeprefix(prefix): count
            for name, count in self.sums.items()
            if name.startswith(prefix)
        }
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def as_json(self) -> dict[str, object]:
        """Return what the API shows."""
        finished = self._sum(names.FINISHED)
        sizes = self._bins(names.SIZE, names.SIZES)
        durations = self._bins(names.DURATION, names.DURATIONS_S)
        timed = sum(durations)
        return {
            "period": self.period.label,
            "step_s": self.period.step_s,
            "from": self.period.first_of(self.now),
            "now": self.now,
            "totals": {name: self._sum(name) for name in _TOTALS},
            "success_rate": self.success_rate,
            "bytes_per_s": self.bytes_per_s,
            "interrupted": self.by(names.INTERRUPTED),
            "refused": self.by(names.REFUSED),
            "hook_errors": self.by(names.HOOK_ERRORS),
            "sizes": {
                "up_to_bytes": names.SIZES,
                "uploads": sizes,
                "mean_bytes": self._sum(names.SIZE_SUM) / finished if finished else None,
            },
            "durations": {
                "up_to_s": names.DURATIONS_S,
                "uploads": durations,
                "mean_s": self._sum(names.DURATION_SUM_MS) / 1000 / timed if timed else None,
            },
            "steps": [
                {
                    "at": start,
                    **{name: counts.get(name, 0) for name in _SERIES},
                    "interrupted": sum(
                        count
                        for name, count in counts.items()
                        if name.startswith(names.INTERRUPTED)
                    ),
                }
                for start, counts in self.steps.items()
            ],
        }

    def _sum(self, name: str) -> int:
        return self.sums.get(name, 0)

    def _bins(self, prefix: str, bounds: tuple[int, ...]) -> list[int]:
        return [self._sum(f"{prefix}{i}") for i in range(len(bounds) + 1)]
