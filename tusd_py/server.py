"""Ring 4: the program's server: sockets, worker processes, signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from .config import Settings
from .telemetry.logs import set_up_logging
from .web.app import UPLOADS, make_root
from .web.connection import ConnectionSite
from .web.listening import listen_tcp, listen_unix, tls_context
from .wiring import create_app

try:
    import uvloop
except ImportError:  # where it does not run, asyncio's own loop does
    uvloop = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A worker that dies at once would otherwise be started again as fast as the machine can.
_RESTART_PAUSE_S = 1.0
# Beyond the shutdown timeout: for closing stores, and for the supervisor to see it.
_GRACE_S = 5.0


class StartError(Exception):
    """The server cannot start; the message is one sentence that says why."""


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        announce: called with the URL to upload to, once connections are accepted.

    Raises:
        StartError: the socket, the directory or the certificate cannot be used.
    """
    with _cannot_start():
        sock = _listen(settings)
        Path(settings.upload_dir).mkdir(mode=settings.dir_perms, parents=True, exist_ok=True)
        if settings.tls_certificate is not None:
            _tls(settings)
    workers = (os.cpu_count() or 1) if settings.workers == "auto" else settings.workers
    announce(upload_url(settings, sock))
    try:
        if workers == 1:
            run_worker(settings, sock)
        else:
            _Supervisor(settings, sock, workers).run()
    finally:
        sock.close()
        if settings.unix_sock is not None:
            Path(settings.unix_sock).unlink(missing_ok=True)


def upload_url(settings: Settings, sock: socket.socket) -> str:
    """Return the URL that clients create uploads at."""
    if urlsplit(settings.base_path).netloc:
        return settings.base_path
    scheme = "http" if settings.tls_certificate is None else "https"
    if settings.unix_sock is not None:
        return f"{scheme}+unix:{settings.unix_sock}:{settings.base_path}"
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{port}{settings.base_path}"


def run_worker(settings: Settings, sock: socket.socket) -> None:
    """Serve the socket in this process until told to stop."""
    listener = set_up_logging(settings.log_format, verbose=settings.verbose)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, sock))
    finally:
        listener.stop()


async def _serve(settings: Settings, sock: socket.socket) -> None:
    app = create_app(settings, own_server=True)
    path = urlsplit(settings.base_path).path
    greeting = (
        f"tusd_py: upload to {path} with any tus client\n" if settings.show_greeting else None
    )
    runner = web.AppRunner(
        make_root(app, path, greeting=greeting),
        access_log=None,
        shutdown_timeout=settings.shutdown_timeout,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    await runner.setup()
    site = ConnectionSite(
        runner,
        sock,
        ssl_context=None if settings.tls_certificate is None else _tls(settings),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=settings.network_timeout,
        lingering_time=0,
    )
    try:
        await site.start()
        _log.info("Listening", extra={"pid": os.getpid()})
        await stop.wait()
        for number in _STOP_SIGNALS:  # a second one ends us at once
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        _log.info("ShuttingDown", extra={"pid": os.getpid()})
        # Bodies first, while their connections still take bytes and give answers.
        app[UPLOADS].stop_bodies()
    finally:
        await runner.cleanup()


class _Supervisor:
    """Starts workers on one socket, replaces those that die, and ends them all together."""

    def __init__(self, settings: Settings, sock: socket.socket, count: int) -> None:
        self._settings = settings
        self._sock = sock
        self._count = count
        self._pids: set[int] = set()
        self._stopping = False

    def run(self) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        for _ in range(self._count):
            self._start()
        while self._pids:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            self._pids.discard(pid)
            if not self._stopping:
                code = os.waitstatus_to_exitcode(status)
                sys.stderr.write(f"worker {pid} ended with {code}; starting another\n")
                time.sleep(_RESTART_PAUSE_S)
                if not self._stopping:
                    self._start()
        signal.alarm(0)

    def _start(self) -> None:
        # Forked before there is a loop or a thread; the socket comes along.
        if (pid := os.fork()) != 0:
            self._pids.add(pid)
            return
        code = 1
        try:
            for number in (*_STOP_SIGNALS, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            run_worker(self._settings, self._sock)
            code = 0
        finally:
            os._exit(code)

    def _stop(self, number: int, _: object) -> None:
        if self._stopping:
            self._kill()
            return
        self._stopping = True
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: self._kill())
        signal.alarm(int(self._settings.shutdown_timeout + _GRACE_S))

    def _kill(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)


def _listen(settings: Settings) -> socket.socket:
    if settings.unix_sock is not None:
        return listen_unix(Path(settings.unix_sock))
    return listen_tcp(settings.host, settings.port)


def _tls(settings: Settings) -> ssl.SSLContext:
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    return tls_context(settings.tls_certificate, settings.tls_key, settings.tls_mode)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it runs."""
    return None if uvloop is None else uvloop.new_event_loop


@contextlib.contextmanager
def _cannot_start() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StartError(f"cannot start: {error.strerror or error}{place}") from None
