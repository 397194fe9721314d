"""What the history says of a period."""

from __future__ import annotations

from tusd_py.interfaces.history import Period
from tusd_py.service.statistics import Statistics

NOW = 1_700_002_830.0
MINUTE = 1_700_002_800


def test_an_empty_period_has_every_step_and_no_rate() -> None:
    """Zero of zero is neither success nor failure."""
    shown = Statistics.of(Period.HOUR, {}, NOW).as_json()
    assert (shown["success_rate"], shown["bytes_per_s"]) == (None, 0.0)
    steps = shown["steps"]
    assert isinstance(steps, list)
    assert len(steps) == 60
    assert (steps[0]["at"], steps[-1]["at"]) == (MINUTE - 59 * 60, MINUTE)


def test_success_is_the_share_of_those_that_came_to_an_end() -> None:
    """Those under way, and those removed after their finish, have no say."""
    found = {
        MINUTE: {"created": 9, "finished": 2, "expired": 1, "deleted": 2},
        MINUTE - 60: {"finished": 4, "cancelled": 1, "retired": 3},
    }
    statistics = Statistics.of(Period.HOUR, found, NOW)
    assert statistics.success_rate == 6 / 8


def test_sums_are_those_of_the_steps() -> None:
    """By cause, by size, by duration; means from exact sums."""
    counts = {
        "bytes": 3570,
        "finished": 2,
        "size:0": 1,
        "size:6": 1,
        "size-sum": 1000,
        "duration:0": 1,
        "duration-sum-ms": 500,
        "interrupted:ERR_A": 1,
        "interrupted:ERR_B": 2,
        "refused:ERR_C": 1,
        "hook-errors:post-finish": 1,
    }
    shown = Statistics.of(Period.HOUR, {MINUTE: counts, MINUTE - 120: counts}, NOW).as_json()
    totals = shown["totals"]
    assert isinstance(totals, dict)
    assert (totals["finished"], totals["bytes"], totals["created"]) == (4, 7140, 0)
    assert shown["bytes_per_s"] == 7140 / 3570
    assert shown["interrupted"] == {"ERR_B": 4, "ERR_A": 2}
    assert (shown["refused"], shown["hook_errors"]) == ({"ERR_C": 2}, {"post-finish": 2})
    assert shown["sizes"] == {
        "up_to_bytes": tuple(1024**2 * n for n in (1, 10, 100, 1024, 10240, 102400)),
        "uploads": [2, 0, 0, 0, 0, 0, 2],
        "mean_bytes": 500,
    }
    assert shown["durations"] == {
        "up_to_s": (1, 10, 60, 600, 3600, 86400),
        "uploads": [2, 0, 0, 0, 0, 0, 0],
        "mean_s": 0.5,
    }
    steps = shown["steps"]
    assert isinstance(steps, list)
    assert [step["interrupted"] for step in steps[-3:]] == [3, 0, 3]
