"""What the servers are given to do."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .load import driving
from .measure import file_system, usage
from .servers import BARE, OURS, OURS_ALL_CORES, OURS_REDIS, Running

MIB = 2**20
GIB = 2**30
BODY = 4096
CHUNK = 8 * MIB
PATTERN_BYTES = 64 * MIB
SCALE = (1, 2, 8, 32, 128, 500, 2000)
_SCALE_UPLOAD = MIB
_IDLE_UPLOADS = 100
_RECORDS_BYTES = 2 * MIB
_LONG_UPLOAD = GIB
# No peer takes this long unless it hangs; slower than this is as good as not at all.
_SLOWEST_BYTES_PER_S = 25e6
_PATIENCE_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much of everything.

    Attributes:
        size: of one large upload.
        seconds: of small uploads.
        many: concurrent uploads while memory is watched.
        many_bytes: sent over all of them.
        slow: concurrent uploads at 1 KiB/s.
        slow_seconds: for which they are held.
        connections: of small uploads.
    """

    size: int = GIB
    seconds: float = 1.5
    many: int = 200
    many_bytes: int = 2 * GIB
    slow: int = 2000
    slow_seconds: float = 4.0
    connections: int = 16

    def most_bytes(self) -> int:
        """Return how much room uploads need, with those of the scaling runs."""
        return max(self.size, self.many_bytes, int(GIB * self.seconds)) + PATTERN_BYTES


Run = dict[str, str | int | float]
"""One measurement, as the results file has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rig:
    """What a workload drives the server with."""

    load: Path
    pattern: Path
    scale: Scale

    def drive(self, server: Running, mode: str, **arguments: float | str) -> Run:
        """Let the load generator do its work; return what that took."""
        expected_s = float(arguments.get("seconds", 0))
        expected_s += self._most_bytes(arguments) / _SLOWEST_BYTES_PER_S
        with driving(
            self.load,
            mode,
            limit_s=expected_s + _PATIENCE_S,
            port=server.port,
            path=server.path,
            pattern=str(self.pattern),
            **arguments,
        ) as drive:
            drive.wait_ready()
            warm_memory(self.pattern.parent, int(self._most_bytes(arguments)))
            before = usage(server.pid)
            result = drive.work()
            after = usage(server.pid)
        measured = asdict(result)
        return {
            "seconds": result.seconds,
            "requests": result.requests,
            "bytes": result.bytes,
            "p50_ms": measured["p50_us"] / 1000,
            "p99_ms": measured["p99_us"] / 1000,
            "max_ms": measured["max_us"] / 1000,
            "cpu_s": round(after.cpu_s - before.cpu_s, 3),
            "load_cpu_s": result.cpu_s,
            "idle_bytes": before.resident,
            "resident_bytes": after.resident,
            "peak_bytes": after.peak,
        }

    @staticmethod
    def _most_bytes(arguments: Mapping[str, float | str]) -> float:
        whole = float(arguments.get("uploads", 0)) * float(arguments.get("size", 0))
        return float(arguments.get("most", whole))


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Something for servers to do.

    Attributes:
        work: yields measurements.
        servers: the only ones that take part; None: all.
        durable: whether it is worth comparing durabilities.
        most_rounds: more would take too long.
    """

    id: str
    work: Callable[[Rig, Running], Iterator[Run]]
    servers: tuple[str, ...] | None = None
    durable: bool = False
    most_rounds: int = 100

    def takes(self, server: str) -> bool:
        """Whether a server takes part."""
        if self.servers is not None:
            return server in self.servers
        if server == OURS_REDIS:
            return False
        if server == BARE:
            return self.id == "post"
        return self.durable or server not in ("ours-complete", "ours-ack")


def make_pattern(path: Path, chunk: bytes, size: int = PATTERN_BYTES) -> None:
    """Write the bytes of all uploads: a chunk, repeated, so that all chunks have one digest."""
    path.write_bytes(chunk * (size // len(chunk)))


def warm_memory(folder: Path, size: int) -> None:
    """Fill as much of a file system in memory as is about to be, and free it again.

    A virtual machine gives memory that is free for a moment back to its host, and getting it
    again takes longer than the upload: whoever started up faster would look better.
    """
    if size and file_system(folder) == "tmpfs":
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(size // MIB):
                file.write(bytes(MIB))


def checksum_of(pattern: Path, chunk: int = CHUNK) -> str:
    """Return what Upload-Checksum says about each chunk."""
    with pattern.open("rb") as file:
        digest = hashlib.sha256(file.read(chunk)).digest()
    return "sha256 " + base64.b64encode(digest).decode()


def _post(rig: Rig, server: Running) -> Iterator[Run]:
    rig.drive(server, "post", connections=4, seconds=0.3, size=BODY)
    connections = rig.scale.connections
    yield rig.drive(server, "post", connections=connections, seconds=rig.scale.seconds, size=BODY)


def _patch(rig: Rig, server: Running) -> Iterator[Run]:
    rig.drive(server, "patch", size=32 * MIB)
    yield rig.drive(server, "patch", size=rig.scale.size, uploads=1)


def _chunks(rig: Rig, server: Running) -> Iterator[Run]:
    rig.drive(server, "patch", size=32 * MIB, chunk=CHUNK)
    yield rig.drive(server, "patch", size=rig.scale.size, uploads=1, chunk=CHUNK)


def _records(rig: Rig, server: Running) -> Iterator[Run]:
    """PATCHes so small that they cost little beside their claims and records."""
    rig.drive(server, "patch", size=MIB, chunk=BODY)
    yield rig.drive(server, "patch", connections=8, uploads=8, size=_RECORDS_BYTES, chunk=BODY)


def _checksum(rig: Rig, server: Running) -> Iterator[Run]:
    digest = checksum_of(rig.pattern)
    rig.drive(server, "patch", size=32 * MIB, chunk=CHUNK, checksum=digest)
    yield rig.drive(server, "patch", size=rig.scale.size, uploads=1, chunk=CHUNK, checksum=digest)


def _many(rig: Rig, server: Running) -> Iterator[Run]:
    """Long uploads, cut when as much has been sent as all of the short ones have."""
    scale = rig.scale
    yield rig.drive(
        server,
        "patch",
        connections=scale.many,
        uploads=scale.many,
        size=_LONG_UPLOAD,
        most=scale.many_bytes,
    )


def _many_short(rig: Rig, server: Running) -> Iterator[Run]:
    scale = rig.scale
    size = scale.many_bytes // scale.many
    yield rig.drive(server, "patch", connections=scale.many, uploads=scale.many, size=size)


def _slow(rig: Rig, server: Running) -> Iterator[Run]:
    scale = rig.scale
    run = rig.drive(
        server,
        "slow",
        connections=scale.slow,
        seconds=scale.slow_seconds,
        size=MIB,
        idle=_IDLE_UPLOADS,
    )
    yield run | {"uploads": scale.slow}


def _scale_post(rig: Rig, server: Running) -> Iterator[Run]:
    rig.drive(server, "post", connections=4, seconds=0.3, size=BODY)
    for connections in SCALE:
        run = rig.drive(
            server, "post", connections=connections, seconds=rig.scale.seconds / 2, size=BODY
        )
        yield run | {"connections": connections}


def _scale_patch(rig: Rig, server: Running) -> Iterator[Run]:
    """Uploads of 1 MiB, in one PATCH each."""
    least = rig.scale.size // 8 // _SCALE_UPLOAD
    rig.drive(server, "patch", size=32 * MIB)
    for connections in SCALE:
        run = rig.drive(
            server,
            "patch",
            connections=connections,
            uploads=max(least, connections),
            size=_SCALE_UPLOAD,
        )
        yield run | {"connections": connections}


WORKLOADS = (
    Workload(id="post", work=_post, durable=True),
    Workload(id="patch", work=_patch, durable=True),
    Workload(id="chunks", work=_chunks, durable=True),
    Workload(id="checksum", work=_checksum, servers=(OURS, OURS_ALL_CORES)),
    Workload(id="records", work=_records, servers=(OURS, OURS_REDIS)),
    Workload(id="many", work=_many, most_rounds=2),
    Workload(id="many-short", work=_many_short, most_rounds=2),
    Workload(id="slow", work=_slow, most_rounds=2),
    Workload(id="scale-post", work=_scale_post, most_rounds=1),
    Workload(id="scale-patch", work=_scale_patch, most_rounds=1),
)
