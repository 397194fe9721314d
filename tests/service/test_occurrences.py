"""What happens is noted for those who watch: what, when, how much and why."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import BodyEnd, HookReply, HookType
from tusd_py.interfaces.occurrences import (
    BodyBegun,
    BodyEnded,
    Claimed,
    Created,
    Expired,
    Finished,
    HookCalled,
    Terminated,
)
from tusd_py.protocol.checksum import parse_checksum
from tusd_py.protocol.errors import ChecksumMismatch, HookUnavailable, UnexpectedEOF, UploadLocked

from .conftest import EXPIRE_AFTER_S, House

WRONG = parse_checksum("md5 AAAAAAAAAAAAAAAAAAAAAA==")


def kinds(house: House) -> list[str]:
    """What was noted, in order, but for calls of hooks."""
    return [type(one).__name__ for one in house.noted if not isinstance(one, HookCalled)]


async def test_the_life_of_an_upload_is_noted(house: House) -> None:
    """Creation, each body with its bytes, and the finish with the time it took."""
    upload = await house.create(5)
    half = await house.append(upload, b"abc")
    house.now += 7
    whole = await house.append(half, b"de")
    assert kinds(house) == [
        *("Created", "Claimed", "BodyBegun", "BodyEnded"),
        *("Claimed", "BodyBegun", "BodyEnded", "Finished"),
    ]
    begun = [one for one in house.noted if isinstance(one, BodyBegun)]
    assert [one.upload.offset for one in begun] == [0, 3]
    ended = [one for one in house.noted if isinstance(one, BodyEnded)]
    assert [(e.upload.offset, e.received, e.cause) for e in ended] == [(3, 3, None), (5, 2, None)]
    assert house.noted[-1] == Finished(upload=whole, duration_s=7)
    assert [one for one in house.noted if isinstance(one, Created)] == [Created(upload=upload)]


async def test_a_small_upload_in_one_go_is_noted_likewise(house: House) -> None:
    """Its bytes count, though there was no body to watch."""
    upload = await house.create(3, b"abc")
    ended = [one for one in house.noted if isinstance(one, BodyEnded)]
    assert [(one.received, one.cause) for one in ended] == [(3, None)]
    assert [one.upload for one in house.noted if isinstance(one, Finished)] == [upload]


async def test_progress_can_be_seen_while_a_body_streams(house: House) -> None:
    """Whoever keeps the note can ask how far it has come."""
    upload = await house.create(9)
    running = await house.start_append(upload, b"abc", b"de")
    (begun,) = [one for one in house.noted if isinstance(one, BodyBegun)]
    assert begun.received() == 5
    running.body.stop(BodyEnd.DISCONNECTED)
    assert isinstance(await running.error(), UnexpectedEOF)


async def test_why_a_body_ended_is_noted(house: House) -> None:
    """By the code that the client is told, with what is kept and what came."""
    upload = await house.create(9)
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"abc", end=BodyEnd.DISCONNECTED))
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"def", offset=3, checksum=WRONG)
    ended = [one for one in house.noted if isinstance(one, BodyEnded)]
    assert [(one.upload.offset, one.received, one.cause) for one in ended] == [
        (3, 3, "ERR_UNEXPECTED_EOF"),
        (3, 3, ChecksumMismatch.code),
    ]


async def test_a_cancelled_body_is_noted_as_ended(house: House) -> None:
    """Nobody would ever take it off the list otherwise."""
    upload = await house.create(9)
    running = await house.start_append(upload, b"abc")
    running.task.cancel()
    await asyncio.wait([running.task])
    assert isinstance(house.noted[-1], BodyEnded)


async def test_waits_for_claims_are_noted() -> None:
    """Those that were granted and those that were not."""
    house = House(acquire_lock_timeout_s=0.01)
    upload = await house.create(3)
    await house.head(upload)
    async with house.offsets.claim(upload.id, timeout_s=0):
        with pytest.raises(UploadLocked):
            await house.head(upload)
    waits = [one for one in house.noted if isinstance(one, Claimed)]
    assert [one.granted for one in waits] == [True, False]
    assert waits[1].wait_s >= 0.01


async def test_removals_are_noted(house: House) -> None:
    """Which of them, and of what."""
    first, second = await house.create(3), await house.create(3)
    await house.delete(first)
    house.now += EXPIRE_AFTER_S
    await house.uploads.expire(second.id)
    assert [one for one in house.noted if isinstance(one, Terminated | Expired)] == [
        Terminated(upload=first),
        Expired(upload=second),
    ]


@pytest.mark.parametrize(
    ("says", "error"),
    [
        (None, None),
        (HookReply(reject=True), None),
        (HookUnavailable(), "ERR_HOOK_UNAVAILABLE"),
        (ValueError("a mistake"), "ValueError"),
    ],
)
async def test_what_becomes_of_a_call_of_a_hook_is_noted(
    house: House, says: HookReply | Exception | None, error: str | None
) -> None:
    """A refusal is no error; a hook that cannot be asked, or that is broken, is one."""
    if says is not None:
        house.hooks.says[HookType.PRE_CREATE] = says
    with contextlib.suppress(Exception):
        await house.create(5)
    called = [one for one in house.noted if isinstance(one, HookCalled)]
    assert (called[0].type, called[0].receiver, called[0].error) == (
        HookType.PRE_CREATE,
        "",
        error,
    )
