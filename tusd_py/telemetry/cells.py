"""Counting: every number of every metric has its cell, in memory that the workers share.

To count costs one addition. All labels are known beforehand, so nothing is ever allocated; each
process writes to its own row only, so nothing is locked; and a row outlives the process that
wrote it, so what a worker had counted before it was killed is still there.
"""

from __future__ import annotations

import itertools
import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

_CELL_BYTES = 8


class Kind(Enum):
    """How the numbers of several processes become one."""

    COUNTER = "counter"  # only grows; the sum
    GAUGE = "gauge"  # each process has its share; the sum
    SHARED = "shared gauge"  # all processes look at the same thing; the largest
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted.

    Attributes:
        name: as Prometheus shows it.
        text: one sentence.
        labels: the name of each label.
        children: the values of the labels, for all combinations there are.
        bounds: upper ends of the buckets of a histogram.
    """

    name: str
    text: str
    kind: Kind = Kind.COUNTER
    labels: tuple[str, ...] = ()
    children: tuple[tuple[str, ...], ...] = ((),)
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Cells of each child: of a histogram one for each bucket, one beyond them, the sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


class Layout:
    """Where the cells of each metric are."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        starts = itertools.accumulate((len(m.children) * m.width for m in metrics), initial=0)
        self._starts = {metric.name: at for metric, at in zip(metrics, starts, strict=False)}
        self.size = sum(len(metric.children) * metric.width for metric in metrics)
        self._by_name = {metric.name: metric for metric in metrics}

    def cell(self, name: str, *labels: str) -> int:
        """Return the index of a child's (first) cell."""
        metric = self._by_name[name]
        return self._starts[name] + metric.children.index(labels) * metric.width

    def cells(self, metric: Metric) -> Iterator[tuple[tuple[str, ...], int]]:
        """Iterate over the labels of a metric's children and their (first) cells."""
        start = self._starts[metric.name]
        for n, labels in enumerate(metric.children):
            yield labels, start + n * metric.width


class Cells:
    """The numbers of one process, and sight of those of its siblings.

    Args:
        layout: where is what.
        rows: how many processes there are; those to be forked share the memory.
    """

    def __init__(self, layout: Layout, rows: int = 1) -> None:
        self.layout = layout
        self._memory = memoryview(mmap.mmap(-1, rows * layout.size * _CELL_BYTES)).cast("d")
        self._rows = rows
        self.own = self._row(0)

    def _row(self, number: int) -> memoryview[float]:
        size = self.layout.size
        return self._memory[number * size : (number + 1) * size]

    def become(self, number: int) -> None:
        """Count in that row from now on: this is the process it belongs to."""
        self.own = self._row(number)

    @property
    def alone(self) -> bool:
        """Whether there is only one process."""
        return self._rows == 1

    def bury(self, number: int) -> None:
        """Forget what the process of that row has now, for it died; what it did stays."""
        row = self._row(number)
        for metric in self.layout.metrics:
            if metric.kind in (Kind.GAUGE, Kind.SHARED):
                for _, at in self.layout.cells(metric):
                    row[at] = 0.0

    def total(self, at: int, kind: Kind) -> float:
        """Return the number of all processes."""
        numbers = self._memory[at :: self.layout.size]
        return max(numbers) if kind is Kind.SHARED else sum(numbers)


class Buckets:
    """One histogram, bound to its cells."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum")

    def __init__(self, cells: Cells, name: str, *labels: str) -> None:
        self._cells = cells.own
        self._at = cells.layout.cell(name, *labels)
        self._bounds = next(m.bounds for m in cells.layout.metrics if m.name == name)
        self._sum = self._at + len(self._bounds) + 1

    def note(self, value: float) -> None:
        """Count a value."""
        cells = self._cells
        cells[self._at + bisect_left(self._bounds, value)] += 1.0
        cells[self._sum] += value
