"""The comparison of thresholds runs, and prints both ways; speed is no matter here."""

from __future__ import annotations

import pytest

from . import thresholds
from .load import has_compiler

pytestmark = pytest.mark.skipif(
    not has_compiler(), reason="needs Linux and a C compiler: apt-get install gcc libc6-dev"
)


def test_both_ways_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each size, with what either way costs."""
    monkeypatch.setattr(thresholds, "ROUNDS", 1)
    monkeypatch.setattr(thresholds, "PATCHES", 8 * 1024 * 1024)
    monkeypatch.setattr(thresholds, "POST_S", 0.2)
    thresholds.main()
    lines = capsys.readouterr().out.splitlines()
    sizes = [line.split()[0] for line in lines if " KiB " in line and "µs" in line]
    patches, whole = (list(map(str, one.kib)) for one in thresholds.COMPARISONS)
    assert sizes == patches + whole
