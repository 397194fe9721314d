"""Asks the application before something is done, and understands what it answers."""

from __future__ import annotations

from collections.abc import Callable

from ..interfaces import HookEvent, HookReply, Hooks, HookType, Operation, RequestInfo
from ..interfaces.occurrences import Observe, ignore
from ..protocol.errors import Forbidden, TerminationRejected, TusError, UploadRejected
from ..protocol.model import Upload
from .noting import noted_call
from .replies import apply_reply, checked_response

_REFUSALS: dict[HookType, type[TusError]] = {
    HookType.PRE_ACCESS: Forbidden,
    HookType.PRE_CREATE: UploadRejected,
    HookType.PRE_FINISH: UploadRejected,
    HookType.PRE_TERMINATE: TerminationRejected,
}


class Asker:
    """Calls the hooks that have a say. Each method raises what the client is to be told.

    Raises:
        TusError: a hook refused, or could not be asked: then nothing must be done.
        Exception: whatever hooks raise by mistake, which is no consent either.
    """

    def __init__(self, hooks: Hooks, clock: Callable[[], float], observe: Observe = ignore) -> None:
        self._hooks = hooks
        self._clock = clock
        self._observe = observe

    def listens_to(self, event: HookType) -> bool:
        """Whether anybody would be asked."""
        return self._hooks.listens_to(event)

    async def before_create(
        self, upload: Upload, request: RequestInfo
    ) -> tuple[Upload, str | None]:
        """Return the upload as the application wants it, and the path for its bytes, if any."""
        reply = await self._ask(HookType.PRE_CREATE, upload, request)
        return (upload, None) if reply is None else (apply_reply(upload, reply), reply.storage_path)

    async def before_access(
        self, operation: Operation, upload: Upload, request: RequestInfo
    ) -> None:
        """Ask before anything is done to an upload, or read of it."""
        await self._ask(HookType.PRE_ACCESS, upload, request, operation)

    async def before_finish(self, upload: Upload, request: RequestInfo | None) -> None:
        """Ask before a complete upload counts as such."""
        await self._ask(HookType.PRE_FINISH, upload, request)

    async def before_terminate(self, upload: Upload, request: RequestInfo) -> None:
        """Ask before an upload is removed at the wish of a client."""
        await self._ask(HookType.PRE_TERMINATE, upload, request)

    async def about_progress(self, upload: Upload, request: RequestInfo) -> bool:
        """Tell how far a running upload has come; return whether it is to be stopped."""
        reply = await self._call(HookType.POST_RECEIVE, upload, request)
        if reply is None or not reply.stop:
            return False
        if reply.response is not None:
            request.changes.if_refused = checked_response(reply.response, refused=True)
        return True

    async def _ask(
        self,
        event: HookType,
        upload: Upload,
        request: RequestInfo | None,
        operation: Operation | None = None,
    ) -> HookReply | None:
        if not self._hooks.listens_to(event):
            return None
        reply = await self._call(event, upload, request, operation)
        if reply is None:
            return None
        if request is not None and reply.response is not None:
            change = checked_response(reply.response, refused=reply.reject)
            if reply.reject:
                request.changes.if_refused = change
            elif event is not HookType.PRE_ACCESS:
                request.changes.add(change)
        if reply.reject:
            raise _REFUSALS[event]
        return reply

    async def _call(
        self,
        event: HookType,
        upload: Upload,
        request: RequestInfo | None,
        operation: Operation | None = None,
    ) -> HookReply | None:
        with noted_call(self._observe, event):
            return await self._hooks.call(
                HookEvent(
                    type=event,
                    upload=upload,
                    request=request,
                    operation=operation,
                    at=self._clock(),
                )
            )
