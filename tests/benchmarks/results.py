"""Reads the results: rates, and ratios between runs of the same round."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30

Metric = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and most of what the rounds gave."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of some values; None: there are none."""
        found = list(values)
        if not found:
            return None
        return cls(statistics.median(found), min(found), max(found))


def rate(run: Mapping[str, Any]) -> float:
    """Requests per second of small uploads, MB/s of large ones."""
    if "post" in run["workload"]:
        return float(run["requests"] / run["seconds"])
    return float(run["bytes"] / run["seconds"] / 1e6)


def cpu(run: Mapping[str, Any]) -> float:
    """CPU seconds of the server for a GiB, or for 1 000 small uploads."""
    work = run["requests"] / 1000 if "post" in run["workload"] else run["bytes"] / GIB
    return float(run["cpu_s"] / work)


def cpu_of_request(run: Mapping[str, Any]) -> float:
    """CPU seconds of the server for one request."""
    return float(run["cpu_s"] / run["requests"])


def load_share(run: Mapping[str, Any]) -> float:
    """How much of a core the load generator took, in per cent."""
    return float(100 * run["load_cpu_s"] / run["seconds"])


def peak_mb(run: Mapping[str, Any]) -> float:
    """Most memory of any process of the server, in MB."""
    return float(run["peak_bytes"] / 1e6)


def grown_kib(run: Mapping[str, Any]) -> float:
    """Memory for each of the slow uploads, in KiB."""
    return float((run["resident_bytes"] - run["idle_bytes"]) / 1024 / run["uploads"])


def field(name: str) -> Metric:
    """Return the metric that is in the results as it is."""
    return lambda run: float(run[name])


class Results:
    """A results file.

    Args:
        document: its content.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.servers: Mapping[str, Mapping[str, str]] = document["servers"]
        self.runs: list[Mapping[str, Any]] = document["runs"]

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file."""
        return cls(json.loads(path.read_text()))

    def has(self, workload: str) -> bool:
        """Whether a workload was run."""
        return any(run["workload"] == workload for run in self.runs)

    def error(self, workload: str, server: str) -> str | None:
        """Return why a server failed at a workload, if it did."""
        of = (r for r in self.runs if r["workload"] == workload and r["server"] == server)
        return next((run["error"] for run in of if "error" in run), None)

    def by_round(
        self, workload: str, server: str, metric: Metric, connections: int | None = None
    ) -> dict[int, float]:
        """Return what a server reached in each round that it finished."""
        return {
            run["round"]: metric(run)
            for run in self.runs
            if (run["workload"], run["server"]) == (workload, server)
            and run.get("connections") == connections
            and "error" not in run
        }

    def spread(self, workload: str, server: str, metric: Metric) -> Spread | None:
        """Return what a server reached."""
        return Spread.of(self.by_round(workload, server, metric).values())

    def ratio(self, over: tuple[str, str], under: tuple[str, str], metric: Metric) -> Spread | None:
        """Divide, round by round, what one workload and server reached by another's."""
        above, below = self.by_round(*over, metric), self.by_round(*under, metric)
        both = [n for n in above if n in below and below[n] > 0]
        return Spread.of(above[n] / below[n] for n in both)


def headline(run: Mapping[str, Any]) -> str:
    """Return one line about one run, for who waits."""
    at = f" with {run['connections']} connections" if "connections" in run else ""
    text = f"round {run['round']}  {run['workload']}{at}  {run['server']}: "
    if "error" in run:
        return text + f"failed: {run['error']}"
    if run["workload"] == "slow":
        return text + f"HEAD p99 {run['p99_ms']:.1f} ms, {grown_kib(run):.0f} KiB an upload"
    if "post" in run["workload"]:
        return text + f"{rate(run):.0f} requests/s, p99 {run['p99_ms']:.1f} ms"
    return text + f"{rate(run):.0f} MB/s, peak {peak_mb(run):.0f} MB"
