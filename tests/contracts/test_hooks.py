"""What every kind of hooks does alike: asks, tells, and never takes a failure for consent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.hooks import EVENT_ID, UPLOAD, Commands, Receiver, event, receiving
from tusd_py.hooks.command import CommandHooks, CommandOptions
from tusd_py.hooks.http import HttpHooks, HttpOptions
from tusd_py.hooks.payload import parse_reply
from tusd_py.hooks.python import PythonHooks
from tusd_py.hooks.several import EnabledHooks, SeveralHooks
from tusd_py.interfaces import HookEvent, HookReply, Hooks, HookType, ResponseChange

Seen = list[tuple[str, str, str]]


class Harness(Protocol):
    """One kind of hooks, and the end that they lead to."""

    hooks: Hooks

    def say(self, event: HookType, reply: Mapping[str, Any] | None) -> None:
        """Let the end reply so to this event; None: it fails."""

    @property
    def seen(self) -> Seen:
        """Type, id of the event and offset, of all that have come."""


class PythonHarness:
    """A function for every event."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self._says: dict[HookType, Mapping[str, Any] | None] = {}
        self.hooks: Hooks = PythonHooks({kind.value: self._hook for kind in HookType})

    def say(self, event: HookType, reply: Mapping[str, Any] | None) -> None:
        self._says[event] = reply

    async def _hook(self, event: HookEvent) -> HookReply | None:
        self.seen.append((event.type.value, event.id, str(event.upload.offset)))
        if event.type not in self._says:
            return None
        reply = self._says[event.type]
        if reply is None:
            raise RuntimeError("a bug")
        return parse_reply(event.type, _json(reply))


class HttpHarness:
    """A server that answers."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self._receiver = receiver
        self.hooks: Hooks = HttpHooks(HttpOptions(url=url, attempts=1))

    def say(self, event: HookType, reply: Mapping[str, Any] | None) -> None:
        self._receiver.says[event.value] = 500 if reply is None else reply

    @property
    def seen(self) -> Seen:
        return [_seen(payload) for payload in self._receiver.received]


class CommandHarness:
    """A directory with a command for each event."""

    def __init__(self, directory: Path) -> None:
        self._commands = Commands(directory)
        for kind in HookType:
            self._commands.answer(kind.value)
        self.hooks: Hooks = CommandHooks(CommandOptions(directory=directory))

    def say(self, event: HookType, reply: Mapping[str, Any] | None) -> None:
        if reply is None:
            self._commands.script(event.value, f"cat > given/$$-{event.value}", "exit 7")
        else:
            self._commands.answer(event.value, reply)

    @property
    def seen(self) -> Seen:
        return [_seen(payload) for payload in self._commands.received]


def _json(reply: Mapping[str, Any]) -> bytes:
    return json.dumps(reply).encode()


def _seen(payload: Any) -> tuple[str, str, str]:
    fields = payload["Event"]
    return payload["Type"], fields["ID"], str(fields["Upload"]["Offset"])


@contextlib.asynccontextmanager
async def harness_of(kind: str, directory: Path) -> AsyncIterator[Harness]:
    """Open hooks of one kind."""
    if kind == "python":
        yield PythonHarness()
    elif kind == "command":
        yield CommandHarness(directory / "hooks")
    else:
        receiver = Receiver()
        async with receiving(receiver.handle) as url:
            harness = HttpHarness(url, receiver)
            assert isinstance(harness.hooks, HttpHooks)
            await harness.hooks.open()
            try:
                yield harness
            finally:
                await harness.hooks.close()


@pytest.fixture(params=["python", "http", "command", "several"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    """Hooks of each kind, and one of them behind the wrappers that the program uses."""
    kind: str = request.param
    async with harness_of("command" if kind == "several" else kind, tmp_path) as made:
        if kind == "several":
            enabled = EnabledHooks(made.hooks, tuple(HookType), partials=True)
            made.hooks = SeveralHooks([PythonHooks(), enabled])
        yield made


async def test_it_is_asked_with_the_event(harness: Harness) -> None:
    """The event comes through whole; who has nothing to say changes nothing."""
    reply = await harness.hooks.call(event(HookType.PRE_FINISH))
    assert reply in (None, HookReply())
    assert harness.seen == [("pre-finish", EVENT_ID, "4")]


async def test_its_wishes_come_back(harness: Harness) -> None:
    """Everything that a reply can say is understood."""
    harness.say(
        HookType.PRE_CREATE,
        {
            "HTTPResponse": {"StatusCode": 299, "Body": "ok", "Header": {"X-A": "b"}},
            "ChangeFileInfo": {
                "ID": "cat/tom",
                "MetaData": {"filename": "tom.jpg"},
                "Storage": {"Path": "cats/tom.jpg"},
            },
        },
    )
    assert await harness.hooks.call(event()) == HookReply(
        id="cat/tom",
        metadata={"filename": "tom.jpg"},
        storage_path="cats/tom.jpg",
        response=ResponseChange(status=299, body="ok", headers={"X-A": "b"}),
    )


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (HookType.PRE_CREATE, "RejectUpload"),
        (HookType.PRE_FINISH, "RejectUpload"),
        (HookType.PRE_TERMINATE, "RejectTermination"),
        (HookType.PRE_ACCESS, "RejectAccess"),
    ],
)
async def test_it_can_refuse(harness: Harness, kind: HookType, key: str) -> None:
    """A refusal is one, with the answer that the client is to get."""
    harness.say(kind, {key: True, "HTTPResponse": {"StatusCode": 402}})
    reply = await harness.hooks.call(event(kind))
    assert reply == HookReply(reject=True, response=ResponseChange(status=402))


async def test_it_can_stop_an_upload(harness: Harness) -> None:
    """The same for what comes while bytes come."""
    harness.say(HookType.POST_RECEIVE, {"StopUpload": True})
    assert await harness.hooks.call(event(HookType.POST_RECEIVE)) == HookReply(stop=True)


@pytest.mark.parametrize("kind", [kind for kind in HookType if kind.value.startswith("pre-")])
async def test_a_failure_is_no_consent(harness: Harness, kind: HookType) -> None:
    """A100: who cannot answer has not agreed: the call raises."""
    harness.say(kind, None)
    with pytest.raises(Exception, match=r".+"):
        await harness.hooks.call(event(kind))
    assert [kind for kind, _, _ in harness.seen] == [kind.value]


async def test_it_is_told_by_its_name(harness: Harness) -> None:
    """There is one receiver, and what it is told has no answer."""
    harness.say(HookType.POST_FINISH, {"RejectUpload": True})
    (receiver,) = harness.hooks.receivers(HookType.POST_FINISH)
    await harness.hooks.tell(event(HookType.POST_FINISH), receiver)
    assert harness.seen == [("post-finish", EVENT_ID, "4")]


async def test_what_was_not_told_is_known(harness: Harness) -> None:
    """A failure raises, so that it is tried again; and again it is the same event."""
    harness.say(HookType.POST_FINISH, None)
    (receiver,) = harness.hooks.receivers(HookType.POST_FINISH)
    for _ in range(2):
        with pytest.raises(Exception, match=r".+"):
            await harness.hooks.tell(event(HookType.POST_FINISH), receiver)
    assert harness.seen == [("post-finish", EVENT_ID, "4")] * 2


async def test_events_are_listened_to(harness: Harness) -> None:
    """Every event that is set up is."""
    assert all(harness.hooks.listens_to(kind) for kind in HookType)
    assert UPLOAD.offset == 4
