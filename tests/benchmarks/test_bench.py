"""In which order servers take their turns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .bench import Plan
from .servers import Contestant, Running
from .workloads import Rig, Run, Scale, Workload


@contextlib.contextmanager
def _never(_directory: Path) -> Iterator[Running]:
    raise AssertionError("nobody is started here")
    yield


def _nothing(_rig: Rig, _server: Running) -> Iterator[Run]:
    yield from ()


def _contestant(name: str, missing: str | None = None) -> Contestant:
    return Contestant(
        id=name, name=name, version="", durability="", processes="", start=_never, missing=missing
    )


def test_each_round_begins_with_another_server(tmp_path: Path) -> None:
    """In all else the order is kept, so that the servers still take turns."""
    plan = Plan(
        contestants=[
            _contestant("a"),
            _contestant("b"),
            _contestant("c", "get it"),
            _contestant("d"),
        ],
        workloads=[Workload(id="post", work=_nothing), Workload(id="patch", work=_nothing)],
        rounds=4,
        scale=Scale(),
        directory=tmp_path,
        build_dir=tmp_path,
        say=print,
    )
    turns = [(number, workload.id, contestant.id) for number, workload, contestant in plan.turns()]
    posts = [
        "".join(who for n, what, who in turns if (n, what) == (r, "post")) for r in range(1, 5)
    ]
    assert posts == ["abd", "bda", "dab", "abd"]
    assert [what for _, what, _ in turns[:6]] == ["post"] * 3 + ["patch"] * 3
