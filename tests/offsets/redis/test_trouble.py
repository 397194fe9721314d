"""Redis down, slow, empty, full, read-only, busy: each is told as what it is, and passes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis.exceptions

from tests.support.redis_server import RedisServer, running_redis
from tests.support.reply_proxy import ReplyProxy
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.protocol.errors import ClaimLost, StoreUnavailable, UploadNotFound
from tusd_py.protocol.model import Upload, UploadId

from .conftest import ID, KEY, SOON_S, StartNode, add, held, soon

OTHER = UploadId("f" * 32)


async def check_unavailable(store: RedisOffsets, directory: Path) -> None:
    """Whatever is asked, the answer is that the store is not available."""
    with pytest.raises(StoreUnavailable):
        await store.get(ID)
    await check_refused(store, directory)


async def check_refused(store: RedisOffsets, directory: Path) -> None:
    """Nothing can be changed."""
    with pytest.raises(StoreUnavailable):
        async with store.claim(ID, timeout_s=0):
            pass
    with pytest.raises(StoreUnavailable):
        await add(store, directory, Upload(id=OTHER, length=1))


async def get_again_and_again(store: RedisOffsets) -> None:
    """Ask until there is trouble."""
    async with asyncio.timeout(SOON_S):
        while True:
            await store.get(ID)
            await asyncio.sleep(0.01)


async def check_works(store: RedisOffsets, offset: int) -> None:
    """The store that was in trouble works again, and the upload is as it was."""
    async with asyncio.timeout(SOON_S):
        while True:
            with contextlib.suppress(StoreUnavailable):
                async with store.claim(ID, timeout_s=SOON_S) as claim:
                    assert claim.upload.offset == offset
                    await claim.save(replace(claim.upload, owner="me"))
                break
            await asyncio.sleep(0.05)
    assert (await store.get(ID)).owner == "me"


async def test_a_dead_server_is_unavailable_until_it_is_back(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F40, F46: nothing is 'not found' while Redis is down; empty or not, it is used again."""
    store = await start()
    await add(store, directory, data=b"12345")
    own_server.kill()
    await check_unavailable(store, directory)
    own_server.start()
    await check_works(store, 5)
    assert store.events.rebuilt == 1


async def test_a_holder_survives_the_absence_of_redis(start: StartNode, directory: Path) -> None:
    """F40: what cannot be saved now can be saved later, if Redis still knows the claim."""
    with running_redis("--appendonly", "yes", "--appendfsync", "always") as lasting:
        store = await start(url=lasting.url)
        await add(store, directory)
        async with held(store) as (claim, _):
            (directory / ID).write_bytes(b"1234")
            lasting.kill()
            with pytest.raises(StoreUnavailable):
                await claim.save(replace(claim.upload, offset=4))
            lasting.start("--appendonly", "yes")
            await claim.save(replace(claim.upload, offset=4))
        assert (await store.get(ID)).offset == 4


async def test_the_fence_grows_over_a_total_loss(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F46: who held an upload in a Redis that lost everything is fenced off; fences still grow."""
    old, new = await start(), await start()
    await add(old, directory, data=b"12345")
    async with held(old) as (stale, _):
        await stale.save(replace(stale.upload, owner="old"))
        own_server.ask("FLUSHALL")
        async with new.claim(ID, timeout_s=0) as claim:
            assert claim.fence > stale.fence
            assert claim.seized
            assert (claim.upload.offset, claim.upload.owner) == (5, "old")
            await claim.save(replace(claim.upload, owner="new"))
        with pytest.raises(ClaimLost):
            await stale.save(replace(stale.upload, offset=2))
    assert (await new.get(ID)).owner == "new"


@pytest.mark.parametrize("lost", range(4))
async def test_lost_answers_are_asked_for_again(
    start: StartNode, server: RedisServer, directory: Path, lost: int
) -> None:
    """F41: a script whose answer gets lost is sent again and counts once, whichever it is."""
    path = server.url.removeprefix("unix://")
    async with ReplyProxy(path) as proxy:
        store = await start(url=f"redis://127.0.0.1:{proxy.port}", timeout_s=2)
        proxy.lose(lost)
        upload = await add(store, directory)  # create, release
        async with store.claim(ID, timeout_s=0) as claim:  # claim
            await claim.save(replace(upload, offset=6), release=True)  # save
        assert proxy.lost == 1
        assert (await store.get(ID)).offset == 6
        async with store.claim(ID, timeout_s=0) as claim:
            assert not claim.seized
        await store.close()


async def test_an_answer_that_never_comes_leaves_nothing_behind(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F41: a claim that was granted but not heard of is given back when Redis can be reached."""
    path = server.url.removeprefix("unix://")
    async with ReplyProxy(path) as proxy:
        store = await start(url=f"redis://127.0.0.1:{proxy.port}", timeout_s=2)
        await add(store, directory)
        proxy.lose(0, how_many=2)
        with pytest.raises(StoreUnavailable):
            async with store.claim(ID, timeout_s=0):
                pass
        other = await start()
        async with other.claim(ID, timeout_s=SOON_S):
            pass
        await store.close()


async def test_a_save_that_is_applied_late_counts_once(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F41: Redis hangs over a save that times out; repeated later it is neither lost nor undone."""
    store = await start(timeout_s=0.2)
    await add(store, directory)
    async with held(store) as (claim, _):
        own_server.pause()
        with pytest.raises(StoreUnavailable):
            await claim.save(replace(claim.upload, offset=3))
        own_server.resume()
        await claim.save(replace(claim.upload, offset=8))
    assert (await store.get(ID)).offset == 8


async def test_a_slow_server_is_waited_for_no_longer_than_set(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F42: a server that does not answer costs a request two timeouts and little more."""
    store = await start(timeout_s=0.2)
    await add(store, directory)
    own_server.ask("CLIENT", "PAUSE", 1000, "ALL")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.get(ID)
    assert time.monotonic() - began < 1
    own_server.ask("CLIENT", "UNPAUSE")
    await check_works(store, 0)


async def test_nobody_waits_for_the_failures_of_others(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F42: while Redis hangs, many requests fail as soon as one would."""
    store = await start(timeout_s=0.2)
    await add(store, directory)
    own_server.pause()
    for _ in range(2):
        began = time.monotonic()
        answers = await asyncio.gather(*(store.get(ID) for _ in range(40)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreUnavailable}
        assert time.monotonic() - began < 2
    own_server.resume()
    await check_works(store, 0)


async def test_a_holder_that_cannot_renew_leaves(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F42: when its lease must have run out, the holder stops: what it takes may not count."""
    store = await start(timeout_s=0.1, lease_s=0.6)
    await add(store, directory)
    async with held(store) as (_, wanted):
        own_server.pause()
        await soon(wanted)
        own_server.resume()
    assert store.events.lost == 1


async def test_a_busy_server_is_unavailable(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F43: while somebody's script runs and runs, nothing is not found."""
    store = await start()
    await add(store, directory)
    own_server.ask("CONFIG", "SET", "busy-reply-threshold", 50)
    with contextlib.suppress(redis.exceptions.ResponseError):
        busy = asyncio.create_task(
            asyncio.to_thread(own_server.ask, "EVAL", "while true do end", 0)
        )
        with pytest.raises(StoreUnavailable):
            await get_again_and_again(store)
        own_server.ask("SCRIPT", "KILL")
        await busy
    await check_works(store, 0)


def fill(server: RedisServer) -> None:
    """Leave no memory."""
    server.ask("CONFIG", "SET", "maxmemory", 1)


def make_replica(server: RedisServer) -> None:
    """Make it a replica of nobody, that takes no writes."""
    server.ask("REPLICAOF", "127.0.0.1", 1)


def demand_replicas(server: RedisServer) -> None:
    """Accept writes only when somebody has a copy."""
    server.ask("CONFIG", "SET", "min-replicas-to-write", 1)


def forbid(server: RedisServer) -> None:
    """Take the rights of the user away."""
    server.ask("ACL", "SETUSER", "default", "-evalsha", "-eval")


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (fill, ("CONFIG", "SET", "maxmemory", 0)),
        (make_replica, ("REPLICAOF", "NO", "ONE")),
        (demand_replicas, ("CONFIG", "SET", "min-replicas-to-write", 0)),
        (forbid, ("ACL", "SETUSER", "default", "+@all")),
    ],
)
async def test_a_server_that_takes_no_writes_is_unavailable(
    start: StartNode,
    own_server: RedisServer,
    directory: Path,
    begin: Callable[[RedisServer], None],
    end: tuple[str, ...],
) -> None:
    """F45: full, read-only, without replicas, forbidden: changes are refused, records stay."""
    store = await start()
    await add(store, directory, data=b"123")
    begin(own_server)
    await check_refused(store, directory)
    own_server.ask(*end)
    await check_works(store, 3)


async def test_what_is_finished_is_told_without_a_write_to_redis(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """Although it is another one than before, and takes none: the copy is on disk, and told."""
    store = await start()
    upload = await add(store, directory, data=b"0123456789")
    async with store.claim(ID, timeout_s=0) as claim:
        before = (directory / f"{ID}.info").read_bytes()
        await claim.save(replace(upload, offset=10, finished=True))
    (directory / f"{ID}.info").write_bytes(before)  # as if the power had been cut
    own_server.ask("DEBUG", "CHANGE-REPL-ID")
    demand_replicas(own_server)
    assert (await store.get(ID)).finished
    copy = Copies(directory).read_copy(ID)
    assert copy is not None
    assert copy.upload.finished


async def test_a_loading_server_is_unavailable(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F45: while Redis reads its data after a start, nothing is 'not found'."""
    store = await start()
    await add(store, directory)
    for number in range(10):
        own_server.ask("DEBUG", "POPULATE", 1000, f"n{number}")
    own_server.ask("CONFIG", "SET", "key-load-delay", 20)
    own_server.ask("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
    reloading = asyncio.create_task(asyncio.to_thread(own_server.ask, "DEBUG", "RELOAD"))
    with pytest.raises(StoreUnavailable):
        await get_again_and_again(store)
    await reloading
    await check_works(store, 0)


async def test_forgotten_scripts_are_sent_again(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F45: SCRIPT FLUSH between any two calls is not noticed."""
    store = await start()
    server.ask("SCRIPT", "FLUSH")
    upload = await add(store, directory)
    server.ask("SCRIPT", "FLUSH")
    async with store.claim(ID, timeout_s=0) as claim:
        server.ask("SCRIPT", "FLUSH")
        await claim.save(replace(upload, offset=2))
        server.ask("SCRIPT", "FLUSH")
        await claim.remove()
    with pytest.raises(UploadNotFound):
        await store.get(ID)


async def test_a_key_of_another_kind_is_unavailable(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """F45: WRONGTYPE is a fault of ours, not the client's."""
    store = await start()
    server.ask("SET", KEY, "what is this")
    with pytest.raises(StoreUnavailable):
        await store.get(ID)
    with pytest.raises(StoreUnavailable):
        async with store.claim(ID, timeout_s=0):
            pass


ERRORS = [
    error
    for error in vars(redis.exceptions).values()
    if isinstance(error, type) and issubclass(error, redis.exceptions.RedisError)
]


@pytest.mark.parametrize("error", [*ERRORS, OSError, TimeoutError, ConnectionResetError])
async def test_every_error_of_the_library_means_unavailable(
    start: StartNode, server: RedisServer, error: type[Exception]
) -> None:
    """F44: none of them becomes 'not found'."""
    store = await start()
    with pytest.raises(StoreUnavailable), store._link.mapped:
        raise error.__new__(error)


async def test_a_failover_that_loses_writes_loses_no_acknowledged_byte(
    start: StartNode, own_server: RedisServer, directory: Path
) -> None:
    """F53: a Redis that has gone back in time is corrected by what lies beside the data."""
    store = await start()
    upload = await add(store, directory)
    old = own_server.ask("HGETALL", KEY)
    async with store.claim(ID, timeout_s=0) as claim:
        (directory / ID).write_bytes(b"1234567")
        await claim.save(replace(upload, offset=7, checkpoint=7, owner="me"), durable=True)
        fence = claim.fence
    own_server.kill()
    own_server.start()
    own_server.ask("HSET", KEY, *[word for pair in old.items() for word in pair])
    own_server.ask("HSET", KEY, "run", "an earlier one")
    async with store.claim(ID, timeout_s=0) as claim:
        assert (claim.upload.offset, claim.upload.owner) == (7, "me")
        assert claim.fence > fence
        assert claim.seized


# --- the start


async def test_a_server_that_is_down_is_said_at_the_start(start: StartNode) -> None:
    """`open` fails with a sentence that names the server, and not its password."""
    with pytest.raises(StoreUnavailable, match=r"redis://127\.0\.0\.1:1/3 cannot be used") as error:
        await start(url="redis://:secret@127.0.0.1:1/3")
    assert "secret" not in str(error.value)


async def test_a_wrong_password_is_said_at_the_start(
    start: StartNode, own_server: RedisServer
) -> None:
    """`open` fails when Redis does not let us in."""
    own_server.ask("CONFIG", "SET", "requirepass", "secret")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await start()


async def test_unsafe_settings_are_said_at_the_start(
    start: StartNode, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """F47, F49: a server that may throw records away, or forgets them, is warned of."""
    own_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await start()
    said = [record.reason for record in caplog.records if record.message == "RedisUnsafe"]  # type: ignore[attr-defined]
    assert len(said) == 2
    assert "allkeys-lru" in said[0]
    assert "appendonly" in said[1]


async def test_a_server_that_hides_its_settings_is_told_so(
    start: StartNode, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Where CONFIG is forbidden, the administrator is asked to look."""
    own_server.ask("ACL", "SETUSER", "default", "-config")
    store = await start()
    assert any("does not let us see" in str(vars(record)) for record in caplog.records)
    own_server.ask("ACL", "SETUSER", "default", "-info")
    with pytest.raises(StoreUnavailable):
        await start()
    assert store is not None


async def test_safe_settings_need_no_words(
    start: StartNode, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said of a server that keeps what it is given."""
    own_server.ask("CONFIG", "SET", "appendonly", "yes")
    await start()
    assert [record for record in caplog.records if record.message == "RedisUnsafe"] == []
