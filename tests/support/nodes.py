"""Several servers on one directory and one Redis, each of which can fail and come back."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from .redis_server import free_port
from .server import Server, start_server


class Node:
    """A server that comes back on its port.

    Args:
        upload_dir: that all of them share.
        options: of ``tusd-py serve``.
    """

    def __init__(self, upload_dir: Path, *options: str) -> None:
        self.port = free_port()
        self._upload_dir = upload_dir
        self._options = (*options, "--port", str(self.port))
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Its own creation URL."""
        return self.server.url

    @property
    def server(self) -> Server:
        """The process that runs, or ran last."""
        assert self._server is not None
        return self._server

    @property
    def runs(self) -> bool:
        """Whether its process lives."""
        return self.server.process.poll() is None

    def start(self) -> None:
        """Start it, or start it again."""
        self._server = start_server(self._upload_dir, *self._options)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, and wait for that."""
        self.server.stop(number)
        assert self.server.process.stdout is not None
        self.server.process.stdout.close()

    def pause(self) -> None:
        """Let it hang, as a virtual machine does that is moved."""
        os.kill(self.server.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, and find out what it has missed."""
        os.kill(self.server.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def running_nodes(
    upload_dir: Path, redis_url: str, *options: str, count: int
) -> Iterator[list[Node]]:
    """Run nodes for the length of the context, and end them whatever happens."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(count):
            node = Node(upload_dir, "--redis-url", redis_url, "--behind-proxy", *options)
            node.start()
            stack.callback(_end, node)
            nodes.append(node)
        yield nodes


def _end(node: Node) -> None:
    if node.runs:
        node.end(signal.SIGKILL)
