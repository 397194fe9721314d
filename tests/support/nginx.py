"""A real nginx of one's own, with the configuration that the documentation shows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .redis_server import free_port

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "nginx.conf"

_START_S = 10.0
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, kw_only=True)
class Tls:
    """A certificate, and the key to it."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Nginx:
    """A running nginx.

    Attributes:
        port: on loopback.
        log: what it has to say about itself.
    """

    port: int
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running_nginx(folder: Path, nodes: Sequence[int], *, tls: Tls | None = None) -> Iterator[Nginx]:
    """Run nginx before the nodes for the length of the context.

    Args:
        folder: made for all files that it writes.
        nodes: their ports.
        tls: with it, the port speaks TLS and HTTP/2 instead.
    """
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "nginx is missing: run `make tools`"
    folder.mkdir()
    port, log, conf = free_port(), folder / "log", folder / "nginx.conf"
    conf.write_text(_configuration(folder, port, nodes, tls))
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [program, "-e", "stderr", "-p", str(folder), "-c", str(conf), "-g", "daemon off;"],
            stderr=stderr,
        )
    try:
        _wait_until_it_listens(port, process, log)
        yield Nginx(port=port, process=process, log=log)
    finally:
        process.terminate()
        process.wait()


def _configuration(folder: Path, port: int, nodes: Sequence[int], tls: Tls | None) -> str:
    """Return the example with the addresses, and the paths, of a test."""
    text = EXAMPLE.read_text()
    server = re.search(r"^ *server node1:8080(.*)\n *server node2:8080\1\n", text, re.MULTILINE)
    assert server is not None
    lines = "".join(f"        server 127.0.0.1:{node}{server[1]}\n" for node in nodes)
    paths = "".join(f"    {name}_temp_path {folder / name};\n" for name in _TEMPORARY)
    changes = {
        server[0]: lines,
        "listen 80;": f"listen 127.0.0.1:{port};",
        "pid /run/nginx.pid;": f"pid {folder / 'pid'};" + _same_user(),
        "worker_processes auto;": "worker_processes 2;",
        "\nhttp {\n": f"\nhttp {{\n{paths}",
    }
    if tls is not None:
        changes |= {
            "listen 80;": "",
            "# listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
            "# ssl_certificate ": "ssl_certificate ",
            "# ssl_certificate_key ": "ssl_certificate_key ",
            "/etc/nginx/tls/fullchain.pem": str(tls.certificate),
            "/etc/nginx/tls/privkey.pem": str(tls.key),
        }
    for old, new in changes.items():
        assert text.count(old) == 1, f"{EXAMPLE.name} has not one {old!r}"
        text = text.replace(old, new)
    return text


def _same_user() -> str:
    """Let the workers of a root's nginx remain root, whose temporary directories are closed."""
    return " user root;" if os.geteuid() == 0 else ""


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, f"nginx did not start: {log.read_text()}"
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.01)
        else:
            return
