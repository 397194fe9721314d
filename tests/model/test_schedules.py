"""Two requests for one upload in many orders of their steps, one of them cancelled at each step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from .driver import Driver, Place
from .history import check
from .machine import OWNER, cancelled_after
from .model import EXPIRE_AFTER_S, OK, Sent

Work = Callable[[Driver, str], Coroutine[Any, Any, Any]]

SEEDS: Final = range(4)
STEPS: Final = (None, 0, 1, 2, 3, 5, 8, 13)
FIRST, ONE, OTHER = b"12", b"abcdef", b"UVWXYZ"


def _append(data: bytes) -> Work:
    return lambda driver, name: driver.append(name, OWNER, len(FIRST), Sent(data=data))


def _head(driver: Driver, name: str) -> Coroutine[Any, Any, str]:
    return driver.inspect(name, OWNER)


def _delete(driver: Driver, name: str) -> Coroutine[Any, Any, str]:
    return driver.terminate(name, OWNER)


def _join(driver: Driver, name: str) -> Coroutine[Any, Any, str]:
    return driver.create(OWNER, None, "final", None, (name,))


async def _expire(driver: Driver, name: str) -> None:
    driver.now += EXPIRE_AFTER_S
    await driver.sweep()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(_append(ONE), _append(OTHER), id="PATCH and PATCH"),
        pytest.param(_append(ONE), _delete, id="PATCH and DELETE"),
        pytest.param(_append(ONE), _head, id="PATCH and HEAD"),
        pytest.param(_append(ONE), _expire, id="PATCH and a sweep"),
        pytest.param(_append(ONE), _join, id="PATCH and a concatenation"),
        pytest.param(_join, _delete, id="a concatenation and DELETE"),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_two_at_once(kind: str, one: Work, other: Work, tmp_path: Path) -> None:
    """Whatever the order, and whoever is cancelled where: what clients were told stays true."""
    for seed in SEEDS:
        for turns in STEPS:
            driver = Driver(Place(kind, tmp_path / f"{seed} {turns}", None), seed)
            try:
                driver.run(_both(driver, one, other, turns))
            finally:
                driver.close()
            assert check(driver.history) == [], f"seed {seed}, cancelled after {turns} turns"


async def _both(driver: Driver, one: Work, other: Work, turns: int | None) -> None:
    assert await driver.create(OWNER, 8, "partial", Sent(data=FIRST), ()) == OK
    name = driver.last_id
    await asyncio.gather(
        cancelled_after(turns, one(driver, name)), cancelled_after(None, other(driver, name))
    )
    await driver.idle()
    if await driver.inspect(name, OWNER) == OK:
        upload = await driver.stored(name)
        rest = bytes(8 - upload.offset)
        assert await driver.append(name, OWNER, upload.offset, Sent(data=rest)) == OK
        await driver.stored(name)
