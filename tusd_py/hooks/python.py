"""Hooks that are Python callables in this process."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..interfaces import HookEvent, HookReply, HookType

HookCallable = Callable[[HookEvent], HookReply | Awaitable[HookReply | None] | None]
"""A plain function, which must not block, or a coroutine function."""

RECEIVER = "python"
_CONFIGURED = "python-module"


class PythonHooks:
    """Implements `Hooks` by calling what is registered under the name of the event.

    Args:
        callables: by name, such as ``"pre-create"``.
        receiver: the name under which it is told of what happened.

    Raises:
        ValueError: a name is not the name of a hook.
    """

    def __init__(
        self, callables: Mapping[str, HookCallable] | None = None, *, receiver: str = RECEIVER
    ) -> None:
        self._callables = {HookType(name): hook for name, hook in (callables or {}).items()}
        self._receiver = receiver

    def listens_to(self, event: HookType) -> bool:
        return event in self._callables

    def receivers(self, event: HookType) -> Sequence[str]:
        return [self._receiver] if event in self._callables else []

    async def call(self, event: HookEvent) -> HookReply | None:
        hook = self._callables.get(event.type)
        if hook is None:
            return None
        reply = hook(event)
        reply = await reply if inspect.isawaitable(reply) else reply
        if reply is not None and not isinstance(reply, HookReply):
            raise TypeError(f"a hook must return a HookReply or None, not {type(reply).__name__}")
        return reply

    async def tell(self, event: HookEvent, receiver: str) -> None:
        await self.call(event)


def load_hooks(place: str) -> PythonHooks:
    """Return the hooks at ``package.module:name``: one callable for all events, or a mapping.

    Raises:
        ValueError: there is no such thing; the sentence says what is missing.
    """
    module_name, _, name = place.partition(":")
    if not module_name or not name:
        raise ValueError("must be package.module:name")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot be imported: {error}") from error
    found = getattr(module, name, None)
    if isinstance(found, Mapping):
        return PythonHooks(found, receiver=_CONFIGURED)
    if not callable(found):
        sentence = f"names neither a callable nor a mapping in {module_name}"
        raise ValueError(sentence)  # noqa: TRY004 - it is a setting that is wrong
    return PythonHooks({event.value: found for event in HookType}, receiver=_CONFIGURED)
