"""Where the better way changes: ``python -m tests.benchmarks.thresholds`` prints CPU of both.

A body is received on one of two lanes, and a small upload is stored in one go or as it streams;
how large it has to be for the one or the other is a constant. This
drives two servers in turn that take the one way for every size, and the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from tusd_py import Settings
from tusd_py.server import run_worker
from tusd_py.service import intake
from tusd_py.web import connection
from tusd_py.web.listening import listen_tcp

from .load import compile_program
from .servers import Running
from .workloads import MIB, Rig, Scale, make_pattern

_KIB = 1024
_NEVER = 1 << 60
ROUNDS = 5
PATCHES = 128 * MIB  # bytes in each measurement
POST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What a server takes for the constants of those names."""

    direct_bytes: int = connection.DIRECT_BYTES
    whole_bytes: int = intake.WHOLE_BYTES


def _serve(directory: str, constants: Constants, ready: Connection) -> None:
    """Be a server with other thresholds."""
    connection.DIRECT_BYTES = constants.direct_bytes
    intake.WHOLE_BYTES = constants.whole_bytes
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with listen_tcp("127.0.0.1", 0) as sock:
        settings = Settings.model_validate({"upload_dir": directory, "durability": "none"})
        run_worker(settings, sock, lambda: ready.send(sock.getsockname()[1]))


@contextlib.contextmanager
def _serving(directory: Path, constants: Constants) -> Iterator[Running]:
    spawn = multiprocessing.get_context("spawn")
    told, tell = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(str(directory), constants, tell), daemon=True)
    process.start()
    try:
        assert process.pid is not None
        assert told.poll(20), "the server did not start"
        yield Running(pid=process.pid, port=told.recv())
    finally:
        process.terminate()
        process.join(20)


def _patch_us(rig: Rig, server: Running, size: int) -> float:
    uploads = PATCHES // size
    run = rig.drive(server, "patch", size=size, uploads=uploads, connections=1)
    return float(run["cpu_s"]) / uploads * 1e6


def _post_us(rig: Rig, server: Running, size: int) -> float:
    run = rig.drive(server, "post", size=size, connections=4, seconds=POST_S)
    return float(run["cpu_s"]) / float(run["requests"]) * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two ways to do something, by the size of the body."""

    title: str
    ways: tuple[Constants, Constants]
    measure: Callable[[Rig, Running, int], float]
    kib: Sequence[int]

    def run(self, folder: Path, rig: Rig) -> list[str]:
        """Return a line for each size, with the median of the ratios in each round."""
        took: dict[int, list[Sequence[float]]] = {kib: [] for kib in self.kib}
        for _ in range(ROUNDS):
            ways = [self._costs(folder, rig, way) for way in self.ways]
            for kib, both in zip(self.kib, zip(*ways, strict=True), strict=True):
                took[kib].append(both)
        return [self.title, *(_line(kib, both) for kib, both in took.items())]

    def _costs(self, folder: Path, rig: Rig, way: Constants) -> list[float]:
        # Removed at once: all of it is in memory.
        with (
            tempfile.TemporaryDirectory(dir=folder) as directory,
            _serving(Path(directory), way) as server,
        ):
            self.measure(rig, server, self.kib[-1] * _KIB)
            return [self.measure(rig, server, kib * _KIB) for kib in self.kib]


COMPARISONS = (
    Comparison(
        title="PATCH: aiohttp's stream, fast lane, ratio"
        f" (in use from {connection.DIRECT_BYTES // _KIB} KiB)",
        ways=(Constants(direct_bytes=_NEVER), Constants(direct_bytes=0)),
        measure=_patch_us,
        kib=(128, 256, 512, 1024, 2048, 4096),
    ),
    Comparison(
        title="POST: as it streams, in one go, ratio"
        f" (in use up to {intake.WHOLE_BYTES // _KIB} KiB)",
        ways=(Constants(whole_bytes=0), Constants(whole_bytes=_NEVER)),
        measure=_post_us,
        kib=(4, 16, 64),
    ),
)


def _line(kib: int, both: Sequence[Sequence[float]]) -> str:
    one, other = (statistics.median(costs) for costs in zip(*both, strict=True))
    ratio = statistics.median(b / max(a, 1) for a, b in both)
    return f"{kib:6} KiB {one:8.0f} µs {other:8.0f} µs {ratio:8.2f}"


def main() -> None:
    """Print server CPU of a request, by its size, both ways."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        make_pattern(folder / "pattern", os.urandom(MIB), PATCHES)
        rig = Rig(load=compile_program("load", folder), pattern=folder / "pattern", scale=Scale())
        for comparison in COMPARISONS:
            print("\n".join(comparison.run(folder, rig)))


if __name__ == "__main__":
    main()
