"""The load generator sends what it says, and sees what is wrong; speed is no matter here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .load import LoadError, compile_program, driving, has_compiler
from .servers import BARE, LIMIT, OURS, Contestant, Running, contestants
from .workloads import WORKLOADS, Rig, Scale, checksum_of, make_pattern

pytestmark = pytest.mark.skipif(
    not has_compiler(), reason="needs Linux and a C compiler: apt-get install gcc libc6-dev"
)

CHUNK = 64 * 1024
SIZE = 3 * CHUNK


@pytest.fixture(scope="module")
def build_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs are compiled to."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture
def rig(build_dir: Path, tmp_path: Path) -> Rig:
    """A load generator with its pattern."""
    pattern = tmp_path / "pattern"
    make_pattern(pattern, os.urandom(CHUNK), CHUNK * 2)
    return Rig(load=compile_program("load", build_dir), pattern=pattern, scale=Scale())


@pytest.fixture(scope="module")
def servers(build_dir: Path) -> dict[str, Contestant]:
    """All servers, by id."""
    return {contestant.id: contestant for contestant in contestants(build_dir)}


@pytest.fixture(params=[OURS, LIMIT])
def server(
    request: pytest.FixtureRequest, servers: dict[str, Contestant], tmp_path: Path
) -> Iterator[Running]:
    """Our server, and the limit that it is compared with."""
    with servers[request.param].start(tmp_path / "uploads") as running:
        yield running


def stored(folder: Path) -> list[bytes]:
    """Return the bytes of all uploads."""
    files = [path for path in (folder / "uploads").iterdir() if path.is_file()]
    return [path.read_bytes() for path in files if path.suffix != ".info"]


def test_small_uploads(rig: Rig, server: Running, tmp_path: Path) -> None:
    """Each request that was counted is an upload with the body."""
    run = rig.drive(server, "post", connections=3, seconds=0.1, size=1000)

    bodies = stored(tmp_path)
    assert len(bodies) == run["requests"]
    assert set(bodies) == {rig.pattern.read_bytes()[:1000]}
    assert run["bytes"] == len(bodies) * 1000


def test_aiohttp_alone_stores_small_uploads(
    rig: Rig, servers: dict[str, Contestant], tmp_path: Path
) -> None:
    """The floor under them writes two files for each, and takes part in nothing else."""
    with servers[BARE].start(tmp_path / "uploads") as running:
        run = rig.drive(running, "post", connections=3, seconds=0.1, size=1000)
    bodies = stored(tmp_path)
    assert len(bodies) == run["requests"] == len(list(tmp_path.glob("uploads/*.info")))
    assert set(bodies) == {rig.pattern.read_bytes()[:1000]}
    assert [one.id for one in WORKLOADS if one.takes(BARE)] == ["post"]


@pytest.mark.parametrize("chunk", [0, CHUNK, 50_000])
def test_large_uploads(rig: Rig, server: Running, tmp_path: Path, chunk: int) -> None:
    """Uploads are the pattern, repeated, in one PATCH or in many."""
    run = rig.drive(server, "patch", connections=2, uploads=5, size=SIZE, chunk=chunk)

    assert stored(tmp_path) == [(rig.pattern.read_bytes() * 2)[:SIZE]] * 5
    assert run["bytes"] == 5 * SIZE
    assert run["requests"] == 5 * (-(-SIZE // chunk) if chunk else 1)


def test_checksums(rig: Rig, server: Running, tmp_path: Path) -> None:
    """The checksum of one chunk is that of all."""
    digest = checksum_of(rig.pattern, CHUNK)
    rig.drive(server, "patch", uploads=1, size=SIZE, chunk=CHUNK, checksum=digest)

    assert stored(tmp_path) == [(rig.pattern.read_bytes() * 2)[:SIZE]]


def test_slow_uploads(rig: Rig, server: Running) -> None:
    """Uploads are open for a second before HEADs are asked for, and go on meanwhile."""
    run = rig.drive(server, "slow", connections=20, seconds=0.5, size=SIZE, idle=3, heads=100)

    assert int(run["bytes"]) in range(48 * 1024, 52 * 1024 + 1)
    assert int(run["requests"]) in range(40, 51)


def test_cut_uploads(rig: Rig, server: Running) -> None:
    """It ends in the middle of bodies when it has sent enough."""
    run = rig.drive(server, "patch", connections=5, uploads=5, size=2**30, most=2**20)

    assert 2**20 <= int(run["bytes"]) < 2**26


@pytest.mark.parametrize("server", [OURS], indirect=True)
def test_wrong_answers_are_seen(rig: Rig, server: Running) -> None:
    """A refusal ends the run, with what the server said."""
    wrong = "sha256 " + "A" * 43 + "="
    with pytest.raises(LoadError, match="ERR_CHECKSUM_MISMATCH"):
        rig.drive(server, "patch", size=SIZE, uploads=1, checksum=wrong)


def test_patience_ends(rig: Rig, server: Running) -> None:
    """What takes too long is ended, by the process that started it."""
    with driving(
        rig.load, "slow", limit_s=0.3, port=server.port, path=server.path,
        pattern=str(rig.pattern), seconds=60,
    ) as drive:  # fmt: skip
        drive.wait_ready()
        with pytest.raises(LoadError, match="not done after"):
            drive.work()
