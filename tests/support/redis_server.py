"""A real redis-server of one's own, that can be killed, stopped, restarted and asked anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import redis

_READY = "eady to accept connections"  # on a port or at a socket
_SENTINEL_READY = "Sentinel ID"
_END_S = 10.0


def free_port() -> int:
    """Return a port that nobody uses just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def free_bus_port() -> int:
    """Return a port for a node of a cluster: the one 10000 above it has to be free, too."""
    while True:
        port = free_port()
        with socket.socket() as sock, contextlib.suppress(OSError, OverflowError):
            sock.bind(("127.0.0.1", port - 10_000))
            return port - 10_000


class RedisServer:
    """One process; its data stay where they are between `kill` and `start`.

    Args:
        options: as on the command line of redis-server.
        port: on loopback; None for a UNIX socket only.
        config: lines of a configuration file instead of options, as Sentinel wants it.
    """

    def __init__(
        self, *options: str, port: int | None = None, config: list[str] | None = None
    ) -> None:
        self.port = port
        self.directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self._options = options
        self._config = config
        self._socket = self.directory / "s"
        self._process: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._socket}" if self.port is None else f"redis://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        """Start it and wait until it accepts connections."""
        command, ready = ["redis-server"], _READY
        if self._config is not None:
            ready = _SENTINEL_READY
            file = self.directory / "conf"
            file.write_text("\n".join(self._config) + "\n")
            command += [str(file), "--sentinel"]
        else:
            command += ["--port", str(self.port or 0), "--bind", "127.0.0.1"]
            command += ["--unixsocket", str(self._socket), "--dir", str(self.directory)]
            command += ["--enable-debug-command", "yes", *self._options, *more]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines = self._process.stdout
        assert lines is not None
        said = []
        for line in lines:
            said.append(line)
            if ready in line:
                break
        else:
            lines.close()
            self._process.wait(_END_S)
            raise AssertionError("redis-server did not start: " + "".join(said))
        self._drain = threading.Thread(target=_drain, args=[lines], daemon=True)
        self._drain.start()

    def ask(self, *words: str | int) -> Any:
        """Send a command."""
        with contextlib.closing(self._client()) as client:
            answer: Any = client.execute_command(*words)  # type: ignore[no-untyped-call]
            return answer

    def pause(self) -> None:
        """Let it hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash does."""
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it in order, or by another signal."""
        self._signal(number)
        self.wait()

    def wait(self) -> None:
        """Wait for its end."""
        assert self._process is not None
        self._process.wait(_END_S)
        assert self._drain is not None
        self._drain.join(_END_S)

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _client(self) -> redis.Redis:
        if self.port is None:
            return redis.Redis(unix_socket_path=str(self._socket), decode_responses=True)
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True)


def _drain(lines: IO[str]) -> None:
    with lines:
        lines.read()


@contextlib.contextmanager
def running_redis(*options: str, port: int | None = None) -> Iterator[RedisServer]:
    """Run a server for the length of the context."""
    server = RedisServer("--save", "", *options, port=port)
    try:
        server.start()
        yield server
    finally:
        server.close()
