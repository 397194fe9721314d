"""Compiles the C programs, and drives a server with one of them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
_FLAGS = ("-O2", "-Wall", "-Wextra")


class LoadError(Exception):
    """The server did not do what was asked; the message is one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the load generator measured.

    Attributes:
        cpu_s: of the generator itself.
    """

    seconds: float
    requests: int
    bytes: int
    p50_us: int
    p99_us: int
    max_us: int
    cpu_s: float


def has_compiler() -> bool:
    """Whether the C programs can be compiled here."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def compile_program(name: str, build_dir: Path) -> Path:
    """Compile one of the programs of this folder, and return where it is."""
    build_dir.mkdir(parents=True, exist_ok=True)
    program = build_dir / name
    command = ("cc", *_FLAGS, "-o", str(program), str(FOLDER / f"{name}.c"))
    subprocess.run(command, check=True, timeout=60)
    return program


class Drive:
    """A load generator at work; see ``load.c`` for the steps."""

    def __init__(self, process: subprocess.Popen[str], limit_s: float) -> None:
        self._process = process
        self._limit_s = limit_s

    def wait_ready(self) -> None:
        """Wait until uploads are created and connections open."""
        self._read()

    def work(self) -> Result:
        """Let it work, and return what it measured; its connections stay open."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Result(**self._read())

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line == "go":
            return {}
        if not line:
            raise LoadError(f"not done after {self._limit_s:.0f} s")
        answer = json.loads(line)
        if "error" in answer:
            raise LoadError(answer["error"])
        return dict(answer)


@contextlib.contextmanager
def driving(
    program: Path, mode: str, *, limit_s: float, **arguments: float | str
) -> Iterator[Drive]:
    """Run the load generator for the length of the context, at most `limit_s` seconds."""
    words = [f"{key}={value}" for key, value in arguments.items()]
    with subprocess.Popen(
        [str(program), mode, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            yield Drive(process, limit_s)
        finally:
            timer.cancel()
            process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
