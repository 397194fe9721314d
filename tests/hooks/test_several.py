"""Several hooks as one, and the events that are wanted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.hooks import UPLOAD, event
from tusd_py.hooks.python import PythonHooks, load_hooks
from tusd_py.hooks.several import EnabledHooks, SeveralHooks
from tusd_py.interfaces import HookEvent, HookReply, HookType, ResponseChange
from tusd_py.protocol.errors import Forbidden
from tusd_py.protocol.model import Partial

Log = list[str]


def hooks(log: Log, name: str, reply: HookReply | Exception | None = None) -> PythonHooks:
    """Return hooks for everything that log their name and reply so."""

    def hook(asked: HookEvent) -> HookReply | None:
        log.append(name)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return PythonHooks({kind.value: hook for kind in HookType}, receiver=name)


async def test_they_are_asked_in_order_and_merged() -> None:
    """Everybody's wishes count; where they disagree, the later one's."""
    log: Log = []
    first = HookReply(
        id="a",
        metadata={"k": "1"},
        response=ResponseChange(status=299, body="x", headers={"A": "1", "B": "1"}),
    )
    second = HookReply(id="b", response=ResponseChange(headers={"B": "2"}))
    several = SeveralHooks([hooks(log, "1", first), hooks(log, "2"), hooks(log, "3", second)])
    assert await several.call(event()) == HookReply(
        id="b",
        metadata={"k": "1"},
        response=ResponseChange(status=299, body="x", headers={"A": "1", "B": "2"}),
    )
    assert log == ["1", "2", "3"]


@pytest.mark.parametrize("refusal", [HookReply(reject=True), HookReply(stop=True), Forbidden()])
async def test_the_first_refusal_counts(refusal: HookReply | Exception) -> None:
    """Nobody is asked behind a refusal, and what others wished before is forgotten."""
    log: Log = []
    several = SeveralHooks(
        [hooks(log, "1", HookReply(id="a")), hooks(log, "2", refusal), hooks(log, "3")]
    )
    if isinstance(refusal, HookReply):
        assert await several.call(event()) == refusal
    else:
        with pytest.raises(Forbidden):
            await several.call(event())
    assert log == ["1", "2"]


async def test_each_is_told_by_name() -> None:
    """Each receiver is told on its own; one that is not there any more is told nothing."""
    log: Log = []
    several = SeveralHooks([hooks(log, "1"), hooks(log, "2")])
    assert several.receivers(HookType.POST_FINISH) == ["1", "2"]
    await several.tell(event(HookType.POST_FINISH), "2")
    await several.tell(event(HookType.POST_FINISH), "gone")
    assert log == ["2"]


async def test_only_enabled_events_come_through() -> None:
    """What is not enabled is neither asked nor told."""
    log: Log = []
    wanted = (HookType.PRE_CREATE, HookType.POST_FINISH)
    enabled = EnabledHooks(hooks(log, "1"), wanted, partials=True)
    assert [kind for kind in HookType if enabled.listens_to(kind)] == list(wanted)
    assert [kind for kind in HookType if enabled.receivers(kind)] == list(wanted)
    assert await enabled.call(event(HookType.PRE_FINISH)) is None
    assert log == []


async def test_partials_can_be_left_out_but_not_sneaked_in() -> None:
    """Of partial uploads nothing is told then; whoever has a say still has it."""
    log: Log = []
    enabled = EnabledHooks(hooks(log, "1"), tuple(HookType), partials=False)
    part = replace(UPLOAD, kind=Partial())
    await enabled.tell(event(HookType.POST_FINISH, part), "1")
    assert log == []
    await enabled.call(event(HookType.PRE_CREATE, part))
    await enabled.tell(event(HookType.POST_FINISH), "1")
    assert log == ["1", "1"]


# --- hooks of a module


def one_for_all(asked: HookEvent) -> HookReply:
    """Reply to every event."""
    return HookReply(id=asked.type.value)


SOME = {"post-finish": one_for_all}
NUMBER = 5


async def test_a_module_may_have_one_callable_for_all() -> None:
    """``package.module:name`` of a function gets every event."""
    loaded = load_hooks(f"{__name__}:one_for_all")
    assert all(loaded.listens_to(kind) for kind in HookType)
    assert await loaded.call(event()) == HookReply(id="pre-create")


def test_a_module_may_have_a_mapping() -> None:
    """A mapping is taken as `create_app` takes one, and its receiver has a name of its own."""
    loaded = load_hooks(f"{__name__}:SOME")
    assert [kind for kind in HookType if loaded.listens_to(kind)] == [HookType.POST_FINISH]
    assert loaded.receivers(HookType.POST_FINISH) != PythonHooks(SOME).receivers(
        HookType.POST_FINISH
    )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("os", "must be package.module:name"),
        ("missing_module:x", "cannot be imported"),
        (f"{__name__}:missing", "neither a callable nor a mapping"),
        (f"{__name__}:NUMBER", "neither a callable nor a mapping"),
    ],
)
def test_what_is_no_hook_is_found_at_the_start(place: str, sentence: str) -> None:
    """A mistake is one sentence."""
    with pytest.raises(ValueError, match=sentence):
        load_hooks(place)


async def test_a_wrong_return_value_is_no_consent() -> None:
    """A hook that returns False, say, has not agreed."""
    wrong = PythonHooks({"pre-create": lambda _: False})  # type: ignore[dict-item,return-value]
    with pytest.raises(TypeError, match="HookReply or None, not bool"):
        await wrong.call(event())
