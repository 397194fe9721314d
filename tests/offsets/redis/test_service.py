"""The service on several nodes that share Redis and a directory, all in this process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.service.conftest import EXPIRE_AFTER_S, Death, House
from tests.support.bodies import ScriptedBody
from tests.support.redis_server import RedisServer
from tests.support.reply_proxy import ReplyProxy
from tests.support.unread import Lying
from tests.support.waiting import wait_until
from tests.support.work import running_lanes
from tusd_py.data.disk import DiskData
from tusd_py.data.placing import LinkPlacer
from tusd_py.interfaces import BodyEnd, HookType, Placer
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.protocol.digests import DigestRules
from tusd_py.protocol.errors import (
    BytesBusy,
    ClaimLost,
    StoreUnavailable,
    TusError,
    UnexpectedEOF,
    UploadDamaged,
    UploadNotFound,
)
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import Upload
from tusd_py.protocol.placement import parse_template

from .conftest import StartNode
from .test_claims import commands_of

RULES = DigestRules(algorithms=("sha256",))


class Open(Protocol):
    """Opens a house on the stores that the nodes share."""

    async def __call__(self, *, url: str | None = None, placer: Placer | None = None) -> House:
        """Return another node."""


@pytest.fixture
async def open_house(start: StartNode, directory: Path) -> AsyncIterator[Open]:
    """Nodes with the whole service."""
    async with running_lanes() as run, contextlib.AsyncExitStack() as stack:

        async def begin(*, url: str | None = None, placer: Placer | None = None) -> House:
            data = DiskData(directory, run, fenced=True)
            await data.open()
            offsets = await start(url=url)
            house = House(offsets=offsets, data=data, placer=placer, digests=RULES)
            stack.push_async_callback(house.uploads.close)
            return house

        yield begin


@contextlib.contextmanager
def rounds(server: RedisServer, count: int) -> Iterator[None]:
    """Check how many scripts Redis runs for what is done inside."""
    before = commands_of(server)
    yield
    assert commands_of(server) - before == count


def end_lease(server: RedisServer, upload: Upload) -> None:
    """As if the holder had been silent for the whole lease."""
    server.ask("DEL", f"tusd-py:{{{upload.id}}}:claim")


def size_in(directory: Path) -> int:
    """How many bytes there are in all data files."""
    names = [entry for entry in os.scandir(directory) if entry.is_file()]
    return sum(entry.stat().st_size for entry in names if not entry.name.endswith(".info"))


async def test_a_patch_is_two_round_trips(open_house: Open, server: RedisServer) -> None:
    """Claim, and save with release; what has to be on disk is given back when it is."""
    house = await open_house()
    upload = await house.append(await house.create(10), b"a")  # Redis knows the scripts now
    with rounds(server, 2):
        upload = await house.append(upload, b"bc")
    with rounds(server, 3), pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"de", end=BodyEnd.DISCONNECTED))
    upload = await house.record(upload)
    with rounds(server, 3):
        upload = await house.append(upload, b"fghij")
    assert upload.finished
    assert await house.content(upload) == b"abcdefghij"


async def test_a_small_post_is_two_round_trips(open_house: Open, server: RedisServer) -> None:
    """Create, and save with release once the bytes are there."""
    house = await open_house()
    house.hooks.deaf_to = set(HookType)
    await house.create(3, b"abc")
    with rounds(server, 2):
        upload = await house.create(3, b"abc")
    assert await house.record(upload) == upload
    with rounds(server, 1):
        assert (await house.head(upload)).finished


# The first script that fails, and how many after it; each is sent twice.
@pytest.mark.parametrize(("first", "count"), [(0, 2), (0, 5), (1, 2), (1, 5)])
@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_small_post_that_failed_leaves_nothing(
    open_house: Open,
    server: RedisServer,
    directory: Path,
    first: int,
    count: int,
    *,
    carried_out: bool,
    forgotten: bool,
) -> None:
    """Whatever Redis did not do, or did not say: no record, copy or byte stays when it is back."""

    def left() -> set[str]:
        names = {path.name for path in directory.iterdir() if path.is_file()}
        return names | set(server.ask("KEYS", "tusd-py:{[^,]*}"))

    async with ReplyProxy(server.url.removeprefix("unix://")) as proxy:
        house = await open_house(url=f"redis://127.0.0.1:{proxy.port}")
        house.hooks.deaf_to = set(HookType)
        await house.create(3, b"abc")  # Redis knows the scripts now
        before = left()
        proxy.lose(first, how_many=count, carried_out=carried_out)
        with pytest.raises(StoreUnavailable):
            await house.create(3, b"abc")
        if forgotten:
            server.ask("FLUSHALL")
            before = {name for name in before if not name.startswith("tusd-py:")}
        await asyncio.to_thread(wait_until, lambda: left() == before)
        await house.offsets.close()


async def test_an_upload_with_the_id_of_a_lost_one_leaves_that_alone(
    open_house: Open, server: RedisServer, directory: Path
) -> None:
    """What is taken back of a creation is never the copy of an upload that Redis has lost."""
    async with ReplyProxy(server.url.removeprefix("unix://")) as proxy:
        house = await open_house(url=f"redis://127.0.0.1:{proxy.port}")
        upload = await house.create(3, b"ab")
        server.ask("FLUSHALL")
        proxy.lose(0, how_many=2)
        with pytest.raises(StoreUnavailable):
            async with house.offsets.create(upload):
                pass
        key = f"tusd-py:{{{upload.id}}}"
        await asyncio.to_thread(wait_until, lambda: not server.ask("EXISTS", key))
        assert (directory / f"{upload.id}.info").exists()
        await house.offsets.close()


@pytest.mark.parametrize("begun", [False, True])
async def test_whoever_lost_the_upload_is_told_to_try_again(
    open_house: Open, server: RedisServer, directory: Path, *, begun: bool
) -> None:
    """Not that it is damaged, nor that all went well; what the other one stored stays."""
    first, second = await open_house(), await open_house()
    upload = await first.create(10)
    # What is unread is written at once; with nothing to write the file is opened at the end.
    body = ScriptedBody(*[Lying(b"stale")] * begun, end=None)
    stale = asyncio.create_task(first.append(upload, body))
    await body.wait_starved()
    end_lease(server, upload)
    upload = await second.append(upload, b"fresh")
    body.stop(BodyEnd.TAKEN_OVER)
    with pytest.raises(ClaimLost):
        await stale
    assert await second.content(upload) == b"fresh"
    assert size_in(directory) == 5
    assert (await first.append(upload, b" air.")).finished
    assert await first.content(upload) == b"fresh air."


@pytest.mark.parametrize("kept", [True, False])
async def test_a_seizure_that_could_not_be_saved_is_made_good(
    open_house: Open, *, kept: bool
) -> None:
    """The record names a file that is gone, and the upload is not seized any more."""
    house = await open_house()
    upload = await house.append(await house.create(10), b"abc")
    moved = Path((await house.data.seize(upload, 1))["Path"])
    assert isinstance(house.offsets, RedisOffsets)
    soon = time.time() + 60
    assert [name async for name in house.offsets.orphans(soon)] == []
    error: type[TusError] = BytesBusy
    if not kept:
        moved.unlink()  # noqa: ASYNC240
        error = UploadDamaged
    with pytest.raises(error):
        await house.append(upload, b"def")
    if kept:
        upload = await house.append(upload, b"def")
        assert await house.content(upload) == b"abcdef"


class DyingPlacer(LinkPlacer):
    """Of a node that dies when a file has its name."""

    async def place(self, upload: Upload, *, durable: bool) -> Mapping[str, str]:
        await super().place(upload, durable=durable)
        raise Death


async def test_a_file_that_a_dead_node_placed_is_finished_by_another(
    open_house: Open, server: RedisServer, directory: Path
) -> None:
    """The bytes are taken away from the dead one, the name stays, and there is only one."""
    async with running_lanes() as run:
        place = directory.parent / "placed"
        made = (place, directory, parse_template("{filename}"), run)
        dying, living = DyingPlacer(*made, dir_mode=0o755), LinkPlacer(*made, dir_mode=0o755)
        await dying.open()
        first, second = await open_house(placer=dying), await open_house(placer=living)
        upload = await first.create(9, metadata=format_metadata({"filename": b"a.txt"}))
        with pytest.raises(Death):
            await first.append(upload, b"fresh air")
        server.ask("HSET", f"tusd-py:{{{upload.id}}}", "holder", "a.1")
        finished = await second.head(upload)
    assert finished.finished
    assert finished.digests == {"sha256": hashlib.sha256(b"fresh air").digest()}
    assert finished.storage["Path"] != upload.storage["Path"]
    assert finished.storage["PlacedAt"] == str(place / "a.txt")
    assert os.listdir(place) == ["a.txt"]
    assert (place / "a.txt").read_bytes() == await first.content(finished) == b"fresh air"


async def cut_short(house: House, server: RedisServer, upload: Upload) -> None:
    """As if a node had died within a termination, between bytes and record."""
    await house.data.delete(upload)
    server.ask("HSET", f"tusd-py:{{{upload.id}}}", "holder", "a.1")


@pytest.mark.parametrize("length", [3, 10], ids=["complete", "not complete"])
async def test_a_termination_that_was_cut_short_is_seen_by_everybody(
    open_house: Open, server: RedisServer, length: int
) -> None:
    """Everybody is told the same, again and again; and what is left can be removed."""
    house = await open_house()
    upload = await house.append(await house.create(length), b"abc")
    await cut_short(house, server, upload)
    for _ in range(2):
        with pytest.raises(UploadDamaged):
            await house.head(upload)
        with pytest.raises(UploadDamaged):
            await house.fetch(upload)
        with pytest.raises(UploadDamaged):
            await house.append(upload, b"def")
    await house.delete(upload)
    with pytest.raises(UploadNotFound):
        await house.head(upload)


async def test_what_a_termination_left_expires(open_house: Open, server: RedisServer) -> None:
    """A record without bytes goes when the upload would have gone."""
    house = await open_house()
    upload = await house.create(10)
    await cut_short(house, server, upload)
    house.now += EXPIRE_AFTER_S + 1
    assert await house.uploads.expire(upload.id)
    with pytest.raises(UploadNotFound):
        await house.record(upload)


async def test_what_a_termination_left_is_an_orphan(open_house: Open, server: RedisServer) -> None:
    """The search for orphans removes a record without bytes, and its copy."""
    house = await open_house()
    upload = await house.create(10)
    await cut_short(house, server, upload)
    assert [name async for name in house.offsets.orphans(time.time() + 60)] == [upload.id]
    assert [name async for name in house.offsets.orphans(time.time() + 60)] == []
    with pytest.raises(UploadNotFound):
        await house.record(upload)
