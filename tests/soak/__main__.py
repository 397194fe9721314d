"""``python -m tests.soak``: prints a table, and ends with 1 if anything was not flat."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import uvloop

from tests.support.redis_server import running_redis

from .driver import Plan, soak
from .figures import Result, table


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--uploads", type=int, default=2000, help="slow ones, at once")
    parser.add_argument("--connections", type=int, default=10_000, help="idle ones, at once")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", action="store_true", help="keep records and claims in Redis")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args()
    plan = Plan(
        seconds=60 * given.minutes,
        uploads=given.uploads,
        connections=given.connections,
        kill_every_s=given.kill_every,
        seed=given.seed,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server ends, too
    result = run(plan, with_redis=given.redis)
    print(table(result))
    if given.json is not None:
        given.json.write_text(json.dumps(result.as_json(), indent=1) + "\n")
    sys.exit(bool(result.troubles()))


def run(plan: Plan, *, with_redis: bool = False) -> Result:
    """Run on a directory, and a Redis, of its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        store = None
        if with_redis:
            store = stack.enter_context(running_redis("--appendonly", "yes"))
            lease = ("--redis-lease", "5s")
            plan = replace(plan, options=(*plan.options, "--redis-url", store.url, *lease))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(soak(plan, folder / "uploads"))
        if store is not None:
            # What tells for a day that an upload is gone leaves by itself.
            result.redis_keys = sum(store.ask("TTL", key) < 0 for key in store.ask("KEYS", "*"))
        return result


if __name__ == "__main__":
    main()
