"""How many connections may be open at once, and how the others are turned away.

A connection costs a descriptor, and each of its requests may need three more. Without a limit the
descriptors run out, and then it is the running uploads that fail.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
from typing import Any

from ..protocol.errors import TooManyConnections
from .shares import Shares

_log = logging.getLogger(__name__)

# A connection that works on an upload has two files open beside its socket, and that twice.
_FILES_EACH = 4
# What a server opens that has no connection: the log, the event loop, bells, links to Redis,
# the pipes of its threads, and connections that are turned away.
_FILES_OF_OURS = 56
# Idle connections take some 20 KiB each; nobody should need to know that of a server at rest.
_MOST_BY_DEFAULT = 20_000

# One that is turned away may write a little before it reads: closed at once, it would see a
# reset. Only so many are waited for, and never long.
_MOST_LINGERING = 16
_LINGER_S = 1.0
_LINGER_BYTES = 64 * 1024

_LOG_EVERY_S = 60.0


def raise_file_limit() -> None:
    """Let this process, and those it starts, have as many open files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """Return how many connections leave every one of them the files that it may need."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MOST_BY_DEFAULT
    return max(1, min((files - _FILES_OF_OURS) // _FILES_EACH, _MOST_BY_DEFAULT))


class Admission:
    """Counts the open connections of a process.

    Args:
        most: in all.
        most_per_address: from one IPv4 address or one IPv6 network of a site (/64); 0: no limit.
        shares: where workers tell each other how many they have; None: there is only one.
    """

    def __init__(self, most: int, most_per_address: int = 0, shares: Shares | None = None) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._shares = shares
        self._open = 0
        self._by_address: dict[str, int] = {}
        self._lingering = 0
        self._refused = 0
        self._silent_until = 0.0
        self._count(0)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return self._open

    def is_ahead(self, beginning: int) -> bool:
        """Whether another worker should have the next connection, for it has clearly fewer.

        Args:
            beginning: how many have been accepted and not entered yet.
        """
        return self._shares is not None and self._shares.is_ahead(self._open + beginning)

    def enter(self, peername: Any) -> bool:
        """Count a new connection and return True, or return False: there are enough."""
        address = self._address_of(peername)
        if self._open >= self._most:
            return False
        if address and self._by_address.get(address, 0) >= self._most_per_address:
            return False
        self._count(+1)
        if address:
            self._by_address[address] = self._by_address.get(address, 0) + 1
        return True

    def leave(self, peername: Any) -> None:
        """Count a connection no longer that was let in."""
        self._count(-1)
        if address := self._address_of(peername):
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def refuse(self, transport: asyncio.Transport) -> None:
        """Answer the first request of a connection that was not let in, and close it."""
        self._note_refusal()
        if self._lingering >= _MOST_LINGERING:
            transport.abort()
            return
        self._lingering += 1
        transport.set_protocol(_Refusal(transport, self))

    def refusal_ended(self) -> None:
        """Wait for one connection less that was turned away."""
        self._lingering -= 1

    def _count(self, more: int) -> None:
        self._open += more
        if self._shares is not None:
            self._shares.note(self._open)

    def _address_of(self, peername: Any) -> str:
        """Return what connections are counted by, or nothing if they are not."""
        if not self._most_per_address or not isinstance(peername, tuple):
            return ""  # a UNIX socket's clients have no address
        host = str(peername[0])
        if ":" not in host:
            return host
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))

    def _note_refusal(self) -> None:
        """Log refusals together: whoever causes them must not fill the log, too."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            extra = {"refused": self._refused, "open": self._open}
            _log.warning("TooManyConnections", extra=extra)
            self._refused = 0
            self._silent_until = now + _LOG_EVERY_S


class _Refusal(asyncio.Protocol):
    """Says that the server is busy, and waits a moment for the client to have read it."""

    def __init__(self, transport: asyncio.Transport, admission: Admission) -> None:
        self._transport = transport
        self._admission = admission
        self._received = 0
        self._deadline = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self._answer(data)
        self._received += len(data)
        if self._received > _LINGER_BYTES:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        self._admission.refusal_ended()

    def _answer(self, data: bytes) -> None:
        # tus-js-client starts over from byte 0 after a 5xx on HEAD, but waits after a 423.
        if data.startswith(b"HEAD "):
            status, text = "423 Locked", ""
        else:
            status, text = "503 Service Unavailable", TooManyConnections().text
        lines = [
            f"HTTP/1.1 {status}",
            *(f"{name}: {value}" for name, value in TooManyConnections().headers.items()),
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(text)}",
            "Connection: close",
        ]
        self._transport.write("\r\n".join([*lines, "", text]).encode())
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS
            self._transport.close()


__all__ = ["Admission", "most_connections", "raise_file_limit"]
