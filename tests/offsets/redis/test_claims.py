"""Leases, fences and hand-over between nodes, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_claims import RedisClaim
from tusd_py.protocol.errors import ClaimLost, UploadLocked, UploadNotFound
from tusd_py.protocol.model import LARGEST_SIZE, Upload, parse_upload_id

from .conftest import HAND_OVER_S, ID, KEY, SOON_S, StartNode, add, held, soon


def run_out(server: RedisServer) -> None:
    """Let the lease of the claim end now."""
    server.ask("DEL", f"{KEY}:claim")


def commands_of(server: RedisServer) -> int:
    """How many scripts the server has run."""
    stats: dict[str, dict[str, int]] = server.ask("INFO", "commandstats")
    return sum(stats.get(name, {}).get("calls", 0) for name in ("cmdstat_evalsha", "cmdstat_eval"))


# --- records


async def test_numbers_keep_all_their_digits(start: StartNode, directory: Path) -> None:
    """Offsets beyond what Lua's numbers can hold are stored to the last digit."""
    store = await start(copies=False)
    upload = await add(store, directory, Upload(id=ID, length=LARGEST_SIZE))
    for offset in (100_000_000_000_001, LARGEST_SIZE - 1, 9_007_199_254_740_993):
        async with store.claim(ID, timeout_s=0) as claim:
            await claim.save(replace(upload, length=None, offset=offset))
        assert (await store.get(ID)).offset == offset


async def test_a_save_that_gives_the_claim_back_is_one_call(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Claim, and save with release: two round trips, and the upload is free and saved."""
    store = await start()
    await add(store, directory)
    before = commands_of(server)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(claim.upload, offset=7), release=True)
        with pytest.raises(ClaimLost):
            await claim.save(claim.upload)
    assert commands_of(server) - before == 2
    async with store.claim(ID, timeout_s=0) as claim:
        assert claim.upload.offset == 7
        assert not claim.seized


async def test_hash_tags_keep_the_keys_of_an_upload_together(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """All keys that a script touches have the id as their hash tag."""
    store = await start()
    upload = await add(store, directory, Upload(id=ID, length=1, expires_at=5.0))
    async with store.claim(ID, timeout_s=0):
        names = set(server.ask("KEYS", "*"))
    assert names == {KEY, f"{KEY}:claim", "tusd-py:{,expiring}", "tusd-py:{,uploads}"}
    async with store.claim(upload.id, timeout_s=0) as claim:
        await claim.remove()
    assert f"{KEY}:gone" in server.ask("KEYS", "*")


async def test_an_expiry_that_moves_is_found_when_it_comes(
    start: StartNode, directory: Path
) -> None:
    """A sweep finds an upload at its last expiry, whether that moved later or earlier."""
    store = await start()
    upload = await add(store, directory, Upload(id=ID, length=10, expires_at=50.0))
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, expires_at=90.0))
    assert [found async for found in store.expired(60.0)] == []
    assert [found async for found in store.expired(90.0)] == [ID]
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, expires_at=10.0))
    assert [found async for found in store.expired(10.0)] == [ID]


# --- leases and fences


async def test_fences_only_grow(start: StartNode, directory: Path) -> None:
    """Each claim has a higher fence than all before, also when the id is used again."""
    store = await start()
    fences = []
    for _ in range(2):
        await add(store, directory)
        for _ in range(2):
            async with store.claim(ID, timeout_s=0) as claim:
                fences.append(claim.fence)
        async with store.claim(ID, timeout_s=0) as claim:
            fences.append(claim.fence)
            await claim.remove()
    assert fences == sorted(set(fences))


async def test_a_held_claim_is_renewed(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A holder that lives keeps its claim beyond the lease."""
    store, other = await start(lease_s=0.4), await start()
    await add(store, directory)
    async with held(store):
        gone = asyncio.Event()

        def watch() -> None:
            if server.ask("EXISTS", f"{KEY}:claim"):
                asyncio.get_running_loop().call_later(0.02, watch)
            else:
                gone.set()

        watch()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.2):
                await gone.wait()
        assert not gone.is_set()
        with pytest.raises(UploadLocked):
            async with other.claim(ID, timeout_s=0):
                pass


async def test_after_its_lease_a_dead_holder_holds_nothing(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """The next claim is granted, is marked as seized, and what the old holder saves is refused."""
    old, new = await start(), await start()
    await add(old, directory, data=b"12")
    async with held(old) as (stale, _):
        run_out(server)
        async with new.claim(ID, timeout_s=0) as claim:
            assert claim.seized
            assert claim.fence > stale.fence
            await claim.save(replace(claim.upload, offset=5))
        with pytest.raises(ClaimLost):
            await stale.save(replace(stale.upload, offset=9))
        with pytest.raises(ClaimLost):
            await stale.remove()
    assert (await new.get(ID)).offset == 5
    assert (old.events.fenced, new.events.seized) == (1, 1)


async def test_a_lease_that_ran_out_with_nobody_waiting_is_no_loss(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Safety is in the fence: as long as nobody else claimed it, the holder may save."""
    store = await start()
    await add(store, directory)
    async with held(store) as (claim, _):
        run_out(server)
        await claim.save(replace(claim.upload, offset=9))
    assert (await store.get(ID)).offset == 9


async def test_seized_stays_until_the_bytes_have_another_place(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """The mark survives claims that do not move the bytes, and ends with the one that does."""
    store = await start()
    await add(store, directory)
    async with held(store):
        run_out(server)
        async with (await start()).claim(ID, timeout_s=0) as claim:
            assert claim.seized
    async with store.claim(ID, timeout_s=0) as claim:
        assert claim.seized
        await claim.save(replace(claim.upload, offset=1))
        assert claim.seized
        await claim.save(replace(claim.upload, storage={"Path": f"{directory}/{ID},7-abcd"}))
        assert not claim.seized
    async with store.claim(ID, timeout_s=0) as claim:
        assert not claim.seized


async def test_a_finished_upload_is_not_seized(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Nobody writes to the bytes of a finished upload, so they stay where they are."""
    store = await start()
    await add(store, directory, Upload(id=ID, length=0, finished=True))
    async with held(store):
        run_out(server)
        async with (await start()).claim(ID, timeout_s=0) as claim:
            assert not claim.seized


async def test_a_lost_claim_is_noticed(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A holder whose upload somebody else has claimed is told to leave."""
    store = await start(lease_s=0.6)
    await add(store, directory)
    async with held(store) as (_, wanted):
        run_out(server)
        async with (await start()).claim(ID, timeout_s=0):
            await soon(wanted)
    assert store.events.lost == 1


async def test_what_is_sent_twice_counts_once(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Create, claim, save and remove may be repeated, for an answer may get lost."""
    store = await start()
    upload = await add(store, directory)
    twice = Twice(store)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.save(replace(upload, offset=4), release=True)
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.remove()
    async with store.create(upload) as claim:
        assert claim.upload == upload
    assert twice.different == []
    assert (await store.get(ID)) == upload


class Twice:
    """Sends every script twice; notes where the second answer is another one."""

    def __init__(self, store: RedisOffsets) -> None:
        self.different: list[tuple[list[str], list[str]]] = []
        self._run = store._link.run
        store._link.run = self.run  # type: ignore[assignment,method-assign]

    async def run(self, *args: str) -> list[str]:
        first = await self._run(*args)  # type: ignore[arg-type]
        second = await self._run(*args)  # type: ignore[arg-type]
        if first != second:
            self.different.append((first, second))
        return second


async def test_a_save_that_was_overtaken_changes_nothing(start: StartNode, directory: Path) -> None:
    """A save that comes late, on another connection, does not undo a later one."""
    store = await start()
    await add(store, directory)
    sent: list[tuple[str, ...]] = []
    run = store._link.run

    async def noting(*args: str) -> list[str]:
        sent.append(args)
        return await run(*args)  # type: ignore[arg-type]

    async with store.claim(ID, timeout_s=0) as claim:
        store._link.run = noting  # type: ignore[assignment,method-assign]
        await claim.save(replace(claim.upload, offset=3))
        await claim.save(replace(claim.upload, offset=8))
        await run(*sent[0])  # type: ignore[arg-type]
    assert (await store.get(ID)).offset == 8


# --- hand-over


async def take_over(store: RedisOffsets, leaving: RedisClaim, wanted: asyncio.Event) -> float:
    """Claim what another node holds, which leaves when asked; return how long it took."""
    began = time.monotonic()
    async with store.claim(ID, timeout_s=SOON_S):
        assert wanted.is_set()
        return time.monotonic() - began


@pytest.mark.parametrize("deaf", ["nobody", "the holder", "the newcomer"])
async def test_an_upload_is_handed_over_between_nodes(
    start: StartNode, directory: Path, deaf: str
) -> None:
    """Within a second, also when messages do not come through; with them at once."""
    store, other = await start(), await start()
    await add(store, directory)
    if deaf != "nobody":
        await (store if deaf == "the holder" else other)._wakes.close()
        store._wakes._subscribed.clear()
        store._keeper.look_soon()
    newcomer: asyncio.Task[float] | None = None
    async with held(store) as (claim, wanted):
        newcomer = asyncio.create_task(take_over(other, claim, wanted))
        await soon(wanted)
    took_s = await newcomer
    assert took_s < (HAND_OVER_S if deaf != "nobody" else 0.2)
    assert other.events.waits == 1


async def test_messages_come_through_again_after_a_reconnection(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """Connections that Redis drops are made again, and hand-over works as before."""
    store, other = await start(), await start()
    await add(store, directory)
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    async with held(store) as (claim, wanted):
        newcomer = asyncio.create_task(take_over(other, claim, wanted))
        await soon(wanted)
    assert await newcomer < HAND_OVER_S


async def test_a_save_tells_the_holder_that_it_is_wanted(start: StartNode, directory: Path) -> None:
    """A holder that hears nothing learns it with its next save."""
    store, other = await start(), await start()
    await add(store, directory)
    await store._wakes.close()
    async with held(store) as (claim, wanted):
        with pytest.raises(UploadLocked):
            async with other.claim(ID, timeout_s=0.01):
                pass
        await claim.save(replace(claim.upload, offset=1))
        assert wanted.is_set()


async def test_without_patience_no_other_node_is_disturbed(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """With a timeout of 0 the holder on another node hears nothing."""
    store, other = await start(), await start()
    await add(store, directory)
    async with held(store) as (claim, wanted):
        with pytest.raises(UploadLocked):
            async with other.claim(ID, timeout_s=0):
                pass
        await claim.save(replace(claim.upload, offset=1))
        assert not wanted.is_set()
        assert server.ask("HGET", KEY, "askers") is None


async def test_waiters_on_other_nodes_hear_of_a_removal(start: StartNode, directory: Path) -> None:
    """Whoever waits on another node for an upload that is removed gets UploadNotFound."""
    store, other = await start(), await start()
    await add(store, directory)
    async with held(store) as (claim, wanted):
        waiter = asyncio.create_task(take_over(other, claim, wanted))
        await soon(wanted)
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await waiter


async def test_all_waiting_nodes_get_it(start: StartNode, directory: Path) -> None:
    """Nodes that wait for the same upload get it one after the other, each within a second."""
    store, *others = [await start() for _ in range(4)]
    await add(store, directory)
    async with held(store) as (claim, wanted):
        waiting = [asyncio.create_task(take_over(other, claim, wanted)) for other in others]
        await soon(wanted)
    async with asyncio.timeout(HAND_OVER_S * len(others)):
        await asyncio.gather(*waiting)


@pytest.mark.parametrize("name", [",uploads", ",expiring", ",unassembled", ",index"])
def test_no_upload_is_named_like_an_index(name: str) -> None:
    """The keys of the indexes cannot be those of an upload."""
    assert parse_upload_id(name) is None


async def test_a_release_that_redis_forgot_is_made_good(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """After a crash Redis may take an old holder for alive: its node gives the claim back again."""
    store, other = await start(), await start()
    await add(store, directory)
    async with held(store) as (claim, _):
        forgotten = server.ask("HGETALL", KEY)
    for newcomer in (other, store):
        server.ask("HSET", KEY, *[word for pair in forgotten.items() for word in pair])
        server.ask("SET", f"{KEY}:claim", claim.holder, "PX", 30_000)
        async with newcomer.claim(ID, timeout_s=SOON_S) as granted:
            assert granted.holder != claim.holder
