"""Draws the results: how fast the others are where this server is 1."""

from __future__ import annotations

import re
import sys

import pygal
from pygal.etree import etree
from pygal.style import CleanStyle

# With lxml, which other tools of ours bring along, the attributes come in another order.
etree.to_etree()

# pygal leaves a finder for its plugins behind that has no find_spec, and every import after it
# stumbles over that where warnings are errors.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]

from .results import Results, rate  # noqa: E402
from .servers import BARE, LIMIT, OURS, OURS_REDIS  # noqa: E402

_WORK = {"post": "small uploads", "patch": "one PATCH", "chunks": "PATCHes of 8 MiB"}


def points(results: Results) -> dict[str, list[float | None]]:
    """Return for each server its rates, as parts of ours with one process.

    The limit is left out: it would make the others too small to see.
    """
    found: dict[str, list[float | None]] = {}
    for server, facts in results.servers.items():
        if server in (BARE, LIMIT, OURS_REDIS, "ours-complete", "ours-ack"):
            continue
        ratios = [results.ratio((work, server), (work, OURS), rate) for work in _WORK]
        found[facts["name"]] = [None if r is None else round(r.median, 2) for r in ratios]
    return found


def draw(results: Results) -> str:
    """Return the chart as SVG; the same for the same results."""
    chart = pygal.Bar(
        js=[],
        style=CleanStyle,
        width=800,
        height=400,
        title="Rate, where tusd-py with one process is 1 (more is better)",
        legend_at_bottom=True,
        print_values=True,
        print_values_position="top",
        show_y_guides=False,
        disable_xml_declaration=True,
    )
    chart.uuid = "speed"
    chart.x_labels = list(_WORK.values())
    for name, values in points(results).items():
        chart.add(name, values)
    drawn: str = chart.render(is_unicode=True)
    return re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL) + "\n"
