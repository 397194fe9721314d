"""Renders the results as Markdown tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .goals import GOALS
from .results import (
    GIB,
    Metric,
    Results,
    Spread,
    cpu,
    field,
    grown_kib,
    load_share,
    peak_mb,
    rate,
)
from .servers import LIMIT, OURS, OURS_ALL_CORES
from .workloads import SCALE

_NONE = DASH = "\N{EN DASH}"
_MIB = 2**20
# Fewer say nothing about a noisy machine.
_FEWEST_ROUNDS = 3

Column = tuple[str, Callable[[Results, str], str]]


def render(results: Results) -> str:
    """Return everything that there is to say about the results."""
    parts = [
        _conditions(results),
        _goals(results),
        *(_rates(results, *table) for table in _RATES),
        _many(results),
        _slow(results),
        *(_scaling(results, *table) for table in _SCALING),
        _generator(results),
        _missing(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def number(value: float) -> str:
    """Return a number with as many digits as mean anything."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(found: Spread | None) -> str:
    """Return a median with its least and most."""
    if found is None:
        return _NONE
    if found.least == found.most:
        return number(found.median)
    return f"{number(found.median)} ({number(found.least)}{DASH}{number(found.most)})"


def size(count: float) -> str:
    """Return a size with its unit."""
    if count >= GIB:
        return f"{count / GIB:g} GiB"
    return f"{count / _MIB:g} MiB" if count >= _MIB else f"{count / 1024:g} KiB"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _conditions(results: Results) -> str:
    document = results.document
    here: Mapping[str, Any] = document["machine"]
    rounds = document["rounds"]
    trial = rounds < _FEWEST_ROUNDS or document["scale"]["size"] < GIB
    return (
        ("**A short trial, not to be quoted.**\n" if trial else "")
        + f"Measured on {document['date']}: {here['cpu']}, {here['cores']} cores,"
        f" {here['memory_gib']} GiB, {here['system']}, Python {here['python']};"
        f" uploads on {here['file_system']}; {rounds} round{'s' if rounds > 1 else ''};"
        f" load average at the start {here['load_average']}.\n"
        "Figures are medians of the rounds, with the least and the most in parentheses;"
        " ratios are taken within a round."
    )


def _goals(results: Results) -> str:
    known = results.document["scale"]
    scale = {**known, "size": size(known["size"])}
    rows = []
    for goal in GOALS:
        found = goal.measure(results)
        measured = "not measured" if found is None else spread(found) + goal.unit
        verdict = _NONE if found is None else ("yes" if goal.reached(found) else "**no**")
        work = goal.work.format(**scale)
        rows.append((work, goal.compared, goal.target(), measured, verdict))
    heads = ("work", "compared", "goal", "measured", "reached")
    return "### Goals\n\n" + table(heads, rows)


def _values(workload: str, metric: Metric) -> Callable[[Results, str], str]:
    return lambda results, server: spread(results.spread(workload, server, metric))


def _over(workload: str, ours: str) -> Callable[[Results, str], str]:
    return lambda results, server: spread(results.ratio((workload, ours), (workload, server), rate))


def _rows(results: Results, workload: str, columns: Sequence[Column]) -> str:
    rows = []
    for server, facts in results.servers.items():
        error = results.error(workload, server)
        cells = [column(results, server) for _, column in columns]
        if error is not None:
            cells[0] += f" failed: {error.replace('|', '/')}"
        if any(cell != _NONE for cell in cells):
            rows.append((facts["name"], facts["durability"], facts["processes"], *cells))
    heads = ("server", "durability", "processes", *(head for head, _ in columns))
    return table(heads, rows)


def _rates(
    results: Results, title: str, workload: str, unit: str, references: Sequence[str]
) -> str:
    if not results.has(workload):
        return ""
    columns: list[Column] = [(unit, _values(workload, rate))]
    for ours in references:
        which = ", all cores" if ours == OURS_ALL_CORES else ""
        columns.append((f"tusd-py{which} / it", _over(workload, ours)))
    if workload == "post":
        columns += [
            ("p50 ms", _values(workload, field("p50_ms"))),
            ("p99 ms", _values(workload, field("p99_ms"))),
        ]
    per = "1 000 requests" if workload == "post" else "GiB"
    columns += [
        (f"server CPU s/{per}", _values(workload, cpu)),
        ("peak MB of a process", _values(workload, peak_mb)),
        ("client CPU %", _values(workload, load_share)),
    ]
    scale = results.document["scale"]
    title = title.format(size=size(scale["size"]), connections=scale["connections"])
    return f"### {title}\n\n" + _rows(results, workload, columns)


_RATES = (
    (
        "Small uploads: creation with a body of 4 KiB, {connections} connections",
        "post",
        "requests/s",
        (OURS, OURS_ALL_CORES),
    ),
    ("One upload of {size} in one PATCH", "patch", "MB/s", (OURS,)),
    ("One upload of {size} in PATCHes of 8 MiB", "chunks", "MB/s", (OURS,)),
    ("The same, each PATCH with its sha256", "checksum", "MB/s", ()),
)


def _many(results: Results) -> str:
    if not results.has("many"):
        return ""
    scale = results.document["scale"]
    short = size(scale["many_bytes"] // scale["many"] // _MIB * _MIB)
    columns: list[Column] = [
        ("peak MB of a process", _values("many", peak_mb)),
        (f"with uploads of {short}", _values("many-short", peak_mb)),
        ("these in MB/s", _values("many-short", rate)),
    ]
    title = (
        f"### {scale['many']} uploads of 1 GiB at once, cut after"
        f" {size(scale['many_bytes'])} in all"
    )
    return f"{title}\n\n" + _rows(results, "many", columns)


def _slow(results: Results) -> str:
    if not results.has("slow"):
        return ""
    columns: list[Column] = [
        ("HEAD p50 ms", _values("slow", field("p50_ms"))),
        ("HEAD p99 ms", _values("slow", field("p99_ms"))),
        ("KiB an upload", _values("slow", grown_kib)),
        ("peak MB of a process", _values("slow", peak_mb)),
    ]
    title = f"### {results.document['scale']['slow']} uploads at 1 KiB/s, and 200 HEADs a second"
    return f"{title}\n\n" + _rows(results, "slow", columns)


_SCALING = (
    ("Small uploads, by connections (requests/s)", "scale-post"),
    ("Uploads of 1 MiB, by connections (MB/s)", "scale-patch"),
)


def _scaling(results: Results, title: str, workload: str) -> str:
    if not results.has(workload):
        return ""
    rows = []
    for server, facts in results.servers.items():
        found = [Spread.of(results.by_round(workload, server, rate, n).values()) for n in SCALE]
        error = results.error(workload, server)
        if any(found) or error:
            cells = [_NONE if s is None else number(s.median) for s in found]
            cells[-1] += f" failed: {error.replace('|', '/')}" if error else ""
            rows.append((facts["name"], *cells))
    return f"### {title}\n\n" + table(("server", *map(str, SCALE)), rows)


def _generator(results: Results) -> str:
    rows = []
    for workload, unit in (("post", "requests/s"), ("patch", "MB/s"), ("chunks", "MB/s")):
        best, share = (results.spread(workload, LIMIT, metric) for metric in (rate, load_share))
        if best is not None and share is not None:
            most = number(best.median / share.median * 100)
            rows.append((workload, spread(best), spread(share), f"{most} {unit}"))
    if not rows:
        return ""
    heads = ("work", "rate against limit", "client CPU %", "a core's worth of client")
    return "### What the client itself can do\n\n" + table(heads, rows)


def _missing(results: Results) -> str:
    versions = [
        f"- {facts['name']}: {facts['version']}"
        for server, facts in results.servers.items()
        if facts["version"] and server not in ("ours-none-auto", "ours-complete", "ours-ack")
    ]
    missing = [
        f"- {name}: not installed ({how})" for name, how in results.document["missing"].items()
    ]
    return "### Versions\n\n" + "\n".join(versions + missing)
