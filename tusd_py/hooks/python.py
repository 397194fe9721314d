"""Hooks that are Python callables in this process."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..interfaces import HookEvent, HookReply, HookType

HookCallable = Callable[[HookEvent], HookReply | Awaitable[HookReply | None] | None]
"""A plain function, which must not block, or a coroutine function."""

_RECEIVER = "python"


class PythonHooks:
    """Implements `Hooks` by calling what is registered under the name of the event.

    Args:
        callables: by name, such as ``"pre-create"``.

    Raises:
        ValueError: a name is not the name of a hook.
    """

    def __init__(self, callables: Mapping[str, HookCallable] | None = None) -> None:
        self._callables = {HookType(name): hook for name, hook in (callables or {}).items()}

    def listens_to(self, event: HookType) -> bool:
        return event in self._callables

    def receivers(self, event: HookType) -> Sequence[str]:
        return [_RECEIVER] if event in self._callables else []

    async def call(self, event: HookEvent) -> HookReply | None:
        hook = self._callables.get(event.type)
        if hook is None:
            return None
        reply = hook(event)
        return await reply if inspect.isawaitable(reply) else reply

    async def tell(self, event: HookEvent, receiver: str) -> None:
        await self.call(event)
