"""Ring 4: the program's server: sockets, worker processes, signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from .admin_listener import admin_url, listen_admin, serving_admin
from .config import Settings
from .filesystem.calls import make_folders
from .protocol.errors import TusError
from .startup import look_around
from .telemetry.catalogue import LAYOUT
from .telemetry.cells import Cells
from .telemetry.logs import set_up_logging, write_if_read
from .telemetry.metrics import Metrics
from .web.admission import Admission, most_connections, raise_file_limit
from .web.app import UPLOADS, make_root
from .web.connection import ConnectionSite
from .web.listening import host_and_port, listen_tcp, listen_unix, tls_context
from .web.pages import BUILT, HOW_TO_BUILD
from .web.shares import Shares
from .wiring import Stores, check_stores, create_app
from .wiring.insight import INSIGHT
from .wiring.pages import upload_page_routes
from .wiring.tracing import check_tracing, traced

try:
    import uvloop
except ImportError:  # where it does not run, asyncio's own loop does
    uvloop = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

# What aiohttp holds of each body is twice this at most; large bodies are hardly ever in it.
_STREAM_BYTES = 64 * 1024
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# So many new objects are looked through at once. Python has 700 here, or 2000: a few requests.
_NEW_PER_COLLECTION = 5000
# A full collection looks at every open upload while everybody waits; Python has 10 here.
_YOUNG_PER_FULL_COLLECTION = 100
# A worker that dies at once would otherwise be started again as fast as the machine can.
_RESTART_PAUSE_S = 1.0
# Workers that keep dying this young will not live any longer next time.
_YOUNG_S = 5.0
_MOST_YOUNG_DEATHS = 5
_NO_THREAD = "can't start new thread"
# Beyond the shutdown timeout: for closing stores, and for the supervisor to see it.
_GRACE_S = 5.0


class StartError(Exception):
    """The server cannot start; the message is one sentence that says why."""


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        announce: called with the URLs to upload to and to look at, once connections are accepted.

    Raises:
        StartError: the socket, the directory, the certificate or Redis cannot be used.
    """
    check_tracing(settings)
    with _cannot_start():
        raise_file_limit()
        sock = _listen(settings)
        admin = listen_admin(settings)
        make_folders(Path(settings.upload_dir).absolute(), settings.dir_perms)
        if settings.tls_certificate is not None:
            _tls(settings)
        asyncio.run(check_stores(settings))
        _warn(settings)
    workers = (os.cpu_count() or 1) if settings.workers == "auto" else settings.workers

    def ready() -> None:
        announce(f"Upload to {upload_url(settings, sock)}")
        if admin is not None:
            announce(f"Admin at {admin_url(admin)}")

    try:
        if workers == 1:
            run_worker(settings, sock, ready, admin=admin)
        else:
            _Supervisor(settings, sock, workers, admin).run(ready)
    finally:
        sock.close()
        if admin is not None:
            admin.close()
        if settings.unix_sock is not None:
            Path(settings.unix_sock).unlink(missing_ok=True)


def _warn(settings: Settings) -> None:
    """Log what an operator should know; once, and not by each of the workers."""
    listener = set_up_logging(settings.log_format, verbose=settings.verbose)
    for finding in look_around(settings):
        _log.warning(finding.event, extra={"reason": finding.reason})
    if settings.pages and not BUILT.exists():
        _log.info("NoUploadPage", extra={"reason": HOW_TO_BUILD})
    listener.stop()


def upload_url(settings: Settings, sock: socket.socket) -> str:
    """Return the URL that clients create uploads at."""
    if urlsplit(settings.base_path).netloc:
        return settings.base_path
    scheme = "http" if settings.tls_certificate is None else "https"
    if settings.unix_sock is not None:
        return f"{scheme}+unix:{settings.unix_sock}:{settings.base_path}"
    return f"{scheme}://{host_and_port(sock)}{settings.base_path}"


def run_worker(  # noqa: PLR0913 - all but three by name, and none needed
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[], None],
    *,
    stores: Stores | None = None,
    parent: int | None = None,
    admin: socket.socket | None = None,
    metrics: Metrics | None = None,
    shares: Shares | None = None,
) -> None:
    """Serve the socket in this process until told to stop.

    Args:
        ready: called once connections are served and signals obeyed.
        stores: other stores than those that `settings` name.
        parent: a descriptor that can be read when the supervisor has died.
        admin: the socket of the admin listener.
        metrics: where to count; None: in memory of this process.
        shares: of connections, between workers; None: there are no others.

    Raises:
        StartError: there is no room for the threads.
    """
    try:
        logs = set_up_logging(settings.log_format, verbose=settings.verbose)
        try:
            with traced(settings), asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_serve(settings, sock, ready, stores, parent, admin, metrics, shares))
        finally:
            logs.stop()
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        raise StartError(f"cannot start: {error}") from None


async def _serve(  # noqa: PLR0913, PLR0917 - what a worker is given
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[], None],
    stores: Stores | None,
    parent: int | None,
    admin: socket.socket | None,
    metrics: Metrics | None,
    shares: Shares | None,
) -> None:
    _start_threads(asyncio.get_running_loop())
    app = create_app(settings, stores=stores, own_server=True, metrics=metrics)
    path = urlsplit(settings.base_path).path
    greeting = (
        f"tusd_py: upload to {path} with any tus client\n" if settings.show_greeting else None
    )
    runner = web.AppRunner(
        make_root(app, path, greeting=greeting, routes=_public_routes(settings, app)),
        access_log=None,
        # aiohttp waits this long twice: for requests to end, then for them to be cancelled.
        shutdown_timeout=settings.shutdown_timeout / 2,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if parent is not None:
        loop.add_reader(parent, stop.set)
    await runner.setup()
    admission = Admission(
        settings.max_connections or most_connections(),
        settings.max_connections_per_address,
        shares,
    )
    app[INSIGHT].watch_connections(lambda: admission.open)
    site = _site(settings, runner, sock, admission)
    # Who looks on sees the end of the uploads.
    async with serving_admin(app, admin), _cleaned_up(runner):
        _spare_the_garbage_collector()  # while nobody waits yet
        await site.start()
        _log.info("Listening", extra={"pid": os.getpid()})
        ready()
        await stop.wait()
        if parent is not None:
            loop.remove_reader(parent)
        _let_the_next_signal_end_us(loop)
        _log.info("ShuttingDown", extra={"pid": os.getpid()})
        app[INSIGHT].health.stop()
        # Bodies first, while their connections still take bytes and give answers.
        app[UPLOADS].stop_bodies()


def _site(
    settings: Settings, runner: web.AppRunner, sock: socket.socket, admission: Admission
) -> ConnectionSite:
    return ConnectionSite(
        runner,
        sock,
        ssl_context=None if settings.tls_certificate is None else _tls(settings),
        access_log=None,
        auto_decompress=False,
        read_bufsize=_STREAM_BYTES,
        keepalive_timeout=settings.network_timeout,
        lingering_time=0,
        admission=admission,
        write_timeout_s=settings.network_timeout,
    )


def _let_the_next_signal_end_us(loop: asyncio.AbstractEventLoop) -> None:
    for number in _STOP_SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


def _spare_the_garbage_collector() -> None:
    """Let it look at little, and seldom at all that is in use: there is next to nothing to find."""
    gc.collect()
    gc.freeze()  # modules, classes, the application
    _, young, _ = gc.get_threshold()
    gc.set_threshold(_NEW_PER_COLLECTION, young, _YOUNG_PER_FULL_COLLECTION)


def _public_routes(settings: Settings, app: web.Application) -> list[web.AbstractRouteDef]:
    """Return what the port of uploads serves beside them."""
    own = app[INSIGHT].metrics_routes(settings.metrics_path) if settings.expose_metrics else ()
    return [*own, *upload_page_routes(settings)]


@contextlib.asynccontextmanager
async def _cleaned_up(runner: web.AppRunner) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await runner.cleanup()


class _Worker(NamedTuple):
    started: float  # in monotonic seconds
    row: int  # where it counts


class _Supervisor:
    """Starts workers on one socket, replaces those that die, and ends them all together."""

    def __init__(
        self, settings: Settings, sock: socket.socket, count: int, admin: socket.socket | None
    ) -> None:
        self._settings = settings
        self._sock = sock
        self._admin = admin
        self._cells = Cells(LAYOUT, count)
        self._shares = Shares(count)
        self._count = count
        self._pids: dict[int, _Worker] = {}
        self._young_deaths = 0
        self._stopping = False
        # Nobody writes into it: when this process dies, however it does, the workers see its end.
        self._watched, self._held = os.pipe()

    def run(self, ready: Callable[[], None]) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        for row in range(self._count):
            self._start(row)
        ready()  # what connects before a worker accepts waits in the socket's queue
        while self._pids:
            pid, status = os.wait()
            worker = self._pids.pop(pid)
            self._cells.bury(worker.row)
            self._shares.bury(worker.row)
            if not self._stopping:
                self._replace(pid, os.waitstatus_to_exitcode(status), worker)
        signal.alarm(0)
        if self._young_deaths >= _MOST_YOUNG_DEATHS:
            raise StartError("cannot start: the workers end as soon as they begin")

    def _replace(self, pid: int, code: int, worker: _Worker) -> None:
        age_s = time.monotonic() - worker.started
        write_if_read(f"worker {pid} ended with {code}; starting another\n")
        self._young_deaths = self._young_deaths + 1 if age_s < _YOUNG_S else 0
        if self._young_deaths >= _MOST_YOUNG_DEATHS:
            self._stop(signal.SIGTERM, None)
            return
        time.sleep(_RESTART_PAUSE_S)
        if not self._stopping:
            self._start(worker.row)

    def _start(self, row: int) -> None:
        # Forked before there is a loop or a thread; the socket comes along.
        if (pid := os.fork()) != 0:
            self._pids[pid] = _Worker(time.monotonic(), row)
            return
        code = 1
        os.close(self._held)
        try:
            for number in (*_STOP_SIGNALS, signal.SIGALRM):
                signal.signal(number, signal.SIG_DFL)
            self._cells.become(row)
            self._shares.become(row)
            run_worker(
                self._settings,
                self._sock,
                lambda: None,
                parent=self._watched,
                admin=self._admin,
                metrics=Metrics(self._cells),
                shares=self._shares,
            )
            code = 0
        except StartError as error:
            write_if_read(f"worker {os.getpid()}: {error}\n")
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


def _start_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Start the threads of downloads now: later there may be no room for more."""
    count = min(32, (os.cpu_count() or 1) + 4)
    pool = ThreadPoolExecutor(count, thread_name_prefix="tusd-py")
    loop.set_default_executor(pool)
    everyone = threading.Barrier(count)  # so that none of them is idle when the next is started
    try:
        for _ in range(count):
            pool.submit(everyone.wait)
    except RuntimeError:
        everyone.abort()
        raise


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
    except TusError as error:
        raise StartError(f"cannot start: {error}") from None
