"""Starts real servers one after the other, each in a process forked from one that is ready.

``python -m tests.faults.nursery`` has imported everything and waits. For each line of JSON on
its standard input, the arguments of the program, it forks a child that runs the program as the
command line would, so that a thousand starts take a minute.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from tusd_py import cli

_ROOT = Path(__file__).parents[2]


class Nursery:
    """The process that forks; see the module.

    Args:
        log: what the servers say.
        env: of all of them, beside ours.
    """

    def __init__(self, log: Path, env: dict[str, str]) -> None:
        self.log = log
        self._pid: int | None = None
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=_ROOT,
                env={**os.environ, **env},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=30)

    def start(self, upload_dir: Path, *options: str) -> str | None:
        """Start the only server; return the creation URL, or None if it was killed before."""
        self.kill()
        arguments = ["serve", "--host", "127.0.0.1", "--port", "0"]
        arguments += ["--upload-dir", str(upload_dir), *options]
        self._ask(arguments)
        self._pid = int(self._line())
        answer = self._line()
        if match := re.fullmatch(r"Upload to (\S+)", answer):
            return match[1]
        self._check_killed(answer)
        return None

    def kill(self) -> None:
        """End the server that runs, if one does."""
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)  # its id is taken until we ask for the next one
            self.wait_killed()

    def wait_killed(self) -> None:
        """Wait for the end of a server that is being killed."""
        self._check_killed(self._line())

    def _check_killed(self, answer: str) -> None:
        self._pid = None
        assert answer == f"ended {-signal.SIGKILL}", self.log.read_text()[-4000:]
        self._ask(None)

    def _ask(self, arguments: list[str] | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _run() -> None:
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _be_server(json.loads(line))
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        signalled = ended.si_code != os.CLD_EXITED
        _say(f"ended {-ended.si_status if signalled else ended.si_status}")
        sys.stdin.readline()
        os.waitpid(pid, 0)


def _be_server(arguments: list[str]) -> None:
    code = 1
    try:
        _say(str(os.getpid()))
        cli.program.main(arguments, prog_name="tusd-py", standalone_mode=False)
        code = 0
    finally:
        os._exit(code)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _run()
