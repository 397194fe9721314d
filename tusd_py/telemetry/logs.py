"""Logs: every logger of the program through structlog, as text or as one JSON object a line."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import sys
from typing import Any, Literal

import structlog

# A reader of the log that stops reading must not stop the server: beyond this, lines are dropped.
_QUEUE_LINES = 10_000

_OURS = "tusd_py"


class _LossyQueueHandler(logging.handlers.QueueHandler):
    """Hands lines to the writing thread and never waits for it."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Pass the record on as it is: it stays in this process."""
        return record


def set_up_logging(
    log_format: Literal["auto", "text", "json"], *, verbose: bool
) -> logging.handlers.QueueListener:
    """Send all logs to standard error; `stop` of what is returned writes out what is queued."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if as_text
        else [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("event"),
            structlog.processors.JSONRenderer(),
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(formatter)
    lines: queue.Queue[Any] = queue.Queue(_QUEUE_LINES)
    listener = logging.handlers.QueueListener(lines, stream)
    root = logging.getLogger()
    root.handlers[:] = [_LossyQueueHandler(lines)]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.INFO)
    listener.start()
    return listener
