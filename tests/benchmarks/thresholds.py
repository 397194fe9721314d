"""Where the better way changes: ``python -m tests.benchmarks.thresholds`` prints CPU of both.

A body is received on one of two lanes, and a small upload is stored in one go or as it streams;
how large it has to be for the one or the other is a constant. This drives two servers in turn
that take the one way for every size, and the other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tusd_py import Settings
from tusd_py.server import run_worker
from tusd_py.service import intake
from tusd_py.web import body
from tusd_py.web.listening import listen_tcp

from .load import compile_program
from .servers import Running
from .workloads import MIB, Rig, Scale, make_pattern

_KIB = 1024
_NEVER = 1 << 60
ROUNDS = 5
PATCHES = 128 * MIB  # bytes in each measurement
PATCH_SIZES = tuple(kib * _KIB for kib in (128, 256, 512, 1024, 2048, 4096))
POST_SIZES = tuple(kib * _KIB for kib in (4, 16, 64))
POST_S = 1.0


def _serve(directory: str, direct_bytes: int, whole_bytes: int, ready: Connection) -> None:
    """Be a server with other thresholds."""
    body.DIRECT_BYTES, intake.WHOLE_BYTES = direct_bytes, whole_bytes
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with listen_tcp("127.0.0.1", 0) as sock:
        settings = Settings.model_validate({"upload_dir": directory, "durability": "none"})
        run_worker(settings, sock, lambda: ready.send(sock.getsockname()[1]))


@contextlib.contextmanager
def _serving(directory: Path, direct_bytes: int, whole_bytes: int) -> Iterator[Running]:
    spawn = multiprocessing.get_context("spawn")
    told, tell = spawn.Pipe(duplex=False)
    process = spawn.Process(
        target=_serve, args=(str(directory), direct_bytes, whole_bytes, tell), daemon=True
    )
    process.start()
    try:
        assert process.pid is not None
        assert told.poll(20), "the server did not start"
        yield Running(pid=process.pid, port=told.recv())
    finally:
        process.terminate()
        process.join(20)


def _patch_us(rig: Rig, server: Running, size: int) -> float:
    run = rig.drive(server, "patch", size=size, uploads=PATCHES // size)
    return float(run["cpu_s"]) / (PATCHES // size) * 1e6


def _post_us(rig: Rig, server: Running, size: int) -> float:
    run = rig.drive(server, "post", size=size, connections=4, seconds=POST_S)
    return float(run["cpu_s"]) / float(run["requests"]) * 1e6


def _compare(folder: Path, rig: Rig) -> tuple[list[str], list[str]]:
    """Return the lines of both tables."""
    patches: dict[tuple[int, str], list[float]] = {}
    posts: dict[tuple[int, str], list[float]] = {}
    sizes = [size for size in PATCH_SIZES if size <= PATCHES]
    for number in range(ROUNDS):
        for way, direct, whole in (("stream", _NEVER, 0), ("direct", 0, _NEVER)):
            with _serving(folder / f"{way}-{number}", direct, whole) as server:
                _patch_us(rig, server, MIB)
                for size in sizes:
                    patches.setdefault((size, way), []).append(_patch_us(rig, server, size))
                for size in POST_SIZES:
                    posts.setdefault((size, way), []).append(_post_us(rig, server, size))
    return _lines(patches, sizes), _lines(posts, POST_SIZES)


def _lines(took: dict[tuple[int, str], list[float]], sizes: Sequence[int]) -> list[str]:
    lines = []
    for size in sizes:
        one, other = took[size, "stream"], took[size, "direct"]
        ratio = statistics.median(b / max(a, 1) for a, b in zip(one, other, strict=True))
        lines.append(
            f"{size // _KIB:6} KiB {statistics.median(one):8.0f} µs"
            f" {statistics.median(other):8.0f} µs {ratio:8.2f}"
        )
    return lines


def main() -> None:
    """Print server CPU of a request, by its size, both ways; and the median of their ratios."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        make_pattern(folder / "pattern", os.urandom(MIB), PATCHES)
        rig = Rig(load=compile_program("load", folder), pattern=folder / "pattern", scale=Scale())
        patches, posts = _compare(folder, rig)
    print(
        f"PATCH: aiohttp's stream, fast lane, ratio (in use from {body.DIRECT_BYTES // _KIB} KiB)"
    )
    print("\n".join(patches))
    print(f"POST: as it streams, in one go, ratio (in use up to {intake.WHOLE_BYTES // _KIB} KiB)")
    print("\n".join(posts))


if __name__ == "__main__":
    main()
