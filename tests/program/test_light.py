"""A worker carries no more than it has to: in memory, and for its garbage collector."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["redis", "jwt", "cryptography"])
def test_what_is_not_chosen_is_not_loaded(name: str) -> None:
    """Importing the program and its server leaves them alone."""
    code = f"import sys, tusd_py.server; sys.exit({name!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0


_SERVE_ONCE = """
import gc, os, signal
from tusd_py import Settings
from tusd_py.server import run_worker
from tusd_py.web.listening import listen_tcp

def ready():
    print(len(gc.get_objects()), gc.get_freeze_count(), *gc.get_threshold())
    os.kill(os.getpid(), signal.SIGTERM)

with listen_tcp("127.0.0.1", 0) as sock:
    run_worker(Settings(upload_dir="uploads"), sock, ready)
"""


def test_the_garbage_collector_looks_only_at_what_is_new(tmp_path: Path) -> None:
    """When a worker is ready, nearly all objects are out of its sight; and it seldom sees all."""
    done = subprocess.run(
        [sys.executable, "-c", _SERVE_ONCE],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    looked_at, left_alone, *often = map(int, done.stdout.split())
    assert done.returncode == 0
    assert looked_at * 100 < left_alone
    assert often == [5000, gc.get_threshold()[1], 100]
