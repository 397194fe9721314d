"""Runs tuspy, whose calls block, beside a proxy that needs the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, BinaryIO

from tusclient.client import TusClient

from .samples import Sample

NO_HEADERS: Mapping[str, str] = {}


class Tuspy:
    """The synchronous and the asynchronous uploader of tuspy behind one face.

    Args:
        endpoint: the creation URL.
        asynchronous: which of the two.
        headers: to send with each request.
    """

    def __init__(
        self, endpoint: str, *, asynchronous: bool, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self._client = TusClient(endpoint, headers=dict(headers))
        self._asynchronous = asynchronous

    async def upload(
        self, sample: Sample, *, stop_at: int | None = None, **options: Any
    ) -> tuple[str, int]:
        """Upload a sample, or some of it; return the URL, and the offset the client is at.

        Raises:
            TusCommunicationError: whatever went wrong.
        """
        # Both ask for the offset with blocking calls, so both get a thread.
        return await asyncio.to_thread(self._upload, sample, stop_at, options)

    def _upload(
        self, sample: Sample, stop_at: int | None, options: dict[str, Any]
    ) -> tuple[str, int]:
        with sample.path.open("rb") as file:  # tuspy never closes a file that it opens
            if self._asynchronous:
                return asyncio.run(self._upload_asynchronously(file, stop_at, options))
            uploader = self._client.uploader(file_stream=file, **options)
            uploader.upload(stop_at)
            return str(uploader.url), uploader.offset

    async def _upload_asynchronously(
        self, file: BinaryIO, stop_at: int | None, options: dict[str, Any]
    ) -> tuple[str, int]:
        uploader = self._client.async_uploader(file_stream=file, **options)
        await uploader.upload(stop_at)
        return str(uploader.url), uploader.offset
