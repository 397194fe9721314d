"""What every error of `protocol.errors` has: a code, a status, a sentence for the client."""

from __future__ import annotations

from typing import ClassVar


class TusError(Exception):
    """The base of all errors an upload can end in; never raised itself.

    Attributes:
        code: the stable name that clients and logs search for.
        status: the HTTP status it is answered with.
        closes: whether the connection is unusable afterwards.
        retry_after_s: when the client may come again, if it is told so.
        kept: the offset of the upload it was about, where bytes may have been kept; for logs.
    """

    code: ClassVar[str] = "ERR_INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    closes: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None
    kept: int | None = None

    def __init__(self, sentence: str | None = None) -> None:
        """Take a sentence for the client; it must not repeat bytes the client sent."""
        super().__init__(sentence or self.sentence)

    @property
    def sentence(self) -> str:
        """What to tell the client when nothing more precise is known."""
        return (type(self).__doc__ or self.code).strip().splitlines()[0]

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to this error."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    @property
    def text(self) -> str:
        """The response body: ``CODE: sentence`` and a newline, as tusd writes it."""
        return f"{self.code}: {self}\n"
