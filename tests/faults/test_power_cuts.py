"""The power goes at any moment, and right after each acknowledgement: every promise is kept.

A server works on a file system in memory; an ioctl makes that lose all it has not written
(ext4 and XFS know it for this purpose). Then it is mounted again, in what looks like another run
of the kernel, and every upload is compared with what its client was told and had sent.

``python -m tests.faults.power --cuts 1000`` does the same for longer.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .needed import needs, needs_root
from .power.promises import Tally
from .power.row import LONGEST_CUT_S, ROWS, Row, cut_power
from .power.table import markdown, write_page

# In each row; together they are more than 300.
CUTS = int(os.environ.get("TUSD_PY_CUTS", "33"))
SEED = int(os.environ.get("TUSD_PY_SEED") or random.randrange(10**6))  # noqa: S311


@pytest.fixture(scope="module")
def tallies(request: pytest.FixtureRequest) -> Iterator[dict[Row, Tally]]:
    """What came of the rows; printed at the end, whatever else pytest captures."""
    done: dict[Row, Tally] = {}
    yield done
    if done:
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None
        reporter.write_line("")
        reporter.write(markdown(done, SEED))


@pytest.mark.timeout(120 + CUTS * LONGEST_CUT_S)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_what_was_promised_survives(row: Row, tallies: dict[Row, Tally]) -> None:
    """No acknowledged byte is lost, no terminated upload comes back, no wrong byte ever counts."""
    needs_root()
    for command in ("mkfs.ext4", "mkfs.xfs", "unshare", "redis-server"):
        found = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin")
        needs(found, f"{command} is missing: make tools")
    cuts = max(1, CUTS // 3) if row.redis else CUTS  # these take longer
    tally = tallies[row] = cut_power(row, cuts=cuts, seed=SEED)
    assert tally.broken == []
    assert tally.cuts == cuts
    if row.level is not row.level.NONE:
        assert tally.promised_bytes > 0


def test_the_table_is_put_into_its_page(tmp_path: Path) -> None:
    """What stood there before goes, all around it stays."""
    page = tmp_path / "page.md"
    page.write_text("before\n")
    tally = Tally(cuts=3, seconds=1.0, promised_bytes=2_000_000)
    write_page(markdown({ROWS[0]: tally}, 7), page)
    write_page(markdown({ROWS[1]: tally}, 8), page)
    text = page.read_text()
    assert text.startswith("before\n<!-- cuts")
    assert text.count("| ext4 | files |") == 1
    assert "| 2.0 | 0 | 0 | 0 |\n\n3 cuts in 1 s with seed 8: 0 promises broken.\n" in text
