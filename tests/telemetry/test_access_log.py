"""Lines of the log in somebody else's program, and how bad each answer is."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from tusd_py.interfaces.occurrences import Answered
from tusd_py.telemetry.access_log import AccessLog
from tusd_py.telemetry.several import observe_all

ANSWERED = Answered(
    method="PATCH",
    path="/files/a",
    status=204,
    code=None,
    duration_s=0.25,
    request_id="r",
    upload_id=None,
    offset=1,
    stored=3,
    received=2,
    first_byte_s=0.1,
)


@pytest.mark.parametrize(
    ("status", "code", "level", "outcome"),
    [
        (204, None, "INFO", "ok"),
        (404, "ERR_UPLOAD_NOT_FOUND", "INFO", "refused"),
        (503, "ERR_STORE_UNAVAILABLE", "WARNING", "failed"),
        (423, "ERR_STORE_UNAVAILABLE", "WARNING", "failed"),
        (507, "ERR_INSUFFICIENT_STORAGE", "WARNING", "failed"),
        (500, "ERR_INTERNAL_SERVER_ERROR", "ERROR", "failed"),
        (423, "ERR_INTERNAL_SERVER_ERROR", "ERROR", "failed"),
        (410, "ERR_UPLOAD_DAMAGED", "WARNING", "refused"),
        (503, "ERR_SERVER_SHUTDOWN", "INFO", "failed"),
    ],
)
def test_a_record_for_each_answer_with_its_level(
    caplog: pytest.LogCaptureFixture, status: int, code: str | None, level: str, outcome: str
) -> None:
    """A fault of ours keeps its level even where a HEAD is told 423 for it."""
    with caplog.at_level(logging.INFO, "tusd_py"):
        observe_all(AccessLog().notes)(replace(ANSWERED, status=status, code=code))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, "ResponseOutgoing")
    fields = vars(record)
    assert (fields["outcome"], fields["code"], fields["status"]) == (outcome, code, status)
    assert (fields["offset"], fields["offset_after"], fields["bytes"]) == (1, 3, 2)
    assert (fields["requestId"], fields["duration_ms"]) == ("r", 250.0)


def test_a_long_path_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Its beginning tells enough."""
    with caplog.at_level(logging.INFO, "tusd_py"):
        observe_all(AccessLog().notes)(replace(ANSWERED, path="/" + "x" * 8000))
    (record,) = caplog.records
    assert vars(record)["path"] == "/" + "x" * 255


def test_nothing_is_made_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else's program logs warnings only, by default."""
    with caplog.at_level(logging.WARNING, "tusd_py"):
        observe_all(AccessLog().notes)(ANSWERED)
    assert caplog.records == []
