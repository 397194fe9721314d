"""Counting: labels that are known beforehand, rows of several processes, gauges of the dead."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace

import pytest

from tusd_py.interfaces import HookType
from tusd_py.interfaces.occurrences import BodyBegun, BodyEnded, Claimed, HookCalled
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.telemetry import logs
from tusd_py.telemetry.catalogue import CATALOGUE, LAYOUT
from tusd_py.telemetry.cells import Cells, Kind
from tusd_py.telemetry.exposition import Exposition
from tusd_py.telemetry.metrics import MOST_INTERRUPTED, Metrics
from tusd_py.telemetry.sampling import growth
from tusd_py.telemetry.several import observe_all

from .test_access_log import ANSWERED


def value(cells: Cells, name: str, *labels: str) -> float:
    """One number, of all processes together."""
    kind = next(metric.kind for metric in CATALOGUE if metric.name == name)
    return cells.total(LAYOUT.cell(name, *labels), kind)


def test_no_label_comes_from_a_client() -> None:
    """Methods and codes that are not known are counted together, and no series is added."""
    metrics = Metrics()
    before = Exposition(metrics.cells).render("")[0].count(b"\n")
    for n in range(100):
        observe_all(metrics.notes)(
            replace(ANSWERED, method=f"M{n}", code=f"ERR_{n}", status=400 + n)
        )
    page = Exposition(metrics.cells).render("")[0]
    assert page.count(b"\n") == before
    assert value(metrics.cells, "tusd_requests_total", "other") == 100
    assert value(metrics.cells, "tusd_errors_total", "other", "other") == 100


def test_every_cell_belongs_to_one_number() -> None:
    """No two children share a cell, and none is left over."""
    taken: list[int] = []
    for metric in CATALOGUE:
        for _, at in LAYOUT.cells(metric):
            taken += range(at, at + metric.width)
    assert taken == list(range(LAYOUT.size))
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)


def test_rows_are_summed_and_the_dead_have_no_gauges() -> None:
    """Counters of a dead process stay; what it had at the moment is gone; shared ones are one."""
    cells = Cells(LAYOUT, 2)
    for row in range(2):
        cells.become(row)
        metrics = Metrics(cells)
        observe_all(metrics.notes)(ANSWERED)
        metrics.set("tusd_connections_open", 3 + row)
        metrics.set("tusd_py_disk_free_bytes", 1000 + row)
    assert value(cells, "tusd_requests_total", "PATCH") == 2
    assert value(cells, "tusd_connections_open") == 7
    assert value(cells, "tusd_py_disk_free_bytes") == 1001
    cells.bury(1)
    assert value(cells, "tusd_requests_total", "PATCH") == 2
    assert value(cells, "tusd_connections_open") == 3
    assert value(cells, "tusd_py_disk_free_bytes") == 1000


@pytest.mark.parametrize(("seconds", "bucket"), [(0.001, 1), (0.0011, 2), (0.0, 0), (1e9, -2)])
def test_a_value_is_in_the_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    """Upper ends belong to their bucket, as with Prometheus; beyond all is +Inf."""
    metrics = Metrics()
    observe_all(metrics.notes)(Claimed(upload_id=UploadId("a"), wait_s=seconds, granted=True))
    start = LAYOUT.cell("tusd_py_claim_wait_seconds", "yes")
    width = next(m.width for m in CATALOGUE if m.name == "tusd_py_claim_wait_seconds")
    row = list(metrics.cells.own[start : start + width])
    assert row[-1] == seconds
    assert row[bucket] == 1
    assert sum(row[:-1]) == 1


def test_hooks_are_counted_by_their_type() -> None:
    """Each call, and each failure."""
    metrics = Metrics()
    for error in (None, "ValueError"):
        observe_all(metrics.notes)(
            HookCalled(type=HookType.PRE_CREATE, receiver="", duration_s=0.1, error=error)
        )
    assert value(metrics.cells, "tusd_hook_invocations_total", "pre-create") == 2
    assert value(metrics.cells, "tusd_hook_errors_total", "pre-create") == 1


def test_what_is_remembered_of_interrupted_uploads_is_bounded() -> None:
    """The oldest are forgotten; the newest are known when they go on."""
    metrics = Metrics()
    uploads = [Upload(id=UploadId(f"{n:032x}"), length=9) for n in range(MOST_INTERRUPTED + 1)]
    for upload in uploads:
        observe_all(metrics.notes)(
            BodyEnded(upload=upload, received=1, duration_s=1.0, cause="ERR_X")
        )
    assert len(metrics._interrupted) == MOST_INTERRUPTED
    for upload in (uploads[0], uploads[-1]):
        observe_all(metrics.notes)(BodyBegun(upload=upload, received=lambda: 0))
    assert value(metrics.cells, "tusd_py_resumptions_total") == 1
    assert value(metrics.cells, "tusd_py_bodies_total", "other") == MOST_INTERRUPTED + 1


def test_lines_that_find_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody waits for room."""
    handler = logs._LossyQueueHandler(queue.SimpleQueue(), threading.Event(), most=2)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    metrics = Metrics()
    look = growth(metrics, "tusd_py_log_lines_dropped_total", logs.dropped_lines)
    for _ in range(5):
        logging.getLogger().warning("a line")
    look()
    look()
    assert value(metrics.cells, "tusd_py_log_lines_dropped_total") == 3


def test_a_kind_for_each_way_to_sum() -> None:
    """Gauges that all processes see alike are not added up."""
    shared = {metric.name for metric in CATALOGUE if metric.kind is Kind.SHARED}
    assert shared == {"tusd_py_outbox_events", "tusd_py_disk_free_bytes"}
