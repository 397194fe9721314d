"""Servers that start in a moment: forked from a process that has everything imported."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from pathlib import Path
from typing import NoReturn

from tusd_py.config import Settings
from tusd_py.server import run_worker
from tusd_py.web.listening import listen_tcp


class ForkedServer:
    """A server, with one or more worker processes on one socket.

    Args:
        settings: of the server; its address is a free port of loopback.
        log: where it writes.
        workers: how many processes.
    """

    def __init__(self, settings: Settings, log: Path, workers: int = 1) -> None:
        self._pids: list[int] = []
        self._alive, self._held = os.pipe()  # the workers see its end when this process dies
        with listen_tcp("127.0.0.1", 0) as sock:
            self.port: int = sock.getsockname()[1]
            waiting = []
            for _ in range(workers):
                is_ready, ready = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.close(self._held)
                    os.close(is_ready)
                    _serve(settings, sock, ready, self._alive, log)
                self._pids.append(pid)
                os.close(ready)
                waiting.append(is_ready)
            started = [os.read(fd, 1) == b"." for fd in waiting]
            for fd in waiting:
                os.close(fd)
        if not all(started):
            self.kill()
            raise AssertionError(f"the server did not start: {log.read_text()[-4000:]}")

    def kill(self) -> None:
        """End it as a power cut or a crash does."""
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            os.waitpid(pid, 0)
        self._pids.clear()
        for fd in (self._alive, self._held):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._alive = self._held = -1


def _serve(settings: Settings, sock: object, ready: int, alive: int, log: Path) -> NoReturn:
    code = 1
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(fd, number)
        run_worker(settings, sock, lambda: _tell(ready), parent=alive)  # type: ignore[arg-type]
        code = 0
    except BaseException:  # noqa: BLE001 - it goes to the log, and the process ends
        traceback.print_exc()
    finally:
        os._exit(code)


def _tell(ready: int) -> None:
    os.write(ready, b".")
