"""What is to be reached, and whether it is: computed from the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .results import (
    Metric,
    Results,
    Spread,
    cpu,
    cpu_of_request,
    field,
    grown_kib,
    peak_mb,
    rate,
)
from .servers import LIMIT, OURS, OURS_ALL_CORES, OURS_REDIS

Measure = Callable[[Results], Spread | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """Something to reach.

    Attributes:
        work: with names of the scale in braces.
        bound: the least that will do, or the most if `at_most`.
    """

    work: str
    compared: str
    bound: float
    measure: Measure
    at_most: bool = False
    unit: str = ""

    def target(self) -> str:
        """Return the bound with its direction."""
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}{self.unit}"

    def reached(self, found: Spread) -> bool:
        """Whether the median is good enough."""
        return found.median <= self.bound if self.at_most else found.median >= self.bound


def _ratio(workload: str, ours: str, other: str, metric: Metric = rate) -> Measure:
    return lambda results: results.ratio((workload, ours), (workload, other), metric)


def _of(workload: str, metric: Metric) -> Measure:
    return lambda results: results.spread(workload, OURS, metric)


def _between(workload: str, other: str, metric: Metric) -> Measure:
    return lambda results: results.ratio((workload, OURS), (other, OURS), metric)


GOALS = (
    Goal(
        work="{size} in one PATCH",
        compared="rate / limit's",
        bound=0.9,
        measure=_ratio("patch", OURS, LIMIT),
    ),
    Goal(
        work="{size} in one PATCH",
        compared="CPU / limit's",
        bound=1.2,
        at_most=True,
        measure=_ratio("patch", OURS, LIMIT, cpu),
    ),
    Goal(
        work="{size} in one PATCH",
        compared="rate / tusd's",
        bound=1.5,
        measure=_ratio("patch", OURS, "tusd"),
    ),
    Goal(
        work="{size} in PATCHes of 8 MiB",
        compared="rate / tusd's",
        bound=1.3,
        measure=_ratio("chunks", OURS, "tusd"),
    ),
    Goal(
        work="small uploads, all cores",
        compared="rate / tusd's",
        bound=2,
        measure=_ratio("post", OURS_ALL_CORES, "tusd"),
    ),
    Goal(
        work="small uploads, all cores",
        compared="rate / @tus/server's",
        bound=5,
        measure=_ratio("post", OURS_ALL_CORES, "node"),
    ),
    Goal(
        work="{many} uploads at once",
        compared="peak memory of a process",
        bound=150,
        unit=" MB",
        at_most=True,
        measure=_of("many", peak_mb),
    ),
    Goal(
        work="{many} uploads at once",
        compared="peak memory of long uploads / of short ones",
        bound=1.1,
        at_most=True,
        measure=_between("many", "many-short", peak_mb),
    ),
    Goal(
        work="{slow} uploads at 1 KiB/s",
        compared="HEAD p99",
        bound=50,
        unit=" ms",
        at_most=True,
        measure=_of("slow", field("p99_ms")),
    ),
    Goal(
        work="{slow} uploads at 1 KiB/s",
        compared="memory of an upload",
        bound=40,
        unit=" KiB",
        at_most=True,
        measure=_of("slow", grown_kib),
    ),
    Goal(
        work="records in Redis",
        compared="CPU of a PATCH / with records in files",
        bound=1.5,
        at_most=True,
        measure=_ratio("records", OURS_REDIS, OURS, cpu_of_request),
    ),
    Goal(
        work="sha256 of every PATCH",
        compared="rate / without",
        bound=0.6,
        measure=_between("checksum", "chunks", rate),
    ),
)
