"""Server-sent events as a client reads them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientResponse

STREAM = {"Accept": "text/event-stream"}


async def events_of(answer: ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Iterate over the data of the events of a stream, each with its `event` and its `last_id`."""
    fields: dict[str, str] = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
            continue
        if "data" in fields:
            data = json.loads(fields["data"])
            yield {**data, "event": fields["event"], "last_id": fields.get("id")}
        fields = {}
