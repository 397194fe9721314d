"""One row of cuts, in a process and a mount namespace of its own, which end together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tusd_py.interfaces import Durability

from .cuts import Cuts
from .promises import Tally
from .volume import FILE_SYSTEMS

# A cut takes half a second; a machine that is busy with other things needs more.
LONGEST_CUT_S = 20.0
_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """What the power is cut of.

    Attributes:
        kind: of file system.
        level: of durability.
        redis: whether records are in Redis, on the same disk.
    """

    kind: str
    level: Durability
    redis: bool = False

    def __str__(self) -> str:
        return f"{self.kind}-{self.level}{'-redis' if self.redis else ''}"


ROWS = (
    *(Row(kind, level) for kind in FILE_SYSTEMS for level in Durability),
    Row("ext4", Durability.COMPLETE, redis=True),
    Row("xfs", Durability.ACK, redis=True),
)


def cut_power(row: Row, *, cuts: int, seed: int) -> Tally:
    """Cut the power of a server that often, and return what came of it.

    Whatever becomes of this process or the other, nothing stays mounted.

    Raises:
        RuntimeError: it could not be done.
    """
    with tempfile.TemporaryDirectory(prefix="cuts-") as folder:
        command = ["unshare", "--mount", "--kill-child", "--fork"]
        command += [sys.executable, "-m", __name__, row.kind, row.level, str(int(row.redis))]
        done = subprocess.run(
            [*command, str(cuts), str(seed), folder],
            stdout=subprocess.PIPE,
            text=True,
            timeout=_START_S + cuts * LONGEST_CUT_S,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"cutting the power of {row} ended with {done.returncode}")
    fields = json.loads(done.stdout)
    for name in ("acknowledged", "unpromised"):
        fields[name] = Counter(fields[name])
    return Tally(**fields)


def _main() -> None:
    kind, level, redis, cuts, seed, folder = sys.argv[1:]
    row = Cuts(kind, Durability(level), int(seed), Path(folder), redis=redis == "1")
    tally = row.run(int(cuts))
    names = [field.name for field in dataclasses.fields(tally)]
    json.dump({name: getattr(tally, name) for name in names}, sys.stdout)


if __name__ == "__main__":
    _main()
