"""What has to happen when the last byte of an upload is stored, once and in this order."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..interfaces import Claim, DataStore, Durability, HookEvent, Hooks, HookType, RequestInfo
from ..protocol.model import Partial, Upload

_log = logging.getLogger(__name__)


class Notify:
    """Calls post-hooks: they have no say, so whatever they raise is only logged."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def __call__(self, event: HookType, upload: Upload, request: RequestInfo | None) -> None:
        """Tell the application what happened."""
        try:
            await self._hooks.call(HookEvent(type=event, upload=upload, request=request))
        except Exception:  # noqa: BLE001 - whatever the application's code raises
            _log.exception("HookInvocationError", extra={"hook": event.value, "id": upload.id})


class Completion:
    """Finishes uploads: bytes made final, pre-finish hook, record."""

    def __init__(self, data: DataStore, hooks: Hooks, durability: Durability) -> None:
        self._data = data
        self._hooks = hooks
        self._durable = durability is not Durability.NONE

    async def complete(self, claim: Claim, upload: Upload, request: RequestInfo | None) -> None:
        """Finish an upload whose bytes are all stored, and save it as finished.

        Raises:
            TusError: the hook refused; the upload stays unfinished and is tried again by
                whoever claims it next.
        """
        await self._data.finish(upload, durable=self._durable)
        event = HookEvent(type=HookType.PRE_FINISH, upload=upload, request=request)
        try:
            await self._hooks.call(event)
        except Exception:
            # The bytes are there nevertheless, but for no longer than before.
            await claim.save(replace(upload, expires_at=claim.upload.expires_at))
            raise
        finished = replace(
            upload,
            finished=True,
            checkpoint=upload.offset if self._durable else upload.checkpoint,
            expires_at=upload.expires_at if isinstance(upload.kind, Partial) else None,
        )
        await claim.save(finished, durable=self._durable)

    async def catch_up(self, claim: Claim, request: RequestInfo | None) -> bool:
        """Finish what a crash, or a hook that refused, left complete but unfinished.

        A client that asks for the offset takes offset == length for success, so it must not
        see that before all of it is true. Returns whether there was something to finish.
        """
        upload = claim.upload
        if not upload.complete or upload.finished:
            return False
        await self.complete(claim, upload, request)
        return True
