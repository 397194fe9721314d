"""JSON as records, events and logs have it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.compact_json import dump_json

TEXT = st.text(st.characters())  # surrogates as well
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES)
def test_it_is_what_the_standard_library_writes(value: object) -> None:
    """Whichever way it takes, the result is the same ASCII to the byte."""
    assert dump_json(value) == json.dumps(value, separators=(",", ":")).encode("ascii")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_as_it_was(number: float) -> None:
    """Nothing of a time gets lost."""
    assert json.loads(dump_json(number)) == number


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "\u202e", "\u2028", "\udc9b", "é"])
def test_nothing_reaches_a_terminal(text: str) -> None:
    """What would move a cursor, or turn a line round, is escaped."""
    dumped = dump_json({text: text})
    assert dumped.isascii()
    assert dumped.decode().isprintable()
    assert json.loads(dumped) == {text: text}


def test_what_json_has_not_is_refused() -> None:
    """A value of another kind is a mistake of ours."""
    with pytest.raises(TypeError):
        dump_json({"at": object()})
