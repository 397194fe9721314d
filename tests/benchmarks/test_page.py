"""The page about speed says what its results file says."""

from __future__ import annotations

from typing import Any

import pytest

from .chart import draw, points
from .goals import GOALS
from .page import CHART, DATA, PAGE, fill
from .report import number, render
from .results import Results, Spread, rate
from .servers import LIMIT, OURS


def run(workload: str, server: str, number: int, megabytes: float, **more: Any) -> dict[str, Any]:
    """Return a measurement of one second."""
    facts: dict[str, Any] = {
        "workload": workload,
        "server": server,
        "round": number,
        "seconds": 1.0,
        "requests": 1,
        "bytes": int(megabytes * 1e6),
        "cpu_s": 0.5,
        "load_cpu_s": 0.25,
        "peak_bytes": 50_000_000,
    }
    return facts | more


def results(*runs: dict[str, Any]) -> Results:
    """Return results of a small run."""
    facts = {"version": "1", "durability": "none", "processes": "1"}
    names = {OURS: "tusd-py", "tusd": "tusd", LIMIT: "limit"}
    return Results(
        {
            "date": "2026-01-01",
            "machine": {
                "cpu": "a",
                "cores": 2,
                "memory_gib": 1,
                "system": "b",
                "python": "c",
                "file_system": "tmpfs",
                "load_average": 0.1,
            },
            "rounds": 3,
            "scale": {"size": 2**26, "connections": 16, "many": 2, "many_bytes": 2, "slow": 3},
            "servers": {server: {"name": name, **facts} for server, name in names.items()},
            "missing": {"rustus": "build it"},
            "runs": list(runs),
        }
    )


def test_page_is_what_the_results_say() -> None:
    """The page in the repository has been written from the file beside it."""
    assert PAGE.read_text() == fill(PAGE.read_text(), Results.read(DATA)), "run: make bench-docs"


def test_chart_is_what_the_results_say() -> None:
    """The chart in the repository has been drawn from the same file."""
    assert CHART.read_text() == draw(Results.read(DATA)), "run: make bench-docs"


def test_ratios_are_taken_within_a_round() -> None:
    """A slow moment of the machine that both servers had does not show."""
    rounds = [(1, 100.0, 50.0), (2, 10.0, 5.0), (3, 90.0, 30.0)]
    found = results(
        *(run("patch", OURS, n, ours) for n, ours, _ in rounds),
        *(run("patch", "tusd", n, theirs) for n, _, theirs in rounds),
    )

    assert found.ratio(("patch", OURS), ("patch", "tusd"), rate) == Spread(2.0, 2.0, 3.0)


def test_a_round_that_failed_does_not_count() -> None:
    """It is named, and the others are compared."""
    failed = {"workload": "patch", "server": "tusd", "round": 2, "error": "a | b"}
    found = results(
        run("patch", OURS, 1, 10), run("patch", OURS, 2, 99), run("patch", "tusd", 1, 5), failed
    )

    assert found.ratio(("patch", OURS), ("patch", "tusd"), rate) == Spread(2.0, 2.0, 2.0)
    assert "failed: a / b" in render(found)


@pytest.mark.parametrize(
    ("ours", "verdict"), [(95, "yes"), (80, "**no**")], ids=["fast enough", "too slow"]
)
def test_goals_are_judged_by_the_results(ours: float, verdict: str) -> None:
    """Nobody writes by hand what has been reached."""
    found = results(run("patch", OURS, 1, ours), run("patch", LIMIT, 1, 100))

    row = f"| 64 MiB in one PATCH | rate / limit's | at least 0.9 | {ours / 100:.2f} | {verdict} |"
    assert row in render(found)


def test_every_goal_has_a_row() -> None:
    """A goal that was not measured is not forgotten either."""
    assert render(results()).count("not measured") == len(GOALS)


def test_chart_has_no_limit() -> None:
    """Ours with one process is 1, and the limit would dwarf the others."""
    found = results(
        run("patch", OURS, 1, 10), run("patch", "tusd", 1, 5), run("patch", LIMIT, 1, 90)
    )

    assert points(found) == {"tusd-py": [None, 1.0, None], "tusd": [None, 0.5, None]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.014, "0.01"), (9.999, "10.00"), (12.34, "12.3"), (12345.6, "12\u202f346")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """Digits that mean nothing are left out."""
    assert number(value) == text
