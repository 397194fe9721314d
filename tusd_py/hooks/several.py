"""Several kinds of hooks at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..interfaces import HookEvent, HookReply, Hooks, HookType
from ..protocol.model import Partial


class EnabledHooks:
    """Implements `Hooks`: passes on the events that are wanted.

    Args:
        hooks: what to pass them to.
        events: which ones.
        partials: False leaves out what is only told about partial uploads. Whoever has a say is
            asked about them all the same: a partial upload is no way around.
    """

    def __init__(self, hooks: Hooks, events: Collection[HookType], *, partials: bool) -> None:
        self._hooks = hooks
        self._events = frozenset(events)
        self._partials = partials

    def listens_to(self, event: HookType) -> bool:
        return event in self._events and self._hooks.listens_to(event)

    def receivers(self, event: HookType) -> Sequence[str]:
        return self._hooks.receivers(event) if event in self._events else ()

    async def call(self, event: HookEvent) -> HookReply | None:
        return await self._hooks.call(event) if event.type in self._events else None

    async def tell(self, event: HookEvent, receiver: str) -> None:
        if self._partials or not isinstance(event.upload.kind, Partial):
            await self._hooks.tell(event, receiver)


class SeveralHooks:
    """Implements `Hooks`: asks one after the other, and tells all.

    Who is asked later is not asked at all when an earlier one refuses; where replies disagree,
    the later one counts.

    Args:
        hooks: no two have a receiver of the same name.
    """

    def __init__(self, hooks: Sequence[Hooks]) -> None:
        self._hooks = hooks

    def listens_to(self, event: HookType) -> bool:
        return any(hooks.listens_to(event) for hooks in self._hooks)

    def receivers(self, event: HookType) -> Sequence[str]:
        return [name for hooks in self._hooks for name in hooks.receivers(event)]

    async def call(self, event: HookEvent) -> HookReply | None:
        merged: HookReply | None = None
        for hooks in self._hooks:
            if not hooks.listens_to(event.type):
                continue
            reply = await hooks.call(event)
            if reply is None:
                continue
            if reply.reject or reply.stop:
                return reply
            merged = reply if merged is None else _merged(merged, reply)
        return merged

    async def tell(self, event: HookEvent, receiver: str) -> None:
        for hooks in self._hooks:
            # A receiver that is no more is configured has nothing to be told.
            if receiver in hooks.receivers(event.type):
                await hooks.tell(event, receiver)


def _merged(first: HookReply, second: HookReply) -> HookReply:
    response = second.response
    if first.response is not None and response is not None:
        response = first.response.merged_with(response)
    return replace(
        second,
        id=first.id if second.id is None else second.id,
        metadata=first.metadata if second.metadata is None else second.metadata,
        storage_path=first.storage_path if second.storage_path is None else second.storage_path,
        limits=second.limits or first.limits,
        response=response or first.response,
    )
