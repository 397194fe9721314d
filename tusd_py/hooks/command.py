"""Hooks that are executables in a directory, as tusd runs them: ``<directory>/<hook>``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..interfaces import HookEvent, HookReply, HookType
from ..protocol.errors import HookUnavailable
from .payload import HookError, format_payload, parse_reply

_log = logging.getLogger(__name__)

RECEIVER = "command"

# Where our own settings are, secrets among them, is no command's business.
_OUR_ENVIRONMENT = "TUSD_PY_"
_LOGGED_BYTES = 2048
_READ_BYTES = 16 * 1024
# A command may leave a child behind that keeps its output open.
_LEFT_OVER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOptions:
    """How commands are run.

    Attributes:
        directory: where they are, and what they run in.
        timeout_s: for one, its waiting for room included; then its process group is killed.
        at_once: how many run at the same time.
        reply_bytes: the longest reply.
    """

    directory: Path
    timeout_s: float = 60.0
    at_once: int = 16
    reply_bytes: int = 5120


class CommandHooks:
    """Implements `Hooks` by running commands, without a shell."""

    def __init__(self, options: CommandOptions) -> None:
        self._options = options
        self._directory = options.directory.absolute()
        self._room = asyncio.Semaphore(options.at_once)

    async def open(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Commands end with the requests and deliveries that wait for them."""

    def listens_to(self, event: HookType) -> bool:
        # Looked up each time: commands may be added while the server runs, as with tusd.
        return self._path(event).exists()

    def receivers(self, event: HookType) -> Sequence[str]:
        return [RECEIVER] if self.listens_to(event) else []

    async def call(self, event: HookEvent) -> HookReply | None:
        output = await self._run(event)
        return parse_reply(event.type, output) if output.strip() else None

    async def tell(self, event: HookEvent, receiver: str) -> None:
        await self._run(event)

    def _path(self, event: HookType) -> Path:
        return self._directory / event.value

    async def _run(self, event: HookEvent) -> bytes:
        """Run the command of an event, if there is one, and return what it wrote.

        Raises:
            HookUnavailable: it did not end in time.
            HookError: it cannot be run, failed, or wrote too much.
        """
        try:
            async with asyncio.timeout(self._options.timeout_s), self._room:
                process = await self._start(event)
                return b"" if process is None else await self._finish(process, event)
        except TimeoutError as error:
            raise HookUnavailable from error

    async def _start(self, event: HookEvent) -> Process | None:
        try:
            return await asyncio.create_subprocess_exec(
                self._path(event.type),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=self._directory,
                env=_environment(event),
                start_new_session=True,  # a process group of its own, which can be killed whole
            )
        except FileNotFoundError:
            if not self._path(event.type).exists():
                return None
            raise HookError("the interpreter of the command is missing") from None
        except OSError as error:
            raise HookError(f"the command cannot be run: {error.strerror}") from None

    async def _finish(self, process: Process, event: HookEvent) -> bytes:
        """Feed the command and wait for its end; whatever else happens, it is killed."""
        try:
            output, complaint = await self._communicate(process, format_payload(event).encode())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
            raise
        if complaint:
            text = complaint.decode(errors="replace")
            _log.info("HookOutput", extra={"hook": event.type.value, "text": text})
        if process.returncode:
            raise HookError(f"the command ended with {process.returncode}")
        return output

    async def _communicate(self, process: Process, content: bytes) -> tuple[bytes, bytes]:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        output, complaint = bytearray(), bytearray()
        feeding = asyncio.create_task(_feed(process.stdin, content))
        reading = asyncio.create_task(_read(process.stdout, output, self._options.reply_bytes))
        skimming = asyncio.create_task(_skim(process.stderr, complaint))
        ending = asyncio.create_task(process.wait())
        tasks = [feeding, reading, skimming, ending]
        try:
            await asyncio.wait([reading, ending], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()  # too much of it ends the command
            await ending
            await asyncio.wait([reading, skimming], timeout=_LEFT_OVER_S)
            if reading.done():
                reading.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return bytes(output), bytes(complaint)


async def _feed(stdin: asyncio.StreamWriter, content: bytes) -> None:
    # A command need not read what it is given.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(content)
        await stdin.drain()
    stdin.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stdin.wait_closed()


async def _read(stream: asyncio.StreamReader, into: bytearray, limit: int) -> None:
    while chunk := await stream.read(_READ_BYTES):
        into += chunk
        if len(into) > limit:
            raise HookError("the reply is too long")


async def _skim(stream: asyncio.StreamReader, into: bytearray) -> None:
    """Read all there is, so that nobody has to wait, and keep the beginning of it."""
    while chunk := await stream.read(_READ_BYTES):
        into += chunk[: max(_LOGGED_BYTES - len(into), 0)]


def _environment(event: HookEvent) -> Mapping[str, str]:
    """Return tusd's three variables, by fixed names, beside what the server itself was given."""
    upload = event.upload
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OUR_ENVIRONMENT)}
    return inherited | {
        "TUS_ID": "" if event.type is HookType.PRE_CREATE else upload.id,
        "TUS_SIZE": str(upload.length or 0),
        "TUS_OFFSET": str(upload.offset),
    }
