"""The ordinary lane: a body as aiohttp's stream gives it, chunked and TLS bodies among them."""

from __future__ import annotations

from aiohttp import StreamReader


class StreamLane:
    """Receives one body from aiohttp's stream."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    @property
    def complete(self) -> bool:
        """Whether all of the body has been received, if not asked for."""
        return self._content.is_eof()

    async def receive(self) -> bytes:
        """Return the next bytes, or ``b""`` when no more will come."""
        return await self._content.readany()

    def rest(self) -> bytes:
        """Return all that has been received and not been asked for."""
        # When the connection broke, `readany` raises before it gives out what had arrived until
        # then, and only this private method goes on to do so.
        if not getattr(self._content, "_buffer", None):
            return b""
        return self._content._read_nowait(-1)  # noqa: SLF001

    def leave(self) -> None:
        """Stop receiving; the stream is aiohttp's, and nothing of it was taken."""
