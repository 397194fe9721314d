"""A real server in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running ``tusd-py serve``.

    Attributes:
        url: the creation URL, with a trailing slash.
        upload_dir: where it keeps uploads.
    """

    url: str
    upload_dir: Path
    process: subprocess.Popen[str]
    log: Path

    @property
    def port(self) -> int:
        """The port it listens on."""
        match = re.search(r":(\d+)/", self.url)
        assert match is not None
        return int(match[1])

    def resident_bytes(self) -> int:
        """Memory in RAM now, of the process and its workers."""
        root = psutil.Process(self.process.pid)
        return sum(p.memory_info().rss for p in [root, *root.children()])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


def start_server(
    upload_dir: Path,
    *options: str,
    env: dict[str, str] | None = None,
    under: Sequence[str] = (),
) -> Server:
    """Start a server on a free port of loopback and wait until it announces its URL.

    Args:
        upload_dir: its own name with ``.log`` behind it is where the log goes.
        options: of ``tusd-py serve``.
        env: variables beside those of this process.
        under: a command that becomes the server, such as ``prlimit`` with its options.
    """
    log = upload_dir.with_name(upload_dir.name + ".log")
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [
                *under,
                *(sys.executable, "-m", "tusd_py", "serve"),
                *("--host", "127.0.0.1", "--port", "0", "--upload-dir", str(upload_dir)),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **(env or {})},
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"Upload to (\S+)\n", line)
    if match is None:
        process.kill()
        process.wait()
        raise AssertionError(f"the server did not start: {log.read_text()}")
    return Server(url=match[1], upload_dir=upload_dir, process=process, log=log)


@contextlib.contextmanager
def running_server(
    upload_dir: Path,
    *options: str,
    env: dict[str, str] | None = None,
    under: Sequence[str] = (),
) -> Iterator[Server]:
    """Run `start_server` for the length of the context, and end it whatever happens."""
    server = start_server(upload_dir, *options, env=env, under=under)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
        assert server.process.stdout is not None
        server.process.stdout.close()
