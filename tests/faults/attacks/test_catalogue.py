"""Every row of the catalogue has tests that exist, or says why not."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

from .catalogue import ROWS, WITHOUT

ROOT = Path(__file__).resolve().parents[3]

# The numbers of the catalogue, by section.
NUMBERS = {
    *(f"A{n:02d}" for n in itertools.chain(range(1, 17), range(20, 30), range(30, 40))),
    *(f"A3{letter}" for letter in "abcdefghi"),
    *(f"A{n}" for n in itertools.chain(range(40, 60), range(60, 68), range(70, 76))),
    "A5a",
    *(f"A{n}" for n in itertools.chain(range(80, 90), range(90, 104))),
    *(f"A8{letter}" for letter in "abcdefgh"),
}


def test_every_row_is_there_once() -> None:
    """No row is forgotten, and none is both tested and excused."""
    numbers = [row.partition(" ")[0] for row in (*ROWS, *WITHOUT)]
    assert sorted(numbers) == sorted(NUMBERS)
    assert all(len(reason) > 20 for reason in WITHOUT.values())


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_tests(row: str) -> None:
    """The tests that are named exist; a star stands for all of a file."""
    assert ROWS[row]
    for name in ROWS[row]:
        file, _, test = name.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        found = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert test == "*" or test in found, name
