"""tus-js-client on networks that drop every few hundred kilobytes; tuspy and aiotus have theirs.

The client's own retries carry it through; nothing here helps it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chaos_proxy import ChaosProxy, Ending, cuts_every
from tests.support.server import Server

from . import tusjs
from .conftest import NoteFigure
from .samples import MB, MIB, Samples
from .stored import assert_stored

pytestmark = pytest.mark.usefixtures("tus_js")

SIZE = 15 * MB + 4321
LEAST, MOST = 200_000, 600_000

WAYS: dict[str, dict[str, Any]] = {
    "whole": {},
    "chunks": {"options": {"chunkSize": 5 * MIB}},
    "parallel": {"options": {"parallelUploads": 3}},
    "buffer": {"kind": "buffer", "options": {"overridePatchMethod": True}},
    "stream": {"kind": "stream", "options": {"uploadLengthDeferred": True, "chunkSize": 4 * MB}},
}


@pytest.mark.parametrize("way", WAYS)
async def test_closed_again_and_again(
    server: Server, samples: Samples, note_figure: NoteFigure, way: str
) -> None:
    """When connections are closed in order, each retry goes on at exactly the byte reached."""
    sample = samples.of(SIZE)
    plan = cuts_every(LEAST, MOST, seed=5, endings=[Ending.FIN])
    async with ChaosProxy(server.port, plan) as proxy:
        endpoint = proxy.url_of(server.url)
        (report,) = await tusjs.run(
            tusjs.Job(endpoint=endpoint, path=sample.path, retries=10, **WAYS[way])
        )
        cut_offs = proxy.cut_offs
    assert report.outcome == "success"
    assert len(cut_offs) >= SIZE // MOST
    asked: dict[str, list[int | None]] = {}
    for exchange in report.of("HEAD"):
        asked.setdefault(exchange.url.rsplit("/", 1)[1], []).append(exchange.offset)
    reached: dict[str, list[int]] = {}
    for cut_off in cut_offs:
        reached.setdefault(cut_off.request.path.rsplit("/", 1)[1], []).append(cut_off.reached)
    assert asked == reached
    note_figure(f"{len(cut_offs)} cuts, {len(report.exchanges)} requests")
    await assert_stored(server, report.url, sample)


@pytest.mark.parametrize("way", WAYS)
async def test_reset_or_closed_again_and_again(
    any_server: Server, samples: Samples, way: str
) -> None:
    """When connections are reset too, bytes may be lost on the way, but never in the file."""
    sample = samples.of(SIZE)
    plan = cuts_every(LEAST, MOST, seed=6, endings=[Ending.FIN, Ending.RST])
    async with ChaosProxy(any_server.port, plan) as proxy:
        endpoint = proxy.url_of(any_server.url)
        (report,) = await tusjs.run(
            tusjs.Job(endpoint=endpoint, path=sample.path, retries=10, **WAYS[way])
        )
        assert len(proxy.cut_offs) >= SIZE // MOST
        reached = {cut_off.reached for cut_off in proxy.cut_offs}
    assert report.outcome == "success"
    assert max(exchange.offset or 0 for exchange in report.of("HEAD")) <= max(reached)
    assert {exchange.status for exchange in report.of("HEAD")} == {200}
    await assert_stored(any_server, report.url, sample)
