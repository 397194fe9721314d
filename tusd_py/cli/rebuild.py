"""``tusd-py rebuild``."""

from __future__ import annotations

import asyncio
import json

from ..config import Settings
from ..protocol.errors import TusError
from ..server import StartError
from ..wiring import rebuild_records


async def _print_rebuilt(settings: Settings, *, as_json: bool) -> int:
    """Print a line for each upload and the sum; return 1 if any could not be rebuilt."""
    sums: dict[str, int] = {}
    async for upload_id, outcome in rebuild_records(settings):
        sums[outcome] = sums.get(outcome, 0) + 1
        if as_json:
            print(json.dumps({"id": upload_id, "outcome": outcome}), flush=True)
        elif outcome != "present":
            print(f"{upload_id} {outcome}", flush=True)
    if as_json:
        print(json.dumps({"sums": sums}))
    else:
        print(", ".join(f"{count} {outcome}" for outcome, count in sums.items()) or "no uploads")
    return int(any(outcome.startswith("ERR_") for outcome in sums))


def rebuild(settings: Settings, *, as_json: bool) -> int:
    """Do it, and return 1 if any record could not be rebuilt."""
    try:
        return asyncio.run(_print_rebuilt(settings, as_json=as_json))
    except TusError as error:
        raise StartError(f"cannot rebuild: {error}") from None
