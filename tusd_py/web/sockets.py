"""The socket behind a transport: what lies in it, in either direction, and a duplicate of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import termios


def duplicate(sock: socket.socket) -> socket.socket:
    """Return another descriptor of it, which never blocks, and which the event loop does not know.

    The transport goes on owning the original; closing the duplicate does not close the connection.

    Raises:
        OSError: there is no descriptor left, or it has been closed.
    """
    copy = socket.socket(fileno=os.dup(sock.fileno()))
    copy.setblocking(False)
    return copy


def unread_bytes(sock: socket.socket) -> int:
    """Return how many bytes have come that nobody has read."""
    return _queued(sock, termios.FIONREAD)


def unsent_bytes(sock: socket.socket) -> int:
    """Return how many bytes the kernel still has for the client.

    Only this tells a slow client from one that reads nothing: a socket that is full becomes
    writable again when a third of it is free, and that may be megabytes.
    """
    return _queued(sock, termios.TIOCOUTQ)


def unsent_in_all(transport: asyncio.WriteTransport) -> int:
    """Return the same, with what the kernel has not taken yet."""
    sock = transport.get_extra_info("socket")
    return transport.get_write_buffer_size() + (0 if sock is None else unsent_bytes(sock))


def _queued(sock: socket.socket, which: int) -> int:
    if sock.fileno() < 0:
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, which, b"\0" * 4))[0])
    except OSError:  # it has ended meanwhile
        return 0


__all__ = ["duplicate", "unread_bytes", "unsent_bytes", "unsent_in_all"]
