"""Accepts connections from a socket that several workers share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from .admission import Admission

_log = logging.getLogger(__name__)

# For so many turns of the event loop, some tenths of a millisecond in which an idle worker would
# wake up, a connection is left to those that have fewer. They may be busy, or about to end.
_POLITE_TURNS = 16
# When there are no descriptors or no memory, those who want to connect wait in the kernel.
_PAUSE_S = 1.0


class Listener:
    """Accepts one connection in each turn of the event loop, unless it is another worker's turn.

    The servers of asyncio and uvloop accept all that wait. Of connections that come together the
    first worker that wakes up would get most, and keep them as long as their clients do: a proxy
    that holds a few of them open could leave the other cores without work.

    Args:
        sock: listening; closed with this.
        make_connection: called for each.
        admission: counts those of this worker, and knows of others.
    """

    def __init__(
        self,
        sock: socket.socket,
        make_connection: Callable[[], asyncio.Protocol],
        *,
        ssl_context: ssl.SSLContext | None,
        admission: Admission | None,
    ) -> None:
        self._sock = sock
        self._make_connection = make_connection
        self._ssl_context = ssl_context
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._beginning: dict[asyncio.Task[None], socket.socket] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._turns_left_out = 0
        sock.setblocking(False)
        self._go_on()

    def close(self) -> None:
        """Accept no more, and give up handshakes that are not done."""
        # To cancel what begins a connection could close it behind the back of its protocol, that
        # has a request already.
        if self._ssl_context is not None:
            for accepted in self._beginning.values():
                with contextlib.suppress(OSError):
                    accepted.shutdown(socket.SHUT_RDWR)
        if self._pause is not None:
            self._pause.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    async def wait_closed(self) -> None:
        """Wait until all that were accepted are in the hands of their protocols."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _take_turn(self) -> None:
        """Accept a connection that waits, or leave it alone until the next turn."""
        admission = self._admission
        ahead = admission is not None and admission.is_ahead(len(self._beginning))
        if ahead and self._turns_left_out < _POLITE_TURNS:
            self._turns_left_out += 1
        else:
            self._turns_left_out = 0
            self._accept()

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._take_turn)

    def _accept(self) -> None:
        try:
            accepted, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # somebody else has it, or it has gone
        except OSError:
            _log.exception("AcceptError")
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(_PAUSE_S, self._go_on)
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._begin(accepted))
        self._beginning[task] = accepted
        task.add_done_callback(self._beginning.pop)

    async def _begin(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a handshake that failed; the loop has closed it
            await self._loop.connect_accepted_socket(
                self._make_connection, accepted, ssl=self._ssl_context
            )


__all__ = ["Listener"]
