"""The list of sabotages follows the code; that each is noticed, `make sabotage` shows."""

from __future__ import annotations

import ast

import pytest

from .acts import ACTS, Act
from .run import ROOT, carry_out, sabotaged


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_an_act_fits_the_code(act: Act) -> None:
    """What it replaces is there once, and what comes of it is a program all the same."""
    source = (ROOT / act.file).read_text()
    ast.parse(sabotaged(act, source))
    for test in act.tests:
        path = test.removeprefix("--ignore=").partition("::")[0]
        assert (ROOT / path).exists(), f"{act.name}: {path}"


def test_names_are_unique() -> None:
    """One can be chosen by its name."""
    assert len({act.name for act in ACTS}) == len(ACTS)


def test_a_change_that_harms_nothing_survives() -> None:
    """The verdict comes from the tests, not from the change."""
    harmless = Act(
        name="a word in a docstring",
        invariant="",
        file="tusd_py/protocol/rules.py",
        old="Every MUST of an operation",
        new="Each MUST of an operation",
        tests=("tests/protocol/test_commands.py",),
    )
    [outcome] = carry_out([harmless])
    assert outcome.verdict == "SURVIVED"
