"""All metrics there are: tusd's by their names, and ours. The reference page is made of this.

No label comes from a client: methods and codes that are not known beforehand are ``other``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..interfaces import HookType
from ..interfaces.outbox import EventState
from ..protocol import errors
from .cells import Kind, Layout, Metric

OTHER: Final = "other"
OK: Final = "ok"
METHODS: Final = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", OTHER)
CLAIM_EVENTS: Final = ("waits", "hand_overs", "fenced", "lost", "seized", "rebuilt")
LANES: Final = ("short", "long")

_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SLOW = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_TIMES = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
_KIB = 1024.0
_SIZES = tuple(size * _KIB for size in (1, 16, 64, 1024, 8 * 1024, 64 * 1024, 512 * 1024)) + tuple(
    size * _KIB**3 for size in (1, 4, 16, 64, 256, 1024)
)
_SPEEDS = tuple(size * _KIB for size in (16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576))


def _errors() -> Iterator[tuple[str, str]]:
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.TusError):
            yield str(value.status), value.code


ERRORS: Final = (*dict.fromkeys(sorted(_errors())), (OTHER, OTHER))
CODES: Final = tuple(dict.fromkeys(sorted(code for _, code in ERRORS)))

_HOOKS = tuple((hook.value,) for hook in HookType)
_HIST, _GAUGE, _SHARED = Kind.HISTOGRAM, Kind.GAUGE, Kind.SHARED


def _each(values: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple((value,) for value in values)


def _histogram(
    name: str, text: str, bounds: tuple[float, ...], **labels: tuple[str, ...]
) -> Metric:
    children = _each(next(iter(labels.values()))) if labels else ((),)
    return Metric(name, text, _HIST, tuple(labels), children, bounds)


CATALOGUE: Final = (
    # --- tusd's
    Metric(
        "tusd_requests_total",
        "Requests by effective method",
        labels=("method",),
        children=_each(METHODS),
    ),
    Metric(
        "tusd_errors_total",
        "Requests that were refused or failed, by the error they were told",
        labels=("status", "code"),
        children=ERRORS,
    ),
    Metric("tusd_bytes_received", "Bytes of bodies that came, kept or not"),
    Metric("tusd_uploads_created", "Uploads that were created, partial ones too"),
    Metric("tusd_uploads_finished", "Uploads that were finished, partial ones too"),
    Metric("tusd_uploads_terminated", "Uploads that a client or the application removed"),
    Metric("tusd_connections_open", "Connections that are open", _GAUGE),
    Metric("tusd_hook_invocations_total", "Calls of hooks", labels=("hooktype",), children=_HOOKS),
    Metric(
        "tusd_hook_errors_total",
        "Calls of hooks that failed; a refusal is no failure",
        labels=("hooktype",),
        children=_HOOKS,
    ),
    # --- requests
    _histogram(
        "tusd_py_request_duration_seconds",
        "From the head of a request to the end of its answer",
        (*_FAST, 60.0, 300.0, 3600.0),
        method=METHODS,
    ),
    _histogram(
        "tusd_py_first_byte_seconds",
        "From the head of a request to the first byte of its body",
        _FAST,
    ),
    # --- uploads
    _histogram(
        "tusd_py_upload_duration_seconds", "From the creation of an upload to its end", _SLOW
    ),
    _histogram("tusd_py_upload_size_bytes", "Bytes of finished uploads", _SIZES),
    _histogram("tusd_py_body_speed_bytes", "Bytes a second of bodies, on average", _SPEEDS),
    _histogram(
        "tusd_py_upload_resumptions",
        "How often a finished upload had been cut short, as far as its last process knows",
        _TIMES,
    ),
    Metric("tusd_py_bodies_running", "Bodies that are being received", _GAUGE),
    Metric(
        "tusd_py_bodies_total",
        "Bodies that ended, by the error that ended them or ok",
        labels=("outcome",),
        children=_each((OK, *CODES)),
    ),
    Metric("tusd_py_resumptions_total", "Uploads that went on after they had been cut short"),
    Metric(
        "tusd_py_uploads_cancelled_total", "Uploads that were removed before they were finished"
    ),
    Metric(
        "tusd_py_uploads_expired_total", "Uploads that were removed because their time was over"
    ),
    Metric("tusd_py_checksum_mismatches_total", "Bodies that were not what their checksum said"),
    # --- claims
    _histogram(
        "tusd_py_claim_wait_seconds",
        "How long requests waited for an upload, by whether they got it",
        _FAST,
        granted=("yes", "no"),
    ),
    Metric(
        "tusd_py_hand_overs_total",
        "Bodies that were ended because another request wanted the upload",
    ),
    Metric(
        "tusd_py_redis_claims_total",
        "What happened with claims between nodes",
        labels=("event",),
        children=_each(CLAIM_EVENTS),
    ),
    # --- what we depend on
    _histogram(
        "tusd_py_hook_duration_seconds",
        "How long hooks took",
        _FAST,
        hooktype=tuple(hook.value for hook in HookType),
    ),
    _histogram(
        "tusd_py_file_work_seconds", "How long work on files took, by lane", _FAST, lane=LANES
    ),
    Metric(
        "tusd_py_file_queue_jobs",
        "Work on files that waits or runs, by lane",
        _GAUGE,
        ("lane",),
        _each(LANES),
    ),
    _histogram("tusd_py_redis_seconds", "How long answers of Redis took", _FAST),
    Metric(
        "tusd_py_outbox_events",
        "Events in the outbox",
        _SHARED,
        ("state",),
        _each(tuple(state.value for state in EventState)),
    ),
    Metric("tusd_py_disk_free_bytes", "What is free on the volume of the uploads", _SHARED),
    # --- the process
    _histogram("tusd_py_loop_lag_seconds", "How late timers of the event loop were", _FAST),
    Metric("tusd_py_log_lines_dropped_total", "Lines of the log that nobody read in time"),
    Metric("tusd_py_workers", "Processes that serve", _GAUGE),
)

LAYOUT: Final = Layout(CATALOGUE)
