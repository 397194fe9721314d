"""Builds dist/*.whl twice and compares: the same source always gives the same file."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build(target: Path, made_at: str) -> Path:
    """Build the wheel into `target` as if it were made at that time; return it."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": made_at}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    [wheel] = target.glob("*.whl")
    return wheel


def last_change() -> str:
    """Return when the last commit was made, in seconds since the epoch."""
    command = ["git", "log", "-1", "--format=%ct"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return os.environ.get("SOURCE_DATE_EPOCH") or told.stdout.strip() or "0"


def main() -> int:
    """Build twice; keep the wheel if both are the same, byte by byte."""
    with tempfile.TemporaryDirectory() as place:
        once, again = (build(Path(place) / name, last_change()) for name in ("once", "again"))
        if not filecmp.cmp(once, again, shallow=False):
            print("Two builds of the same source differ.", file=sys.stderr)
            return 1
        (ROOT / "dist").mkdir(exist_ok=True)
        print(shutil.copy(once, ROOT / "dist"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
