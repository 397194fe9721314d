"""Authorisation: asked before anything is touched, and what is not yours looks missing."""

from __future__ import annotations

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import Access, Grant, Operation
from tusd_py.protocol.errors import (
    Forbidden,
    MaxSizeExceeded,
    TusError,
    Unauthorized,
    UploadNotFound,
)
from tusd_py.protocol.model import Partial

from .conftest import House


class Guard:
    """An application's rules: who is asking, and what is refused."""

    def __init__(self) -> None:
        self.user: str | None = "anna"
        self.grants: Grant | None = None
        self.refuses: type[TusError] | None = None
        self.refuses_only: Operation | None = None
        self.asked: list[Access] = []

    async def __call__(self, access: Access) -> Grant | str | None:
        self.asked.append(access)
        if self.refuses is not None and self.refuses_only in (None, access.operation):
            raise self.refuses
        return self.user if self.grants is None else self.grants


@pytest.fixture
def guard() -> Guard:
    """Anna is asking, and nothing is refused."""
    return Guard()


@pytest.fixture
def guarded(guard: Guard) -> House:
    """A service behind the guard."""
    return House(authorize=guard)


async def test_an_upload_belongs_to_who_made_it(guarded: House, guard: Guard) -> None:
    """The owner may do everything with it."""
    upload = await guarded.create(6, b"abc", kind=Partial())
    assert (await guarded.record(upload)).owner == "anna"
    await guarded.head(upload)
    await guarded.append(upload, b"def")
    await guarded.fetch(upload)
    final = await guarded.final(upload)
    await guarded.delete(final)
    assert [access.operation.value for access in guard.asked] == [
        *("create", "inspect", "append", "finish", "fetch"),
        *("create", "concatenate", "terminate"),
    ]


@pytest.mark.parametrize("other", ["berta", None])
async def test_to_others_it_looks_missing(guarded: House, guard: Guard, other: str | None) -> None:
    """The same 404 as for an upload that does not exist, and nothing is disturbed."""
    upload = await guarded.create(6, b"abc", kind=Partial())
    running = await guarded.start_append(upload, b"d")
    guard.user = other
    for operation in (guarded.head, guarded.fetch, guarded.delete, guarded.final):
        with pytest.raises(UploadNotFound):
            await operation(upload)
    body = ScriptedBody(b"xyz")
    with pytest.raises(UploadNotFound):
        await guarded.append(upload, body)
    assert await body.read() == b"xyz"
    assert running.body.end is None
    running.task.cancel()


@pytest.mark.parametrize("error", [Unauthorized, Forbidden])
async def test_a_refusal_is_passed_on(guarded: House, guard: Guard, error: type[TusError]) -> None:
    """401 and 403 reach the client; no claim is taken and no hook called."""
    upload = await guarded.create(6, b"abc")
    guard.refuses = error
    called = len(guarded.hooks.events)
    for operation in (guarded.head, guarded.fetch, guarded.delete):
        with pytest.raises(error):
            await operation(upload)
    with pytest.raises(error):
        await guarded.append(upload, b"d")
    with pytest.raises(error):
        await guarded.create(1)
    assert len(guarded.hooks.events) == called


async def test_a_permission_withdrawn_during_the_last_body(guarded: House, guard: Guard) -> None:
    """A53: asked once more at the end, the upload stays unfinished until it is allowed again."""
    upload = await guarded.create(6)
    guard.refuses, guard.refuses_only = Forbidden, Operation.FINISH
    with pytest.raises(Forbidden):
        await guarded.append(upload, b"abcdef")
    record = await guarded.record(upload)
    assert (record.offset, record.finished) == (6, False)
    assert record.expires_at is not None
    assert guarded.hooks.types == ["pre-create", "post-create"]
    with pytest.raises(Forbidden):
        await guarded.head(upload)
    guard.refuses = None
    assert (await guarded.head(upload)).finished
    assert guarded.hooks.types[2:] == ["pre-finish", "post-finish"]


async def test_a_grant_caps_the_size(guarded: House, guard: Guard) -> None:
    """At the creation, by its body, by a length declared later, and by bytes without a length."""
    guard.grants = Grant(owner="anna", max_size=6)
    for length, body in ((7, None), (None, b"abcdefg")):
        with pytest.raises(MaxSizeExceeded) as caught:
            await guarded.create(length, body)
        assert caught.value.max_size == 6
    with pytest.raises(MaxSizeExceeded):
        await guarded.create(None, ScriptedBody(b"abc", b"defg"))
    assert (await guarded.create(6, b"abcdef")).finished
    upload = await guarded.create(None, b"abc")
    guard.grants = Grant(owner="anna")  # what counts is what was granted when it was created
    with pytest.raises(MaxSizeExceeded):
        await guarded.append(upload, b"", length=7)
    with pytest.raises(MaxSizeExceeded):
        await guarded.append(upload, b"defg")
    with pytest.raises(MaxSizeExceeded):
        await guarded.append(upload, ScriptedBody(b"de", b"fg"))
    assert (await guarded.record(upload)).offset == 3
    assert (await guarded.append(upload, b"def", length=6)).finished


async def test_parts_together_keep_to_the_grant(guarded: House, guard: Guard) -> None:
    """The final upload is refused, though each part was small enough."""
    guard.grants = Grant(owner="anna", max_size=5)
    parts = await guarded.part(b"abc"), await guarded.part(b"def")
    with pytest.raises(MaxSizeExceeded):
        await guarded.final(*parts)
    late = await guarded.create(None, b"de", kind=Partial())
    final = await guarded.final(parts[0], late)
    await guarded.append(late, b"f", length=3)
    await guarded.wait_idle()
    with pytest.raises(UploadNotFound):
        await guarded.record(final)
