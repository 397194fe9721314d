"""What it costs to watch: ``python -m tests.benchmarks.watching`` prints microseconds.

The occurrences are those of one small upload that comes with its creation, which is the request
that has the most of them for its size.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from tusd_py.interfaces.occurrences import (
    Answered,
    BodyEnded,
    Created,
    Finished,
    Observe,
    Occurrence,
)
from tusd_py.protocol.model import Upload, UploadId
from tusd_py.telemetry.access_log import AccessLog
from tusd_py.telemetry.live import LiveUploads
from tusd_py.telemetry.logs import set_up_logging
from tusd_py.telemetry.metrics import Metrics
from tusd_py.telemetry.several import observe_all

_TIMES = 20_000
_ROUNDS = 5
_UPLOAD = Upload(id=UploadId("0" * 32), length=4096, offset=4096, finished=True)
_POST: Sequence[Occurrence] = (
    Created(upload=_UPLOAD),
    BodyEnded(upload=_UPLOAD, received=4096, duration_s=0.0, cause=None),
    Finished(upload=_UPLOAD, duration_s=0.001),
    Answered(
        method="POST",
        path="/files/",
        status=201,
        code=None,
        duration_s=0.001,
        request_id=None,
        upload_id=_UPLOAD.id,
        offset=None,
        stored=4096,
        received=4096,
        first_byte_s=0.0005,
    ),
)


def cost_us(work: Callable[[], object]) -> float:
    """CPU time of all threads for one call, the best of several rounds."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_TIMES):
            work()
        best = min(best, time.process_time() - began)
    return best / _TIMES * 1e6


def watch(observe: Observe) -> float:
    """CPU time that one watcher takes for one small upload."""

    def one() -> None:
        for occurrence in _POST:
            observe(occurrence)

    return cost_us(one)


def main() -> None:
    """Print the costs."""
    null = os.open(os.devnull, os.O_WRONLY)
    print(f"metrics     {watch(observe_all(Metrics().notes)):6.1f} µs")
    print(f"live uploads{watch(observe_all(LiveUploads().notes)):6.1f} µs")
    terminal = os.dup(2)
    os.dup2(null, 2)
    logging = set_up_logging("json", verbose=False)
    logged = watch(observe_all(AccessLog().notes))
    logging.stop()
    os.dup2(terminal, 2)
    print(f"three lines of the log, written{logged:6.1f} µs")


if __name__ == "__main__":
    main()
