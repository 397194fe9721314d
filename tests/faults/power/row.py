"""One row of cuts, in a process and a mount namespace of its own, which end together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tusd_py.interfaces import Durability

from .cuts import Cuts
from .promises import Tally

# A cut takes half a second; a machine that is busy with other things needs more.
_LONGEST_CUT_S = 20.0
_START_S = 60.0


def cut_power(kind: str, level: Durability, *, cuts: int, seed: int) -> Tally:
    """Cut the power of a server that often, and return what came of it.

    Whatever becomes of this process or the other, nothing stays mounted.

    Raises:
        RuntimeError: it could not be done.
    """
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        command = ["unshare", "--mount", "--kill-child", "--fork"]
        command += [sys.executable, "-m", __name__, kind, level, str(cuts), str(seed), folder]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_START_S + cuts * _LONGEST_CUT_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"cutting the power of {kind} ended with {done.returncode}")
    fields = json.loads(done.stdout)
    for name in ("acknowledged", "unpromised"):
        fields[name] = Counter(fields[name])
    return Tally(**fields)


def _main(kind: str, level: str, cuts: str, seed: str, folder: str) -> None:
    tally = Cuts(kind, Durability(level), int(seed), Path(folder)).run(int(cuts))
    row = {field.name: getattr(tally, field.name) for field in dataclasses.fields(tally)}
    json.dump(row, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
