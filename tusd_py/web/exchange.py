"""One request and its answer, for those who watch."""

from __future__ import annotations

import time

from aiohttp import web

from ..interfaces.occurrences import Answered
from ..protocol.commands import Append, Appended, Command, Created, Inspected, Outcome
from ..protocol.errors import TusError
from ..protocol.model import UploadId

# As tusd cuts it: what clients send must not fill the log.
_REQUEST_ID_LENGTH = 36

_ABOUT_AN_UPLOAD = (Created, Appended, Inspected)


class Exchange:
    """What is known of a request by now.

    Attributes:
        method: the effective one.
        upload_id: of the URL; None for the creation URL and for what is no id.
        command: what it asks for, once that was understood.
        outcome: what became of it, if it went well.
        error: what it was refused with.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._began = time.monotonic()
        self.method = request.method
        self.upload_id: UploadId | None = None
        self.command: Command | None = None
        self.outcome: Outcome | None = None
        self.error: TusError | None = None

    def answered(self, status: int, *, received: int, first_byte_at: float | None) -> Answered:
        """Sum up, now that the answer has been sent.

        Args:
            received: bytes of the body.
            first_byte_at: when the first of them came, by the clock of the event loop.
        """
        request_id = self._request.headers.get("X-Request-ID")
        upload_id, stored = self.upload_id, None
        if isinstance(self.outcome, _ABOUT_AN_UPLOAD):
            upload_id, stored = self.outcome.upload.id, self.outcome.upload.offset
        elif self.error is not None:
            stored = self.error.kept
        return Answered(
            method=self.method,
            path=self._request.rel_url.raw_path,
            status=status,
            code=None if self.error is None else self.error.code,
            duration_s=time.monotonic() - self._began,
            request_id=None if request_id is None else request_id[:_REQUEST_ID_LENGTH],
            upload_id=upload_id,
            offset=self.command.offset if isinstance(self.command, Append) else None,
            stored=stored,
            received=received,
            first_byte_s=None if first_byte_at is None else first_byte_at - self._began,
        )
