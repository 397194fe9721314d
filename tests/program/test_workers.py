"""The supervisor lets workers know how many connections the others have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SUPERVISE = """
import os, signal, socket, threading, time
from tusd_py import Settings
from tusd_py.server import _Supervisor
from tusd_py.web.listening import listen_tcp

DEAD = (1 << 63) - 1

def wait(what, is_so):
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.005)
    print(what, is_so(), flush=True)

def look():
    try:
        told = supervisor._shares._open
        wait("both live", lambda: DEAD not in told)
        clients = []
        while 0 in told and len(clients) < 500:  # one of them may have begun to accept later
            clients.append(socket.create_connection(sock.getsockname()))
        wait("all are counted", lambda: sum(told) == len(clients))
        wait("by both", lambda: 0 not in told)
        pid, worker = next(iter(supervisor._pids.items()))
        others = sum(told) - told[worker.row]
        os.kill(pid, signal.SIGKILL)
        wait("the dead have none to wait for", lambda: told[worker.row] == DEAD)
        wait("a new one begins at nothing", lambda: told[worker.row] == 0)
        wait("those of others stay", lambda: sum(told) == others)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

with listen_tcp("127.0.0.1", 0) as sock:
    supervisor = _Supervisor(Settings(upload_dir="uploads"), sock, 2, None)
    supervisor.run(threading.Thread(target=look).start)
"""


def test_workers_know_of_each_others_connections(tmp_path: Path) -> None:
    """Each tells how many it has; one that dies is not waited for, and its successor has none."""
    (tmp_path / "uploads").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _SUPERVISE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines() == [
        "both live True",
        "all are counted True",
        "by both True",
        "the dead have none to wait for True",
        "a new one begins at nothing True",
        "those of others stay True",
    ], done.stderr
    assert done.returncode == 0
