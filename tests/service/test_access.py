"""Authorisation: asked before anything is touched, and what is not yours looks missing."""

from __future__ import annotations

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.interfaces import Access, Operation
from tusd_py.protocol.errors import Forbidden, TusError, Unauthorized, UploadNotFound
from tusd_py.protocol.model import Partial

from .conftest import House


class Guard:
    """An application's rules: who is asking, and what is refused."""

    def __init__(self) -> None:
        self.user: str | None = "anna"
        self.refuses: type[TusError] | None = None
        self.refuses_only: Operation | None = None
        self.asked: list[Access] = []

    async def __call__(self, access: Access) -> str | None:
        self.asked.append(access)
        if self.refuses is not None and self.refuses_only in (None, access.operation):
            raise self.refuses
        return self.user


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
