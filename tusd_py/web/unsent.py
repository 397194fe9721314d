"""Whether a client takes what is sent to it, however slowly."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios


def in_kernel(sock: socket.socket) -> int:
    """Return how many bytes the kernel still has for the client.

    Only this tells a slow client from one that reads nothing: a socket that is full becomes
    writable again when a third of it is free, and that may be megabytes.
    """
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:  # it has ended meanwhile
        return 0


def in_all(transport: asyncio.WriteTransport) -> int:
    """Return the same, with what the kernel has not taken yet."""
    sock = transport.get_extra_info("socket")
    kernel = 0 if sock is None or sock.fileno() < 0 else in_kernel(sock)
    return transport.get_write_buffer_size() + kernel


__all__ = ["in_all", "in_kernel"]
