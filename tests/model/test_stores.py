"""Every store keeps what the model says, whatever clients, the clock and crashes do.

MODEL_RUNS=20 (or any number) runs so many times as long, each time with other draws.
A failure prints the steps that lead to it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.redis_server import RedisServer, running_redis
from tusd_py.interfaces import Durability

from .driver import Place
from .machine import StoreMachine

RUNS = int(os.environ.get("MODEL_RUNS", "0"))
EXAMPLES = {"memory": 50, "disk": 40, "threads": 20, "redis": 20}


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    """A server for all examples, empty at the beginning of each."""
    with running_redis() as server:
        yield server


@pytest.mark.timeout(0 if RUNS else 120)
@pytest.mark.parametrize("durability", [Durability.COMPLETE, Durability.ACK])
@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_service_does_what_the_model_says(
    kind: str, durability: Durability, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """I1, I2, I3, I11, I13, I14, I15, I17, I20, I21: for each order of what may happen."""
    redis = request.getfixturevalue("redis_server") if kind == "redis" else None
    directories = (tmp_path / str(number) for number in itertools.count())
    place = Place(kind, tmp_path, redis, durability)

    def machine() -> StoreMachine:
        return StoreMachine(replace(place, directory=next(directories)))

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a function that makes one will do
        settings=settings(
            max_examples=EXAMPLES[kind] * max(1, RUNS),
            stateful_step_count=25,
            deadline=None,
            derandomize=not RUNS,
            database=None,
            print_blob=True,
            # Where threads make runs differ, to search for a shorter one takes for ever.
            phases=[Phase.generate, Phase.shrink] if place.seeded else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
