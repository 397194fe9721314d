"""Libraries that nobody has chosen are not loaded: each worker would pay for them in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["redis", "jwt", "cryptography"])
def test_what_is_not_chosen_is_not_loaded(name: str) -> None:
    """Importing the program and its server leaves them alone."""
    code = f"import sys, tusd_py.server; sys.exit({name!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0
