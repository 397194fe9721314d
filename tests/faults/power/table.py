"""The table of cuts, as text and in the page about durability."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .promises import Tally
from .row import Row

PAGE: Final = Path(__file__).parents[3] / "docs" / "explanation" / "durability.md"
_BEGIN: Final = "<!-- cuts: written by `python -m tests.faults.power --write-table` -->\n"
_END: Final = "<!-- end of cuts -->\n"

_HEADS: Final = (
    "file system",
    "records in",
    "durability",
    "cuts",
    "uploads promised",
    "terminations promised",
    "MB promised",
    "bytes lost",
    "promises broken",
    "read back whole",
)


def markdown(tallies: Mapping[Row, Tally], seed: int) -> str:
    """Return the table with a line of sums, and below it what it was made with."""
    cells = [_cells(row, tally) for row, tally in tallies.items()]
    cuts = sum(tally.cuts for tally in tallies.values())
    broken = sum(len(tally.broken) for tally in tallies.values())
    seconds = sum(tally.seconds for tally in tallies.values())
    lines = [_HEADS, tuple("---" for _ in _HEADS), *cells]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{table}\n{cuts} cuts in {seconds:.0f} s with seed {seed}: {broken} promises broken.\n"


def write_page(text: str, page: Path = PAGE) -> None:
    """Put the table where the page has its old one."""
    before, _, rest = page.read_text().partition(_BEGIN)
    page.write_text(before + _BEGIN + text + _END + rest.partition(_END)[2])


def _cells(row: Row, tally: Tally) -> tuple[str, ...]:
    acknowledged = tally.acknowledged
    uploads = sum(acknowledged.values()) - acknowledged["terminated"]
    return (
        row.kind.replace("-writeback", ", data=writeback"),
        "Redis" if row.redis else "files",
        str(row.level),
        str(tally.cuts),
        str(uploads),
        str(acknowledged["terminated"]),
        f"{tally.promised_bytes / 1e6:.1f}",
        str(tally.lost_bytes),
        str(len(tally.broken)),
        str(tally.resumed),
    )
