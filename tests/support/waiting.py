"""Waiting for what another process does, and nobody tells."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 20.0

_LOOK_EVERY_S = 0.01


def wait_until(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Look again and again; how long it may take says nothing of how fast it has to be."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not so within {within_s:.0f} s"
        time.sleep(_LOOK_EVERY_S)
