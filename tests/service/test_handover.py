"""Several requests for one upload: who leaves, who waits, what is kept."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import BodyEnd
from tusd_py.protocol.errors import (
    MismatchedOffset,
    ServerShutdown,
    UploadInterrupted,
    UploadLocked,
    UploadNotFound,
)

from .conftest import SOON_S, House


async def test_head_ends_a_running_patch(house: House) -> None:
    """A client that comes back asks for the offset: its dead request ends, its bytes count."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    assert (await house.head(upload)).offset == 3
    assert isinstance(await running.error(), UploadInterrupted)
    assert (await house.append(upload, b"defghij", offset=3)).finished
    assert await house.content(upload) == b"abcdefghij"


async def test_a_patch_ends_a_running_patch(house: House) -> None:
    """The newcomer knows the offset when it is right, and learns it when it is not."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    with pytest.raises(MismatchedOffset):
        await house.append(upload, b"xyz", offset=0)
    assert isinstance(await running.error(), UploadInterrupted)
    running = await house.start_append(await house.record(upload), b"de")
    assert (await house.append(upload, b"fghij", offset=5)).finished
    assert isinstance(await running.error(), UploadInterrupted)
    assert await house.content(upload) == b"abcdefghij"


async def test_delete_ends_a_running_patch(house: House) -> None:
    """The upload is gone, and the running request cannot bring it back."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    await house.delete(upload)
    assert isinstance(await running.error(), UploadInterrupted)
    with pytest.raises(UploadNotFound):
        await house.record(upload)
    with pytest.raises(UploadNotFound):
        await house.content(upload)


async def test_who_waits_for_a_deleted_upload_is_told(house: House) -> None:
    """A PATCH and a HEAD behind a DELETE get 404."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    deleting = asyncio.create_task(house.delete(upload))
    late = [
        asyncio.create_task(house.append(upload, b"def", offset=3)),
        asyncio.create_task(house.head(upload)),
    ]
    await asyncio.wait([deleting, *late], timeout=SOON_S)
    assert deleting.exception() is None
    assert [type(task.exception()) for task in late] == [UploadNotFound] * 2
    assert isinstance(await running.error(), UploadInterrupted)


async def test_everybody_gets_a_turn(house: House) -> None:
    """Of many PATCHes at one offset one stores its bytes, and the others learn the offset."""
    upload = await house.create(10)
    tasks = [asyncio.create_task(house.append(upload, bytes([number]) * 4)) for number in range(10)]
    await asyncio.wait(tasks, timeout=SOON_S)
    errors = [task.exception() for task in tasks]
    assert [type(error) for error in errors].count(MismatchedOffset) == 9
    winner = errors.index(None)
    assert await house.content(upload) == bytes([winner]) * 4


async def test_a_download_disturbs_nobody(house: House) -> None:
    """GET looks at the record only; the running PATCH goes on."""
    part = await house.part(b"abc")
    running = await house.start_append(await house.create(10), b"abc")
    assert await house.content(await house.fetch(part)) == b"abc"
    assert running.body.end is None
    running.body.stop(BodyEnd.COMPLETE)
    assert await running.error() is None


async def test_bytes_that_had_arrived_are_stored_before_it_leaves(house: House) -> None:
    """What the client sent before it was taken over is not sent twice."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    running.body.feed(b"def")
    assert (await house.head(upload)).offset == 6
    assert isinstance(await running.error(), UploadInterrupted)


class DeafBody(ScriptedBody):
    """Cannot be stopped, as if the event that should end it were lost."""

    def stop(self, why: BodyEnd) -> None:
        """Do nothing."""


async def test_a_holder_that_does_not_leave_locks_the_upload() -> None:
    """423 in time for whoever waits; the holder's bytes are whole."""
    house = House(acquire_lock_timeout_s=0.05)
    upload = await house.create(10)
    body = DeafBody(b"abc", end=None)
    appending = asyncio.create_task(house.append(upload, body))
    await body.wait_starved()
    for operation in (house.head, house.delete):
        with pytest.raises(UploadLocked):
            await operation(upload)
    with pytest.raises(UploadLocked):
        await house.append(upload, b"x")
    appending.cancel()
    await asyncio.wait([appending])
    assert (await house.append(upload, b"xyz", offset=0)).offset == 3
    assert await house.content(upload) == b"xyz"


async def test_a_cancelled_patch_gives_the_upload_back(house: House) -> None:
    """A handler that is cancelled leaves neither a claim nor a stopped queue."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    running.task.cancel()
    await asyncio.wait([running.task])
    upload = await house.head(upload)
    assert (await house.append(upload, b"x" * (10 - upload.offset))).finished


# --- shutdown


async def test_a_shutdown_ends_every_body(house: House) -> None:
    """503 for each running request; what arrived is kept for the next process."""
    uploads = [await house.create(10) for _ in range(3)]
    running = [await house.start_append(upload, b"abc") for upload in uploads]
    house.uploads.stop_bodies()
    for one, upload in zip(running, uploads, strict=True):
        assert isinstance(await one.error(), ServerShutdown)
        assert (await house.record(upload)).offset == 3
        assert (await house.record(upload)).checkpoint == 3
        assert await house.content(upload) == b"abc"


async def test_after_a_shutdown_nothing_is_changed(house: House) -> None:
    """PATCH and DELETE are refused with 503; HEAD still tells the truth."""
    upload = await house.append(await house.create(10), b"abc")
    house.uploads.stop_bodies()
    with pytest.raises(ServerShutdown):
        await house.append(upload, b"def")
    with pytest.raises(ServerShutdown):
        await house.delete(upload)
    assert (await house.head(upload)).offset == 3


async def test_who_waited_through_the_shutdown_is_stopped_too(house: House) -> None:
    """A PATCH that is granted its turn after the shutdown began stores nothing that is to come."""
    upload = await house.create(10)
    running = await house.start_append(upload, b"abc")
    late = asyncio.create_task(house.append(upload, ScriptedBody(end=None), offset=3))
    await asyncio.sleep(0)
    house.uploads.stop_bodies()
    await asyncio.wait([late], timeout=SOON_S)
    assert isinstance(late.exception(), ServerShutdown)
    assert await running.error() is not None
    assert (await house.record(upload)).offset == 3
