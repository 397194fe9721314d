"""Who has lost an upload, or comes after its end, changes nothing: script by script."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tusd_py.offsets.redis_scripts import VERIFIED
from tusd_py.protocol.errors import ClaimLost, UploadExists, UploadLocked, UploadNotFound

from .conftest import ID, StartNode, add, held
from .test_claims import run_out


async def test_a_late_release_takes_nothing_from_the_next_holder(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A holder that wakes up after its lease gives back only what is its own."""
    old, new, third = await start(), await start(), await start()
    await add(old, directory)
    async with contextlib.AsyncExitStack() as waking:
        await waking.enter_async_context(held(old))
        run_out(server)
        async with new.claim(ID, timeout_s=0):
            await waking.aclose()
            with pytest.raises(UploadLocked):
                async with third.claim(ID, timeout_s=0):
                    pass


async def test_a_stranger_cannot_put_a_record_right(start: StartNode, directory: Path) -> None:
    """What was found out under a claim that is lost by now is not believed."""
    store = await start()
    upload = await add(store, directory)
    async with store.claim(ID, timeout_s=0) as claim:
        fence, nonsense = str(claim.fence), ("", "{}", "9", "99")
        assert await store._link.run(VERIFIED, ID, "nobody", fence, *nonsense) == ["lost"]
        assert await store._link.run(VERIFIED, ID, claim.holder, "0", *nonsense) == ["lost"]
    assert await store.get(ID) == upload


async def test_a_copy_that_comes_too_late_brings_nothing_back(
    start: StartNode, directory: Path
) -> None:
    """Redis remembers for a day that an upload was terminated."""
    store = await start()
    await add(store, directory)
    late = (directory / f"{ID}.info").read_bytes()
    async with store.claim(ID, timeout_s=0) as claim:
        await claim.remove()
    (directory / f"{ID}.info").write_bytes(late)
    with pytest.raises(UploadNotFound):
        await store.get(ID)
    with pytest.raises(UploadNotFound):
        async with store.claim(ID, timeout_s=0):
            pass


async def test_an_id_in_use_is_not_given_again(start: StartNode, directory: Path) -> None:
    """Not by another node either, while nobody holds it; the record stays as it is."""
    store, other = await start(), await start(copies=False)
    upload = await add(store, directory)
    with pytest.raises(UploadExists):
        async with other.create(upload):
            pass
    assert await store.get(ID) == upload


async def test_a_late_removal_leaves_the_upload_to_the_next_holder(
    start: StartNode, server: RedisServer, directory: Path
) -> None:
    """A termination that was overtaken is refused, and nothing is gone."""
    old, new = await start(), await start()
    upload = await add(old, directory)
    async with held(old) as (stale, _):
        run_out(server)
        async with new.claim(ID, timeout_s=0):
            with pytest.raises(ClaimLost):
                await stale.remove()
            assert await new.get(ID) == upload
