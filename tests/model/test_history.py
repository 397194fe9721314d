"""The checker of histories finds what must not happen, and nothing else."""

from __future__ import annotations

import pytest

from .history import CONFLICT, GONE, OK, PARTLY, Event, answer, check

Step = tuple[str, dict[str, object], dict[str, object] | None]

CREATED: Step = ("create", {"length": 4}, {"status": OK, "offset": 0})
FIRST: Step = ("append", {"offset": 0, "data": b"ab"}, {"status": OK, "offset": 2})
SECOND: Step = ("append", {"offset": 2, "data": b"cd"}, {"status": OK, "offset": 4})
LOST: Step = ("append", {"offset": 2, "data": b"cd"}, None)
GOT: Step = ("get", {}, {"status": OK, "data": b"abcd"})
DELETED: Step = ("delete", {}, {"status": OK})
HEAD_2: Step = ("head", {}, {"status": OK, "offset": 2, "length": 4})
CUT: Step = ("cut", {"floor": 1}, None)


def _peek(data: bytes) -> Step:
    return ("peek", {}, {"status": OK, "data": data})


def _one_by_one(*steps: Step) -> list[Event]:
    return [
        Event(t_start=n, t_end=n + 0.5, client="a", op=op, args={"id": "x", **args}, result=result)
        for n, (op, args, result) in enumerate(steps)
    ]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([CREATED, FIRST, HEAD_2, SECOND, GOT, DELETED], id="all is well"),
        pytest.param([CREATED, FIRST, LOST, HEAD_2], id="an unknown append did not happen"),
        pytest.param([CREATED, FIRST, LOST, _peek(b"abc")], id="it happened in part"),
        pytest.param([CREATED, FIRST, LOST, SECOND, GOT], id="it did not, and came again"),
        pytest.param(
            [CREATED, FIRST, CUT, ("head", {}, {"status": OK, "offset": 1}), _peek(b"a")],
            id="a power cut takes what was not promised",
        ),
        pytest.param(
            [CREATED, FIRST, ("append", {"offset": 2, "data": b"cdX"}, {"status": PARTLY})],
            id="an append that failed half way",
        ),
        pytest.param([CREATED, ("delete", {}, None), HEAD_2], id="a delete that nobody knows of"),
    ],
)
def test_what_may_happen(steps: list[Step]) -> None:
    """Nothing is found wrong where nothing is."""
    assert check(_one_by_one(*steps)) == []


@pytest.mark.parametrize(
    ("invariant", "steps"),
    [
        ("I1", [CREATED, FIRST, ("head", {}, {"status": OK, "offset": 1})]),
        ("I1", [CREATED, FIRST, CUT, ("head", {}, {"status": OK, "offset": 0})]),
        ("I2", [CREATED, FIRST, _peek(b"aX")]),
        ("I2", [CREATED, FIRST, _peek(b"a")]),
        ("I2, I3", [CREATED, FIRST, SECOND, _peek(b"abcdcd")]),
        ("I2, I3", [CREATED, FIRST, LOST, _peek(b"abd")]),
        ("I2, I3", [CREATED, FIRST, _peek(b"ab\0\0")]),
        ("I11", [CREATED, DELETED, HEAD_2]),
        ("I11", [CREATED, ("head", {}, {"status": GONE}), HEAD_2]),
        ("I13", [CREATED, ("finish", {}, None), ("finish", {}, None)]),
        ("I13", [CREATED, FIRST, ("get", {}, {"status": OK, "data": b"ab"})]),
        ("I14", [CREATED, FIRST, SECOND, GOT, ("get", {}, {"status": OK, "data": b"abcX"})]),
        ("I15", [CREATED, ("head", {}, {"status": OK, "offset": 0, "length": 5})]),
        ("I17", [CREATED, FIRST, HEAD_2, ("append", {"offset": 2}, {"status": CONFLICT})]),
    ],
)
def test_what_must_not_happen(invariant: str, steps: list[Step]) -> None:
    """Each invariant that is broken is named."""
    assert any(f": {invariant}: " in sentence for sentence in check(_one_by_one(*steps)))


def test_what_overlaps_may_have_happened_in_any_order() -> None:
    """A HEAD that runs beside a PATCH may tell the offset from before it, or from after it."""
    before, after = _one_by_one(CREATED, FIRST)
    beside = Event(
        t_start=0.9, t_end=2, client="b", op="head", args={"id": "x"}, result=answer(200, 0)
    )
    assert check([before, after, beside]) == []


def test_events_survive_as_lines() -> None:
    """What is written as a line of JSON is read as the same event."""
    for event in _one_by_one(CREATED, FIRST, LOST, GOT):
        assert Event.from_json(event.to_json()) == event


@pytest.mark.parametrize(
    ("status", "word"),
    [(204, OK), (409, CONFLICT), (404, GONE), (410, GONE), (460, "refused"), (503, PARTLY)],
)
def test_answers_of_a_server(status: int, word: str) -> None:
    """A status of HTTP says whether anything may have changed."""
    assert answer(status, 7) == {"status": word, "offset": 7}
