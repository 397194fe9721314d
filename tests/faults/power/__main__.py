"""Cut the power again and again: ``python -m tests.faults.power --help``. Needs root."""

from __future__ import annotations

import argparse
import random
import sys

from tusd_py.interfaces import Durability

from .row import cut_power
from .volume import FILE_SYSTEMS


def main() -> int:
    """Run what the command line asks for; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fs", choices=FILE_SYSTEMS, action="append", help="default: all")
    parser.add_argument("--level", choices=list(Durability), action="append", help="default: all")
    parser.add_argument("--cuts", type=int, default=50, help="for each of these")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    arguments = parser.parse_args()
    for kind in arguments.fs or FILE_SYSTEMS:
        for level in arguments.level or list(Durability):
            tally = cut_power(kind, Durability(level), cuts=arguments.cuts, seed=arguments.seed)
            print(kind, level, tally)
            print("\n".join(tally.broken))
    return 0


if __name__ == "__main__":
    sys.exit(main())
