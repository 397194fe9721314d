"""Sockets to listen on, and TLS for them."""

from __future__ import annotations

import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Literal

_BACKLOG = 1024

# Mozilla's intermediate configuration, forward secrecy and AEAD only.
_SAFE_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
_STRONG_CIPHERS = "ECDHE+AES256+AESGCM"


def listen_tcp(host: str, port: int) -> socket.socket:
    """Bind and listen; an empty host means every address of IPv4 and IPv6.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(True)  # by the workers
    return sock


def host_and_port(sock: socket.socket) -> str:
    """Return where a socket listens, as in a URL."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound  # nosec B104
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_unix(path: Path) -> socket.socket:
    """Bind and listen on a UNIX socket; one that a dead server left is replaced.

    Raises:
        OSError: something else is at that path, or a server that still answers.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists():
            _remove_dead_socket(path)
        sock.bind(os.fspath(path))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.set_inheritable(True)
    return sock


def _remove_dead_socket(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(17, "there is something else", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise FileExistsError(98, "another server listens there", str(path))


def tls_context(
    certificate: Path, key: Path, mode: Literal["tls13", "tls12", "tls12-strong"]
) -> ssl.SSLContext:
    """Return the server side of TLS.

    Raises:
        OSError: a file cannot be read, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if mode == "tls13" else ssl.TLSVersion.TLSv1_2
    if mode == "tls12-strong":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_STRONG_CIPHERS if mode == "tls12-strong" else _SAFE_CIPHERS)
    context.load_cert_chain(certificate, key)
    return context
