"""Progress: told beside the body, never in its way; a hook may end an upload by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import BodyEnd, HookEvent, HookReply, HookType, ResponseChange
from tusd_py.protocol.checksum import parse_checksum
from tusd_py.protocol.errors import TusError, UploadNotFound, UploadStopped
from tusd_py.protocol.model import Upload

from .conftest import REQUEST, SOON_S, House

STOP = HookReply(stop=True, response=ResponseChange(status=413, body="enough"))
FAST_S = 0.01


class Listener:
    """Notes the offsets that it is told, and replies as the test says."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.reply: HookReply | Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._told = asyncio.Event()

    async def __call__(self, event: HookEvent) -> HookReply | None:
        self.offsets.append(event.upload.offset)
        self._told.set()
        await self.may_answer.wait()
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def wait_for(self, *offsets: int) -> None:
        """Wait until exactly these have been told."""
        async with asyncio.timeout(SOON_S):
            while self.offsets != list(offsets):
                self._told.clear()
                await self._told.wait()


@pytest.fixture
def listener() -> Listener:
    """Somebody who wants to know."""
    return Listener()


@pytest.fixture
async def told(listener: Listener) -> AsyncIterator[House]:
    """A service that tells of progress a hundred times a second."""
    house = House(progress_interval_s=FAST_S)
    house.hooks.deaf_to.discard(HookType.POST_RECEIVE)
    house.hooks.says[HookType.POST_RECEIVE] = listener
    yield house
    await house.uploads.close()


async def gone(house: House, upload: Upload) -> None:
    """Wait until the upload has been removed and that was told."""
    async with asyncio.timeout(SOON_S):
        while "post-terminate" not in house.hooks.types:
            house.hooks._called.clear()
            await house.hooks._called.wait()
    with pytest.raises(UploadNotFound):
        await house.record(upload)


async def test_progress_is_told_when_there_is_some(told: House, listener: Listener) -> None:
    """Each time with the offset that was reached; silence is not told again and again."""
    body = ScriptedBody(b"abc", end=None)
    upload = await told.create(9)
    running = asyncio.create_task(told.append(upload, body))
    await listener.wait_for(3)
    await asyncio.sleep(5 * FAST_S)
    body.feed(b"def")
    await listener.wait_for(3, 6)
    body.stop(BodyEnd.DISCONNECTED)
    with pytest.raises(TusError):
        await running
    await listener.wait_for(3, 6)


async def test_the_end_is_told_once_more(listener: Listener) -> None:
    """However short a body was, and however long the interval is."""
    house = House(progress_interval_s=3600)
    house.hooks.deaf_to.discard(HookType.POST_RECEIVE)
    house.hooks.says[HookType.POST_RECEIVE] = listener
    upload = await house.append(await house.create(9), b"abc")
    await listener.wait_for(3)
    await house.append(upload, b"")
    await house.append(upload, b"defghi")
    await listener.wait_for(3, 9)
    await house.uploads.close()


async def test_a_slow_listener_is_in_nobodys_way(told: House, listener: Listener) -> None:
    """The body ends, its client is answered, and others go on, while the hook still thinks."""
    listener.may_answer.clear()
    upload = await told.append(await told.create(9), b"abc")
    await listener.wait_for(3)
    assert (await told.append(upload, b"defghi")).finished
    await told.uploads.close()
    assert set(listener.offsets) <= {3, 9}


@pytest.mark.parametrize("error", [ValueError("a bug"), UploadStopped()])
async def test_a_failing_listener_is_in_nobodys_way(
    told: House, listener: Listener, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises is logged, and it is told again."""
    listener.reply = error
    running = await told.start_append(await told.create(9), b"abc")
    await listener.wait_for(3)
    running.body.feed(b"def")
    await listener.wait_for(3, 6)
    running.body.feed(b"ghi")
    running.body.stop(BodyEnd.COMPLETE)
    assert (await running.task).finished
    assert "HookInvocationError" in caplog.text


@pytest.mark.parametrize("checksummed", [False, True])
async def test_an_upload_can_be_stopped(
    told: House,
    listener: Listener,
    checksummed: bool,  # noqa: FBT001
) -> None:
    """400 ERR_UPLOAD_STOPPED, the upload is gone, and post-terminate follows."""
    listener.reply = STOP
    checksum = parse_checksum("sha1 Lve95gjOVATpfV8EL5X4nxwjKHE=") if checksummed else None
    upload = await told.create(9)
    body = ScriptedBody(b"abc", end=None)
    running = asyncio.create_task(told.append(upload, body, checksum=checksum))
    with pytest.raises(UploadStopped):
        await asyncio.wait_for(running, SOON_S)
    await gone(told, upload)
    assert told.hooks.types.count("post-terminate") == 1
    assert REQUEST.changes.if_refused == STOP.response
    assert "post-interrupt" not in told.hooks.types


async def test_a_creation_with_bytes_can_be_stopped(told: House, listener: Listener) -> None:
    """The same for bytes that come along with the POST."""
    listener.reply = STOP
    body = ScriptedBody(b"abc", end=None)
    creating = asyncio.create_task(told.create(9, body))
    with pytest.raises(UploadStopped):
        await asyncio.wait_for(creating, SOON_S)
    assert told.hooks.types[-1] == "post-terminate"


async def test_a_stop_that_comes_late_counts(told: House, listener: Listener) -> None:
    """Small bodies are over before the hook has answered; the upload is removed all the same."""
    listener.reply = STOP
    upload = await told.append(await told.create(9), b"abc")
    await gone(told, upload)


async def test_what_is_finished_is_not_stopped(told: House, listener: Listener) -> None:
    """Its client has been told that all went well."""
    listener.reply = STOP
    listener.may_answer.clear()
    upload = await told.append(await told.create(3), b"abc")
    assert upload.finished
    await listener.wait_for(3)
    listener.may_answer.set()
    await asyncio.wait(list(told.uploads._progress._tasks))
    assert await told.content(upload) == b"abc"
    assert "post-terminate" not in told.hooks.types


async def test_nobody_listens_nobody_counts(house: House) -> None:
    """Without such a hook there is no task beside a body."""
    running = await house.start_append(await house.create(9), b"abc")
    assert not house.uploads._progress._tasks
    running.body.stop(BodyEnd.DISCONNECTED)
    await running.error()
