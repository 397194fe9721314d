"""Cut the power of a server again and again, and print what came of it. Needs root."""

from __future__ import annotations

import argparse
import random
import sys

from tusd_py.interfaces import Durability

from .row import ROWS, cut_power
from .table import markdown, write_page
from .volume import FILE_SYSTEMS


def main() -> int:
    """Run what the command line asks for; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power", description=__doc__)
    parser.add_argument("--fs", choices=FILE_SYSTEMS, action="append", help="default: all")
    parser.add_argument("--level", choices=list(Durability), action="append", help="default: all")
    parser.add_argument("--redis", action="store_true", help="only with records in Redis")
    parser.add_argument("--cuts", type=int, default=50, help="of each row of the table")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    parser.add_argument("--write-table", action="store_true", help="into the documentation, too")
    given = parser.parse_args()
    kinds, levels = given.fs or FILE_SYSTEMS, given.level or list(Durability)
    tallies = {}
    for row in ROWS:
        if row.kind not in kinds or row.level not in levels or row.redis < given.redis:
            continue
        tallies[row] = tally = cut_power(row, cuts=given.cuts, seed=given.seed)
        print(f"{row}: {tally.cuts} cuts in {tally.seconds:.0f} s, {dict(tally.acknowledged)}")
        print(f"    {dict(tally.unpromised)}", *tally.broken, sep="\n    ", flush=True)
    table = markdown(tallies, given.seed)
    print(table)
    if given.write_table:
        write_page(table)
    return int(any(tally.broken for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
