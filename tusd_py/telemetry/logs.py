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
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import structlog

from ..protocol.compact_json import dump_json

# A reader of the log that stops reading must not stop the server: beyond this, lines are dropped.
QUEUE_LINES = 10_000

# So long what is still queued at the end may take; a reader that lives needs far less.
_LAST_LINES_S = 1.0
_LOOK_MS = 50

# Events that come within this time are written together: to wake a thread for each of them would
# cost more than to write it. Records, which are rare, are not kept waiting.
_PAUSE_S = 0.02
_MOST_AT_ONCE = 500

_OURS = "tusd_py"

_LEVELS = {number: logging.getLevelName(number).lower() for number in range(10, 60, 10)}

Fields = Mapping[str, str | int | float | bool | None]


class _Event(NamedTuple):
    """A line that is not worth a log record, of which there may be thousands a second."""

    level: int
    name: str
    fields: Fields
    at: float  # seconds since the epoch


class _LossyQueueHandler(logging.handlers.QueueHandler):
    """Hands lines to the writing thread and never waits for it.

    Args:
        lines: to be written.
        hurry: set when a line should be written at once.
        most: how many lines may wait; more are dropped.

    Attributes:
        dropped: how many lines found no room.
    """

    def __init__(
        self, lines: queue.SimpleQueue[Any], hurry: threading.Event, most: int = QUEUE_LINES
    ) -> None:
        super().__init__(lines)
        self._lines = lines
        self._most = most
        self._hurry = hurry
        self.dropped = 0

    def enqueue(self, record: logging.LogRecord | _Event) -> None:
        if self._lines.qsize() < self._most:
            self._lines.put(record)
        else:
            self.dropped += 1
        if isinstance(record, logging.LogRecord):
            self._hurry.set()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Pass the record on as it is: it stays in this process."""
        return record


class _DescriptorHandler(logging.Handler):
    """Writes lines to a descriptor; to a full pipe as long as it has not been told to give up.

    A thread that hangs in a write would keep the process from ending, so it waits outside.
    """

    def __init__(self, descriptor: int, render: Callable[[_Event], str]) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._render = render
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._deadline = math.inf

    def emit(self, record: logging.LogRecord) -> None:
        self.write([record])

    def write(self, lines: Sequence[logging.LogRecord | _Event]) -> None:
        """Write several lines."""
        text = "".join(f"{self._line(line)}\n" for line in lines)
        with contextlib.suppress(OSError):  # nobody is left to be told
            write_pieces(self._descriptor, text, self._may_write)

    def _line(self, line: logging.LogRecord | _Event) -> str:
        try:
            return self._render(line) if isinstance(line, _Event) else self.format(line)
        except Exception:  # noqa: BLE001 - the thread that writes all other lines must live
            about = line.name if isinstance(line, _Event) else line.msg
            return f"a line about {about!r} could not be written"

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

    def __init__(
        self, lines: queue.SimpleQueue[Any], hurry: threading.Event, output: _DescriptorHandler
    ) -> None:
        self._lines = lines
        self._hurry = hurry
        self._output = output
        self._thread = threading.Thread(target=self._write_all, name="tusd-py-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write out what is queued; what is not read in time is lost."""
        self._output.give_up_at(time.monotonic() + _LAST_LINES_S)
        self._lines.put(None)
        self._hurry.set()
        self._thread.join()

    def _write_all(self) -> None:
        while True:
            lines = [self._lines.get()]
            while lines[-1] is not None and len(lines) < _MOST_AT_ONCE:
                try:
                    lines.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            self._output.write([line for line in lines if line is not None])
            if lines[-1] is None:
                return
            if len(lines) < _MOST_AT_ONCE:
                self._hurry.wait(_PAUSE_S)
                self._hurry.clear()


def log_formatter(log_format: Literal["text", "json"]) -> logging.Formatter:
    """Return what writes our records with their fields, for a handler of somebody else's program.

    The fields are attributes of the records, which formatters of `logging` leave out.
    """
    return _formatter(_rendering(as_text=log_format == "text"))


def _rendering(*, as_text: bool) -> list[Any]:
    if as_text:
        return [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("event"),
        structlog.processors.JSONRenderer(separators=(",", ":")),
    ]


def _formatter(rendered: list[Any]) -> logging.Formatter:
    shared: list[Any] = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), _stamp]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )


def set_up_logging(log_format: Literal["auto", "text", "json"], *, verbose: bool) -> Logging:
    """Send all logs to standard error; `stop` what is returned at the end."""
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    rendered = _rendering(as_text=as_text)
    output = _DescriptorHandler(
        sys.stderr.fileno(), _TextEvents(rendered) if as_text else _json_event
    )
    output.setFormatter(_formatter(rendered))
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()  # the handler sees to its length
    root = logging.getLogger()
    hurry = threading.Event()
    root.handlers[:] = [_LossyQueueHandler(lines, hurry)]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if verbose else logging.INFO)
    return Logging(lines, hurry, output)


class EventLog:
    """Logs what may happen thousands of times a second.

    In our own program such a line takes a short way; in somebody else's it is a log record with
    the fields as attributes, as all others are.

    Args:
        name: of the logger.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._root = logging.getLogger()

    def log(self, level: int, name: str, fields: Fields) -> None:
        """Log an event, unless nobody wants such."""
        if not self._logger.isEnabledFor(level):
            return
        handlers = self._root.handlers
        if handlers and isinstance(handlers[0], _LossyQueueHandler):
            handlers[0].enqueue(_Event(level, name, fields, time.time()))
        else:
            self._logger.log(level, name, extra=fields)

    @property
    def verbose(self) -> bool:
        """Whether details are wanted, too."""
        return self._logger.isEnabledFor(logging.DEBUG)


def _iso(at: float) -> str:
    microseconds = round(at * 1e6)
    return f"{_second(microseconds // 1_000_000)}.{microseconds % 1_000_000:06}Z"


@lru_cache(maxsize=2)  # of the same second there may be thousands of lines
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _stamp(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add when the record was made, not when its line is written."""
    event["timestamp"] = _iso(event["_record"].created)
    return event


def _escape(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let nothing that a client sent do something to the terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = value.encode("unicode_escape").decode("ascii")
    return event


def _json_event(event: _Event) -> str:
    fields = {"event": event.name, "level": _LEVELS[event.level], **event.fields}
    return dump_json({**fields, "timestamp": _iso(event.at)}).decode()


class _TextEvents:
    def __init__(self, rendered: Sequence[Any]) -> None:
        self._rendered = rendered

    def __call__(self, event: _Event) -> str:
        shown: Any = {
            "event": event.name,
            "level": _LEVELS[event.level],
            **{name: value for name, value in event.fields.items() if value is not None},
            "timestamp": _iso(event.at),
        }
        for processor in self._rendered:
            shown = processor(None, "", shown)
        return str(shown)
