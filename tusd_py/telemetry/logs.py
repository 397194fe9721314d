"""Logs: every logger of the program through structlog, as text or as one JSON object a line."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import math
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import structlog

# A reader of the log that stops reading must not stop the server: beyond this, lines are dropped.
QUEUE_LINES = 10_000

# So long what is still queued at the end may take; a reader that lives needs far less.
_LAST_LINES_S = 1.0
_LOOK_MS = 50

_OURS = "tusd_py"


class _LossyQueueHandler(logging.handlers.QueueHandler):
    """Hands lines to the writing thread and never waits for it.

    Attributes:
        dropped: how many lines found no room.
    """

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Pass the record on as it is: it stays in this process."""
        return record


class _DescriptorHandler(logging.Handler):
    """Writes lines to a descriptor; to a full pipe as long as it has not been told to give up.

    A thread that hangs in a write would keep the process from ending, so it waits outside.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._deadline = math.inf

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the thread that writes all other lines must live
            line = f"a line about {record.msg!r} could not be written"
        with contextlib.suppress(OSError):  # nobody is left to be told
            write_pieces(self._descriptor, line + "\n", self._may_write)

    def give_up_at(self, deadline: float) -> None:
        """From then on write nothing that would have to wait."""
        self._deadline = deadline

    def _may_write(self) -> bool:
        while not self._poll.poll(_LOOK_MS if time.monotonic() < self._deadline else 0):
            if time.monotonic() >= self._deadline:
                return False
        return True


def dropped_lines() -> int:
    """Return how many lines of this process's log nobody read in time."""
    handlers = logging.getLogger().handlers
    return sum(one.dropped for one in handlers if isinstance(one, _LossyQueueHandler))


def write_pieces(descriptor: int, text: str, may_write: Callable[[], bool]) -> None:
    """Write text in pieces, each of which a pipe that can be written to takes at once."""
    data = text.encode("utf-8", "backslashreplace")
    for start in range(0, len(data), select.PIPE_BUF):
        if not may_write():
            return
        os.write(descriptor, data[start : start + select.PIPE_BUF])


def write_if_read(text: str) -> None:
    """Write to standard error, unless it is a pipe that nobody empties."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    with contextlib.suppress(OSError):
        write_pieces(2, text, lambda: bool(poll.poll(0)))


class Logging:
    """The thread that writes the logs."""

    def __init__(self, lines: queue.Queue[Any], output: _DescriptorHandler) -> None:
        self._lines = lines
        self._output = output
        self._thread = threading.Thread(target=self._write_all, name="tusd-py-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write out what is queued; what is not read in time is lost."""
        self._output.give_up_at(time.monotonic() + _LAST_LINES_S)
        self._lines.put(None)  # a full queue has room again when the thread gives up
        self._thread.join()

    def _write_all(self) -> None:
        while (record := self._lines.get()) is not None:
            self._output.handle(record)


def set_up_logging(log_format: Literal["auto", "text", "json"], *, verbose: bool) -> Logging:
    """Send all logs to standard error; `stop` what is returned at the end."""
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
    output = _DescriptorHandler(sys.stderr.fileno())
    output.setFormatter(formatter)
    lines: queue.Queue[Any] = queue.Queue(QUEUE_LINES)
    root = logging.getLogger()
    root.handlers[:] = [_LossyQueueHandler(lines)]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.INFO)
    return Logging(lines, output)
