"""The cells as Prometheus wants them; the library knows its formats."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .cells import Cells, Kind
from .cells import Metric as Counted

_TOTAL = "_total"


class _CellsCollector(Collector):
    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def collect(self) -> Iterator[Metric]:
        for metric in self._cells.layout.metrics:
            yield self._histogram(metric) if metric.kind is Kind.HISTOGRAM else self._plain(metric)

    def _plain(self, metric: Counted) -> Metric:
        family = _family(metric)
        for labels, at in self._cells.layout.cells(metric):
            family.add_metric(labels, self._cells.total(at, metric.kind))
        return family

    def _histogram(self, metric: Counted) -> Metric:
        family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        ends = [*(repr(bound) for bound in metric.bounds), "+Inf"]
        for labels, at in self._cells.layout.cells(metric):
            counts = (self._cells.total(at + n, metric.kind) for n in range(len(ends)))
            total = self._cells.total(at + len(ends), metric.kind)
            family.add_metric(
                labels, list(zip(ends, itertools.accumulate(counts), strict=True)), total
            )
        return family


def _family(
    metric: Counted,
) -> CounterMetricFamily | GaugeMetricFamily | UnknownMetricFamily:
    if metric.kind is not Kind.COUNTER:
        return GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    if metric.name.endswith(_TOTAL):
        return CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    # The library would add the end that some of tusd's names lack; without a type it does not.
    return UnknownMetricFamily(metric.name, metric.text, labels=metric.labels)


class Exposition:
    """Renders the numbers of all processes.

    Args:
        cells: of this process, which shows those of its siblings, too.
    """

    def __init__(self, cells: Cells) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_CellsCollector(cells))
        if cells.alone:  # else they would be those of whichever worker is asked
            ProcessCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, as the header Accept wants it. This takes a while.

        Raises:
            OSError: /proc cannot be read.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
