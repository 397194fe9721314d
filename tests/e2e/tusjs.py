"""Runs tus-js-client in Node.js, and reads what it reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FOLDER = Path(__file__).parent
CLIENT = FOLDER / "node_modules" / "tus-js-client" / "package.json"
_TIMEOUT_S = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A request of the client, and the answer to it.

    Attributes:
        sent_offset: Upload-Offset of the request.
        sent_length: Upload-Length of the request.
        sent_concat: Upload-Concat of the request.
        request_id: X-Request-ID of the request.
        status: None: no answer came.
        offset: Upload-Offset of the answer.
        took_s: from the request to the end of the answer.
    """

    method: str
    url: str
    sent_offset: int | None
    sent_length: int | None
    sent_concat: str | None
    request_id: str | None
    status: int | None
    offset: int | None
    took_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """The client had to think about a retry.

    Attributes:
        again: whether it tried again.
        status: of the answer; None: no answer came.
        method: of the request that failed.
    """

    again: bool
    status: int | None
    method: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How one upload went.

    Attributes:
        url: of the upload.
        outcome: success, error, aborted or terminated.
        exchanges: all requests, in order.
        accepted: the bytes of each PATCH that was answered.
        progress: number of events, and the last one.
        error: what the client said.
    """

    url: str
    outcome: str
    exchanges: Sequence[Exchange]
    retries: Sequence[Retry]
    accepted: Sequence[int]
    progress: Mapping[str, int | None]
    error: str | None = None

    @property
    def methods(self) -> list[str]:
        """The methods of all requests, in order."""
        return [exchange.method for exchange in self.exchanges]

    def of(self, method: str) -> list[Exchange]:
        """Return the requests of one method."""
        return [exchange for exchange in self.exchanges if exchange.method == method]

    @property
    def size(self) -> int | None:
        """How many bytes the client believes to have uploaded; None unless that is all."""
        whole = self.progress["last"] == self.progress["total"]
        return self.progress["last"] if whole else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """An upload to be run by upload.mjs, which describes the fields.

    Attributes:
        path: of the file to upload.
        retries: 0 gives up at the first failure.
    """

    endpoint: str
    path: Path
    kind: str = "file"
    options: Mapping[str, Any] = field(default_factory=dict)
    storage: Path | None = None
    resume: bool = False
    retries: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what upload.mjs reads."""
        return {
            "source": {"kind": self.kind, "path": str(self.path)},
            "options": {"endpoint": self.endpoint, **self.options},
            "storage": None if self.storage is None else str(self.storage),
            "resume": self.resume,
            "retries": self.retries,
        }


class TusJs:
    """A running upload.mjs; end it with ``async with``."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *("node", "upload.mjs", json.dumps([job.to_json() for job in self._jobs])),
            cwd=FOLDER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()

    async def kill(self) -> None:
        """End the process as a crash would."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def tell(self, command: str) -> None:
        """Send a command; see upload.mjs."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()

    async def reports(self) -> list[Report]:
        """Wait for the end of all uploads."""
        assert self._process is not None
        async with asyncio.timeout(_TIMEOUT_S):
            stdout, stderr = await self._process.communicate()
        assert self._process.returncode == 0, stderr.decode()
        return [_report(values) for values in json.loads(stdout)]

    async def report(self) -> Report:
        """Wait for the end of the only upload."""
        (report,) = await self.reports()
        return report


async def run(*jobs: Job) -> list[Report]:
    """Run uploads at once, to their ends."""
    async with TusJs(jobs) as client:
        return await client.reports()


async def upload(endpoint: str, path: Path, **options: Any) -> Report:
    """Upload one file with some options of tus-js-client, and without retries."""
    (report,) = await run(Job(endpoint=endpoint, path=path, options=options))
    return report


def _report(values: dict[str, Any]) -> Report:
    values["exchanges"] = [Exchange(**exchange) for exchange in values["exchanges"]]
    values["retries"] = [Retry(**retry) for retry in values["retries"]]
    return Report(**values)
