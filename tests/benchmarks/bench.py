"""Runs the workloads on the servers in turn: A B C, A B C, ..."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .load import LoadError, compile_program
from .measure import machine
from .results import headline
from .servers import Contestant, StartFailed
from .workloads import CHUNK, Rig, Run, Scale, Workload, make_pattern

_FAILURES_UNTIL_OUT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        directory: where uploads go, in a folder that is removed at the end.
        say: called with lines of progress.
    """

    contestants: Sequence[Contestant]
    workloads: Sequence[Workload]
    rounds: int
    scale: Scale
    directory: Path
    build_dir: Path
    say: Callable[[str], None]

    def turns(self) -> Iterator[tuple[int, Workload, Contestant]]:
        """Yield every run in its order.

        Each round begins with another one: whoever comes first after other work finds memory
        and caches that are used to that.
        """
        for number in range(1, self.rounds + 1):
            for workload in self.workloads:
                if number > workload.most_rounds:
                    continue
                taking = [
                    contestant
                    for contestant in self.contestants
                    if contestant.missing is None and workload.takes(contestant.id)
                ]
                first = (number - 1) % len(taking) if taking else 0
                for contestant in taking[first:] + taking[:first]:
                    yield number, workload, contestant


def run_plan(plan: Plan) -> dict[str, Any]:
    """Run everything; return what the results file has."""
    here = machine(plan.directory)
    with tempfile.TemporaryDirectory(prefix="tusd-py-bench-", dir=plan.directory) as folder:
        runs = list(_runs(plan, Path(folder)))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": here,
        "rounds": plan.rounds,
        "scale": asdict(plan.scale),
        "servers": {c.id: c.facts() for c in plan.contestants if c.missing is None},
        "missing": {c.name: c.missing for c in plan.contestants if c.missing is not None},
        "runs": runs,
    }


def _runs(plan: Plan, folder: Path) -> Iterator[Run]:
    rig = Rig(
        load=compile_program("load", plan.build_dir),
        pattern=folder / "pattern",
        scale=plan.scale,
    )
    make_pattern(rig.pattern, os.urandom(CHUNK))
    failures: Counter[tuple[str, str]] = Counter()
    begun = time.monotonic()
    turns = list(plan.turns())
    for done, (number, workload, contestant) in enumerate(turns):
        key = (workload.id, contestant.id)
        if failures[key] == _FAILURES_UNTIL_OUT:
            continue
        for run in _one(rig, workload, contestant, folder / "uploads"):
            failures[key] += "error" in run
            whole = Run(workload=workload.id, server=contestant.id, round=number) | run
            took = time.monotonic() - begun
            plan.say(f"{done + 1}/{len(turns)} {took:4.0f} s  {headline(whole)}")
            yield whole


def _one(rig: Rig, workload: Workload, contestant: Contestant, directory: Path) -> Iterator[Run]:
    """Start the server on an empty directory, let it work, and end it."""
    try:
        with contestant.start(directory) as server:
            yield from workload.work(rig, server)
    except (LoadError, StartFailed, AssertionError, subprocess.SubprocessError) as error:
        yield {"error": str(error)[:300]}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write the results file, a line for each run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    runs = ",\n    ".join(json.dumps(run) for run in results["runs"])
    head = json.dumps({**results, "runs": []}, indent=2)
    path.write_text(head.replace('"runs": []', f'"runs": [\n    {runs}\n  ]') + "\n")
