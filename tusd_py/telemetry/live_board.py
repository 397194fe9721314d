"""What is being received by all processes, or nodes, of a server, as one picture."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..interfaces.history import History
from ..protocol.errors import TusError
from .live import LiveUpload, LiveUploads

_log = logging.getLogger(__name__)

MOST_SHOWN: Final = 100
"""So many uploads are shown one by one; of the rest only sums."""

_LONGEST_NAME = 200
_PATIENCE_S = 2.0
# Longer than the pause between two notices, so that a busy process does not blink.
_NOTICE_S = 5.0

Picture = Mapping[str, Any]
"""For JSON: ``count`` and ``bytes_per_s`` of all, and ``uploads``, those that began first first."""


class LiveBoard:
    """Shows the others what this process receives, and sees what they do.

    Args:
        live: what this process receives.
        history: whose board all of them use; None: there is nobody else.
        clock: seconds since the epoch.
        timeout_s: how long the board may take before it is left out.
    """

    def __init__(
        self,
        live: LiveUploads,
        history: History | None,
        *,
        clock: Callable[[], float] = time.time,
        timeout_s: float = _PATIENCE_S,
    ) -> None:
        self._live = live
        self._history = history
        self._clock = clock
        self._timeout_s = timeout_s
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._posted = False

    async def post(self) -> None:
        """Show what is being received now; nothing is written while there is nothing to show."""
        if self._history is None or not (self._posted or len(self._live)):
            return
        notice = {"process": self._process, **self._own()}
        until = self._clock() + _NOTICE_S
        try:
            await self._history.post(self._process, json.dumps(notice), until=until)
        except TusError as error:
            _log.debug("BoardUnavailable", extra={"reason": str(error)})
        self._posted = bool(notice["count"])

    async def look(self) -> Picture:
        """Return what all of them receive; those that cannot be seen just now are left out.

        ``whole`` says whether all could be seen.
        """
        pictures, whole = [self._own()], True
        if self._history is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    notices = await self._history.board(self._clock())
            except (TusError, TimeoutError):
                whole = False
            else:
                found = [json.loads(notice) for notice in notices]
                pictures += [one for one in found if one["process"] != self._process]
        return {**_together(pictures), "whole": whole}

    def _own(self) -> Picture:
        snapshot = self._live.snapshot()
        now = self._clock()
        return {
            "count": len(snapshot),
            "bytes_per_s": sum(one.speed for one in snapshot),
            "uploads": [_row(one, now) for one in snapshot[:MOST_SHOWN]],
        }


def _together(pictures: Sequence[Picture]) -> Picture:
    uploads = [row for picture in pictures for row in picture["uploads"]]
    uploads.sort(key=lambda row: (row["began_at"], row["id"]))
    return {
        "count": sum(picture["count"] for picture in pictures),
        "bytes_per_s": sum(picture["bytes_per_s"] for picture in pictures),
        "uploads": uploads[:MOST_SHOWN],
    }


def _row(one: LiveUpload, now: float) -> Mapping[str, object]:
    upload = one.upload
    name = upload.metadata.text("filename") or upload.metadata.text("name")
    return {
        "id": upload.id,
        "name": name and name[:_LONGEST_NAME],
        "owner": upload.owner,
        "length": upload.length,
        "offset": one.offset,
        "bytes_per_s": one.speed,
        "eta_s": one.eta_s,
        "began_at": now - one.running_s,
    }
