"""The soak itself, small and short."""

from __future__ import annotations

import pytest

from .__main__ import run
from .driver import Plan
from .figures import Life, Result, table

SMALL = Plan(seconds=12, uploads=30, connections=100, kill_every_s=4, pause_s=0.02)


@pytest.mark.parametrize("with_redis", [False, True], ids=["files", "redis"])
def test_everything_stays_flat(*, with_redis: bool) -> None:
    """Through kills, all uploads come out right and nothing is left over."""
    result = run(SMALL, with_redis=with_redis)
    assert result.troubles() == [], table(result)
    assert len(result.lives) >= 2
    assert sum(life.completed for life in result.lives) >= SMALL.uploads
    assert max(life.idle for life in result.lives) == SMALL.connections
    assert "Everything is flat" in table(result)


def test_what_is_not_flat_is_told() -> None:
    """Memory that grows, descriptors and files that stay, broken promises: each has its line."""
    lives = [Life(began_s=n, memory_bytes=(50 + 40 * n) << 20, threads=9) for n in range(6)]
    result = Result(
        seconds=60,
        lives=lives,
        fresh=Life(began_s=0, files=20, threads=9),
        at_rest=Life(began_s=60, files=33, threads=10),
        unknown_uploads=3,
        lost_creations=1,
        half_made=31,
        odd_files=["x.tmp"],
        redis_keys=50,
        broken=["/files/x: 5 after 7"],
    )
    assert table(result).splitlines()[-8:] == [
        "TROUBLE: /files/x: 5 after 7.",
        "TROUBLE: memory grows from life to life.",
        "TROUBLE: threads are left over.",
        "TROUBLE: 13 descriptors are left over.",
        "TROUBLE: there are uploads that nobody has created.",
        "TROUBLE: 31 half-made records are more than kills can leave.",
        "TROUBLE: there are files of no upload: x.tmp.",
        "TROUBLE: 50 keys are left in Redis.",
    ]
