"""File -> socket inside the kernel, on every event loop.

`loop.sendfile` is missing from uvloop, and asyncio's own blocks the loop while the disk is read.
So the work is done in a thread, on a duplicate of the socket that the loop does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar

from aiohttp import web

from .sockets import duplicate, unsent_bytes

T = TypeVar("T")

_STEP_BYTES = 4 * 1024 * 1024
_READ_BYTES = 256 * 1024


async def send_file(
    request: web.Request, file: BinaryIO, start: int, length: int, *, stall_s: float
) -> None:
    """Send `length` bytes from `start` on; the head of the response has been written.

    Raises:
        OSError: the client went away or takes nothing for `stall_s`, or the file is too short.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client went away")
    sock = transport.get_extra_info("socket")
    if sock is None or transport.get_extra_info("sslcontext") is not None or not length:
        await _copy(request, file, start, length)
        return
    await _flushed(transport, stall_s)
    with duplicate(sock) as copy:
        await _send_all(copy, file.fileno(), start, length, stall_s)


async def _send_all(
    sock: socket.socket, file: int, start: int, length: int, stall_s: float
) -> None:
    end = start + length
    while start < end:
        step = min(_STEP_BYTES, end - start)
        try:
            sent = await _in_thread(partial(os.sendfile, sock.fileno(), file, start, step))
        except BlockingIOError:
            await _writable(sock, stall_s)
            continue
        if not sent:
            raise OSError("the file is shorter than its record")
        start += sent


async def _in_thread(work: Callable[[], T]) -> T:
    """Do it in a thread, to its end even if we are cancelled.

    Else our caller closed both ends under the thread, to which the same numbers might mean
    another file and another client by then.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        future.exception()  # nobody else will ask for it
        raise


async def _writable(sock: socket.socket, stall_s: float) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(sock, wake)
    try:
        left = unsent_bytes(sock)
        while not (await asyncio.wait([ready], timeout=stall_s))[0]:
            before, left = left, unsent_bytes(sock)
            if left >= before:
                raise TimeoutError
    finally:
        loop.remove_writer(sock)


async def _flushed(transport: asyncio.WriteTransport, stall_s: float) -> None:
    """Wait until the head of the response is on its way: nothing may overtake it."""
    deadline = asyncio.get_running_loop().time() + stall_s
    while transport.get_write_buffer_size():
        if transport.is_closing() or asyncio.get_running_loop().time() > deadline:
            raise ConnectionResetError("the client went away")
        await asyncio.sleep(0.001)


async def _copy(request: web.Request, file: BinaryIO, start: int, length: int) -> None:
    """Read and write instead: TLS has to see the bytes."""
    end = start + length
    while start < end:
        step = min(_READ_BYTES, end - start)
        chunk = await _in_thread(partial(os.pread, file.fileno(), step, start))
        if not chunk:
            raise OSError("the file is shorter than its record")
        await request.writer.write(chunk)
        start += len(chunk)
