"""python -m tests.sabotage: does the suite notice when somebody breaks the server?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from .acts import ACTS, Act
from .run import Outcome, carry_out, first_failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry the acts out; return 1 if one of them goes unnoticed, or does not fit any more."""
    parser = argparse.ArgumentParser(prog="python -m tests.sabotage", description=__doc__)
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--only", metavar="NAME", action="append", help="parts of names")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    acts = [act for act in ACTS if not options.only or any(n in act.name for n in options.only)]
    if options.list:
        for act in acts:
            print(f"{act.invariant:4} {act.name}  ({act.file})")
        return 0
    if failed := first_failure(sorted({test for act in acts for test in act.tests})):
        print(f"The tests fail without any sabotage: {failed}", file=sys.stderr)
        return 1
    outcomes = []
    for outcome in carry_out(acts):
        outcomes.append(outcome)
        if not options.json:
            print(_row(outcome), flush=True)
    caught = sum(outcome.caught for outcome in outcomes)
    if options.json:
        print(json.dumps([_fields(outcome) for outcome in outcomes], indent=2))
    else:
        print(f"{caught} of {len(outcomes)} caught")
    return 0 if caught == len(outcomes) > 0 else 1


def _row(outcome: Outcome) -> str:
    act = outcome.act
    by = outcome.by.rpartition("/")[2] if outcome.caught else outcome.verdict
    return f"{act.invariant:4} {outcome.seconds:5.1f} s  {act.name:58} {by}"


def _fields(outcome: Outcome) -> dict[str, object]:
    act: Act = outcome.act
    return {
        "name": act.name,
        "invariant": act.invariant,
        "file": act.file,
        "verdict": outcome.verdict,
        "by": outcome.by,
        "seconds": round(outcome.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
