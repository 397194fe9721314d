"""Logs in the programs of others."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tusd_py import log_formatter
from tusd_py.telemetry.logs import EventLog

NAME = "tusd_py.test_logs"


@pytest.fixture
def lines() -> Iterator[tuple[logging.Handler, io.StringIO]]:
    """A handler as any program has it, and what it writes."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    logger = logging.getLogger(NAME)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler, output
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_fields_are_written_as_json(lines: tuple[logging.Handler, io.StringIO]) -> None:
    """Each record is a JSON object with its fields, its level and its time."""
    handler, output = lines
    handler.setFormatter(log_formatter("json"))
    EventLog(NAME).log(logging.INFO, "UploadFinished", {"id": "abc", "bytes": 5})
    line = json.loads(output.getvalue())
    assert line.pop("timestamp")
    assert line == {"event": "UploadFinished", "level": "info", "id": "abc", "bytes": 5}


def test_fields_are_written_as_text(lines: tuple[logging.Handler, io.StringIO]) -> None:
    """Each record is one line with its fields, whatever a client put into them."""
    handler, output = lines
    handler.setFormatter(log_formatter("text"))
    logging.getLogger(NAME).warning("HookFailed", extra={"reason": "a\nb", "attempts": 3})
    text = output.getvalue()
    assert text.count("\n") == 1
    assert "HookFailed" in text
    assert "attempts=3" in text
