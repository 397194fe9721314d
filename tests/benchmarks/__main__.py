"""The command of `make bench`; `--help` tells the options."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click
import psutil
from pydantic import ByteSize, TypeAdapter, ValidationError

from .bench import Plan, run_plan, write_results
from .load import has_compiler
from .page import write_page
from .report import render
from .results import Results
from .servers import ROOT, Contestant, contestants
from .workloads import GIB, WORKLOADS, Scale, Workload

_BUILD = ROOT / "build/bench"
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


def _size(context: click.Context, option: click.Parameter, value: str) -> int:
    try:
        return int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        raise click.BadParameter(f"{value!r} is not a size such as 256MiB") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--only", default="", help="workloads, comma list")
@click.option("--servers", "wanted", default="", help="servers, comma list; ours: all of ours")
@click.option("--rounds", default=5, type=click.IntRange(1), help="at most this many")
@click.option("--size", default="1GiB", callback=_size, help="of one large upload")
@click.option("--seconds", default=1.5, type=click.FloatRange(0.1), help="of small uploads")
@click.option("--connections", default=16, type=click.IntRange(1), help="of small uploads")
@click.option("--many", default=200, type=click.IntRange(1), help="uploads at once")
@click.option("--many-bytes", default="2GiB", callback=_size, help="sent over these in all")
@click.option("--slow", default=2000, type=click.IntRange(1), help="uploads at 1 KiB/s")
@click.option("--slow-seconds", default=4.0, type=click.FloatRange(0.5), help="held for")
@click.option(
    "--dir", "directory", default=_MEMORY, type=click.Path(path_type=Path), help="of uploads"
)
@click.option(
    "--json", "data", default=_BUILD / "results.json", type=click.Path(path_type=Path),
    help="the results file", show_default="build/bench/results.json",
)  # fmt: skip
@click.option("--docs", is_flag=True, help="only write the documentation from the results file")
def main(  # noqa: PLR0917 - click calls it by keyword
    only: str,
    wanted: str,
    rounds: int,
    size: int,
    seconds: float,
    connections: int,
    many: int,
    many_bytes: int,
    slow: int,
    slow_seconds: float,
    directory: Path,
    data: Path,
    *,
    docs: bool,
) -> None:
    """Compare this server with others, on this machine and over loopback."""
    if docs:
        if not data.exists():
            raise click.ClickException(f"{data} is missing: run `make bench` first")
        write_page(data)
        return
    if not has_compiler():
        raise click.ClickException(
            "Linux and a C compiler are needed: apt-get install gcc libc6-dev"
        )
    scale = Scale(
        size=size,
        seconds=seconds,
        connections=connections,
        many=many,
        many_bytes=many_bytes,
        slow=slow,
        slow_seconds=slow_seconds,
    )
    _check_room(directory, scale)
    signal.signal(signal.SIGTERM, _stop)
    plan = Plan(
        contestants=_chosen_servers(wanted),
        workloads=_chosen_workloads(only),
        rounds=rounds,
        scale=scale,
        directory=directory,
        build_dir=_BUILD,
        say=lambda line: click.echo(line, err=True),
    )
    for contestant in plan.contestants:
        if contestant.missing is not None:
            click.echo(f"{contestant.name} is not installed: {contestant.missing}", err=True)
    document = run_plan(plan)
    write_results(document, data)
    click.echo(render(Results(document)))
    click.echo(f"results: {data}", err=True)


def _stop(number: int, frame: FrameType | None) -> None:
    """Unwind, so that servers are ended and files removed."""
    sys.exit(128 + number)


def _check_room(directory: Path, scale: Scale) -> None:
    if not directory.is_dir():
        raise click.ClickException(f"{directory} is no directory: choose another with --dir")
    free = psutil.disk_usage(str(directory)).free
    if directory == _MEMORY:
        free = min(free, psutil.virtual_memory().available)
    if free < scale.most_bytes():
        raise click.ClickException(
            f"{directory} has {free / GIB:.1f} GiB free, uploads need"
            f" {scale.most_bytes() / GIB:.1f}: use --size and --many-bytes, or --dir"
        )


def _chosen_workloads(only: str) -> Sequence[Workload]:
    known = {workload.id for workload in WORKLOADS}
    names = set(filter(None, only.split(","))) or known
    if names - known:
        raise click.ClickException(f"workloads are {', '.join(w.id for w in WORKLOADS)}")
    return [workload for workload in WORKLOADS if workload.id in names]


def _chosen_servers(wanted: str) -> Sequence[Contestant]:
    there = contestants(_BUILD)
    names = set(filter(None, wanted.split(","))) or {c.id for c in there}
    if names - {"ours"} - {c.id for c in there}:
        raise click.ClickException(f"servers are ours, {', '.join(c.id for c in there)}")
    ours = "ours" in names
    return [c for c in there if c.id in names or (ours and c.id.startswith("ours"))]


if __name__ == "__main__":
    main()
