"""Writes the results into the documentation."""

from __future__ import annotations

import re
from pathlib import Path

from .report import render
from .results import Results
from .servers import ROOT

FOLDER = ROOT / "docs/explanation"
PAGE = FOLDER / "performance.md"
CHART = FOLDER / "performance.svg"
DATA = FOLDER / "performance.json"

_BEGIN, _END = "<!-- results: begin -->\n", "<!-- results: end -->\n"


def fill(page: str, results: Results) -> str:
    """Return the page with these results between its markers."""
    pattern = re.escape(_BEGIN) + ".*?" + re.escape(_END)
    text = f"{_BEGIN}\n{render(results)}\n{_END}"
    filled, count = re.subn(pattern, lambda _: text, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the page needs {_BEGIN.strip()} and {_END.strip()} once")
    return filled


def write_page(data: Path) -> None:
    """Keep the results beside the page, and write the page and its chart from them."""
    from .chart import draw  # noqa: PLC0415 - only the page needs a drawing library

    if data != DATA:
        DATA.write_text(data.read_text())
    results = Results.read(DATA)
    PAGE.write_text(fill(PAGE.read_text(), results))
    CHART.write_text(draw(results))
