"""Hooks that are executables in a directory, as tusd runs them: ``<directory>/<hook>``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..interfaces import HookEvent, HookReply, HookType
from ..protocol.errors import HookUnavailable
from .payload import HookError, format_payload, parse_reply

_log = logging.getLogger(__name__)

RECEIVER = "command"

# Where our own settings are, secrets among them, is no command's business.
_OUR_ENVIRONMENT = "TUSD_PY_"
_LOGGED_BYTES = 2048
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
                run = _Run(self._options.reply_bytes)
                transport = await self._start_whole(run, event)
                return b"" if transport is None else await _finish(transport, run, event)
        except TimeoutError as error:
            raise HookUnavailable from error

    async def _start_whole(self, run: _Run, event: HookEvent) -> asyncio.SubprocessTransport | None:
        """Start the command; if we are cancelled meanwhile, end it, which asyncio does by half."""
        starting = asyncio.create_task(self._start(run, event))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None and (transport := starting.result()) is not None:
                await _kill(transport, run)
            raise

    async def _start(self, run: _Run, event: HookEvent) -> asyncio.SubprocessTransport | None:
        try:
            transport, _ = await asyncio.get_running_loop().subprocess_exec(
                lambda: run,
                self._path(event.type),
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
        return transport


class _Run(asyncio.SubprocessProtocol):
    """What a running command writes, and when it ends.

    The streams of asyncio would wait for the end of the output, too, which a command may have
    left to a child in the background.
    """

    def __init__(self, reply_bytes: int) -> None:
        self._reply_bytes = reply_bytes
        self._written = {1: bytearray(), 2: bytearray()}
        self._open = {1, 2}
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self.over = asyncio.Event()  # exited, or to be ended

    @property
    def output(self) -> bytes:
        return bytes(self._written[1])

    @property
    def complaint(self) -> str:
        return self._written[2].decode(errors="replace")

    @property
    def too_long(self) -> bool:
        return len(self._written[1]) > self._reply_bytes

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        limit = _LOGGED_BYTES if fd == 2 else self._reply_bytes + 1
        written = self._written[fd]
        written += data[: max(limit - len(written), 0)]
        if self.too_long:
            self.over.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.over.set()


async def _finish(transport: asyncio.SubprocessTransport, run: _Run, event: HookEvent) -> bytes:
    """Feed the command and wait for its end; if anything goes wrong, all of it is killed."""
    try:
        stdin: Any = transport.get_pipe_transport(0)
        # A command need not read what it is given, and may have ended already.
        if not stdin.is_closing():
            stdin.write(format_payload(event).encode())
        if not stdin.is_closing():
            stdin.close()  # once it is written
        await _wait(run)
    except BaseException:
        await _kill(transport, run)
        raise
    transport.close()
    if run.complaint:
        _log.info("HookOutput", extra={"hook": event.type.value, "text": run.complaint})
    if code := transport.get_returncode():
        raise HookError(f"the command ended with {code}")
    return run.output


async def _wait(run: _Run) -> None:
    """Wait for the end of the command, and of what it writes.

    Raises:
        HookError: it wrote too much.
    """
    await run.over.wait()
    if not run.too_long:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEFT_OVER_S):
                await run.closed.wait()
    if run.too_long:
        raise HookError("the reply is too long")


async def _kill(transport: asyncio.SubprocessTransport, run: _Run) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(transport.get_pid(), signal.SIGKILL)
    await run.exited.wait()
    transport.close()


def _environment(event: HookEvent) -> Mapping[str, str]:
    """Return tusd's three variables, by fixed names, beside what the server itself was given."""
    upload = event.upload
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_OUR_ENVIRONMENT)}
    return inherited | {
        "TUS_ID": "" if event.type is HookType.PRE_CREATE else upload.id,
        "TUS_SIZE": str(upload.length or 0),
        "TUS_OFFSET": str(upload.offset),
    }
