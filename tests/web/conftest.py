"""Servers to attack, one for each of aiohttp's parsers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, running_server
from tests.support.target import (
    MISSING,
    STORED,
    Target,
    assert_gives_back,
    descriptors_of,
    errors_in,
    files_of,
    new_target,
)

MAX_SIZE = 1_000_000
PARSERS = {"c": {}, "python": {"AIOHTTP_NO_EXTENSIONS": "1"}}


@pytest.fixture(scope="session", params=PARSERS)
def attacked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of its own process; whatever is sent to it, it finds no fault in itself."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "canary").write_text("nobody may touch this")
    # Without syncs nothing but requests changes a record, so records can be compared.
    options = ("--max-size", str(MAX_SIZE), "--expire-after", "1h", "--durability", "none")
    with running_server(folder / "uploads", *options, env=PARSERS[request.param]) as server:
        new_target(server).delete()  # the first request opens what stays open
        before = descriptors_of(server)
        yield server
        assert_gives_back(server, before)
        assert server.stop() == 0
    assert errors_in(server.log) == []


@pytest.fixture
def target(attacked: Server) -> Iterator[Target]:
    """An upload on it that is the same after the test, and can be finished at once."""
    found = files_of(attacked)
    victim = new_target(attacked)
    before = files_of(attacked)
    yield victim
    assert victim.offset() == len(STORED)
    assert files_of(attacked) == before
    assert victim.patch(body=MISSING).status == 204
    assert victim.file.read_bytes() == STORED + MISSING
    victim.delete()
    assert files_of(attacked) == found
