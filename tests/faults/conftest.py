"""What the tests of faults need of the machine, and what several of them use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .needed import needs, needs_root
from .nursery import Nursery
from .shim import Shim

__all__ = ["needs", "needs_root", "nursery", "shim"]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shim]:
    """Between the servers and the disk."""
    with Shim(tmp_path_factory.mktemp("shim")) as shim:
        yield shim


@pytest.fixture(scope="module")
def nursery(shim: Shim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where the servers come from that `shim` has faults for."""
    with Nursery(tmp_path_factory.mktemp("nursery") / "log", shim.env) as nursery:
        yield nursery
