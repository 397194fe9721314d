"""Carries out acts of sabotage, each on a copy of the tree, and sees what the tests say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from .acts import Act

ROOT: Final = Path(__file__).parents[2]
AT_ONCE: Final = 2
_LONGEST_S: Final = 120
_TESTS_FAILED: Final = 1
_FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Misfit(Exception):
    """The text that an act replaces is not there exactly once: the act has to follow the code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an act.

    Attributes:
        act: that was carried out.
        verdict: "caught", or why that is not so.
        by: the first test that failed, if any.
        seconds: how long it took.
    """

    act: Act
    verdict: str
    by: str
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether a test has failed."""
        return self.verdict == "caught"


def sabotaged(act: Act, source: str) -> str:
    """Return the file's text after the act.

    Raises:
        Misfit
    """
    if source.count(act.old) != 1:
        raise Misfit(f"{act.file} has {source.count(act.old)} times: {act.old!r}")
    return source.replace(act.old, act.new)


def carry_out(acts: Sequence[Act]) -> Iterator[Outcome]:
    """Carry out the acts, a few at once, each on an otherwise unharmed copy; in their order."""
    copies: SimpleQueue[Path] = SimpleQueue()

    def one(act: Act) -> Outcome:
        copy = copies.get()
        try:
            return _carry_out_one(act, copy)
        finally:
            copies.put(copy)

    with _copies(AT_ONCE) as directories, ThreadPoolExecutor(AT_ONCE) as pool:
        for directory in directories:
            copies.put(directory)
        yield from pool.map(one, acts)


def first_failure(tests: Sequence[str]) -> str | None:
    """Return the first of these tests that fails on an unharmed copy; None if all is well."""
    with _copies(1) as [copy]:
        code, said = _run_tests(copy, tests)
    return None if code == 0 else _first_failed(said) or said[-2000:]


def _carry_out_one(act: Act, copy: Path) -> Outcome:
    began = time.monotonic()
    file = copy / act.file
    unharmed = file.read_text()
    try:
        file.write_text(sabotaged(act, unharmed))
        code, said = _run_tests(copy, act.tests)
    except Misfit as error:
        return Outcome(act, f"misfit: {error}", "", 0.0)
    except subprocess.TimeoutExpired:
        return Outcome(act, f"no verdict in {_LONGEST_S} s", "", _LONGEST_S)
    finally:
        file.write_text(unharmed)
    if code == _TESTS_FAILED:
        verdict = "caught"
    else:
        verdict = "SURVIVED" if code == 0 else f"pytest ended with {code}: {said[-500:]}"
    return Outcome(act, verdict, _first_failed(said), time.monotonic() - began)


def _run_tests(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    # A test that hangs has noticed, too; the thread method ends it whatever it waits for.
    # By the time stamp alone Python could take the old bytecode of a file that is just as long.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no"]
    command += ["-p", "no:cacheprovider", "--timeout=30", "--timeout-method=thread", *tests]
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _first_failed(said: str) -> str:
    found = _FIRST_FAILURE.search(said)
    return found[1] if found else ""


@contextmanager
def _copies(count: int) -> Iterator[list[Path]]:
    """Copy what tests need; bytecode stays behind, for it belongs to other files."""
    leave = shutil.ignore_patterns("node_modules", "__pycache__", "benchmarks")
    with tempfile.TemporaryDirectory(prefix="sabotage-") as place:
        made = [Path(place) / str(number) for number in range(count)]
        for directory in made:
            for part in ("tusd_py", "tests", "docs"):
                shutil.copytree(ROOT / part, directory / part, ignore=leave)
            for name in ("pyproject.toml", "README.md", "constraints.txt"):
                shutil.copy(ROOT / name, directory / name)
        yield made
