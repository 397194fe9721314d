"""Thousands of clients, and a server that is killed again and again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.nodes import Node
from tests.support.patient_client import BrokenPromise, PatientClient
from tests.support.raw_http import request
from tests.support.target import V

from .figures import Life, Result

_LOOK_S = 1.0
# At once; more than as many as use a pool of connections at the same moment later.
_WARM = 64
_REST_LOOKS = 20
# Uploads that run at the end get this long to become complete.
_END_S = 300.0
# Then they need not be slow any more.
_LAST_PAUSE_S = 0.1
_SMALLEST, _LARGEST = 1_000, 2_000_000
_PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a soak is done.

    Attributes:
        seconds: until no new upload begins.
        uploads: at once, all slow.
        connections: at once that do nothing.
        kill_every_s: seconds between two kills; 0: never.
        pause_s: of each client, between two pieces of 16 KiB.
        options: of the server.
    """

    seconds: float
    uploads: int
    connections: int
    kill_every_s: float = 60.0
    pause_s: float = 1.0
    seed: int = 1
    options: tuple[str, ...] = ()


class Soak:
    """One run on one directory."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._directory = directory
        self._chance = random.Random(plan.seed)  # noqa: S311 - repeatable, not secret
        room = plan.connections + 2 * plan.uploads + 100
        self._node = Node(directory, "--max-connections", str(room), *plan.options)
        self._began = 0.0
        self._over = False
        self._life = Life(began_s=0.0)
        self._lives: list[Life] = []
        self._idle = 0
        self._clients: set[PatientClient] = set()
        self._lost_creations = 0
        self._broken: list[str] = []

    async def run(self) -> Result:
        """Do it."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._node.start()
        try:
            await self._warm_up()
            fresh = self._look_at_rest()
            self._began = time.monotonic()
            await self._load()
            seconds = time.monotonic() - self._began
            at_rest = await self._look_when_all_have_gone(fresh)
            self._node.end(signal.SIGTERM)
        finally:
            if self._node.runs:
                self._node.end(signal.SIGKILL)
        unknown, half_made, odd = self._left_over()
        return Result(
            seconds=seconds,
            lives=self._lives,
            fresh=fresh,
            at_rest=at_rest,
            unknown_uploads=unknown,
            lost_creations=self._lost_creations,
            half_made=half_made,
            odd_files=odd,
            redis_keys=None,
            broken=self._broken,
        )

    async def _warm_up(self) -> None:
        """Have the server open what it keeps open, such as connections to Redis."""
        port = self._node.port
        clients = [PatientClient(port=lambda: port, seed=n, size=1000) for n in range(_WARM)]
        await asyncio.gather(*(client.run() for client in clients))
        await asyncio.gather(*(client.delete() for client in clients))

    async def _load(self) -> None:
        self._begin_life()
        uploads = self._start(self._upload_always() for _ in range(self._plan.uploads))
        idle = self._start(self._idle_always(n) for n in range(self._plan.connections))
        looking = asyncio.create_task(self._look_always())
        try:
            await self._kill_always()
            self._over = True
            for client in self._clients:
                client.pause_s = min(client.pause_s, _LAST_PAUSE_S)
            if uploads:
                _, late = await asyncio.wait(uploads, timeout=_END_S)
                self._broken += [f"{len(late)} uploads do not become complete"] if late else []
        finally:
            for task in (looking, *idle, *uploads):
                task.cancel()
            ended = await asyncio.gather(looking, *idle, *uploads, return_exceptions=True)
        self._broken += [repr(error) for error in ended if isinstance(error, Exception)]

    @staticmethod
    def _start(work: Any) -> list[asyncio.Task[None]]:
        coroutines: list[Coroutine[Any, Any, None]] = list(work)
        return [asyncio.create_task(coroutine) for coroutine in coroutines]

    async def _kill_always(self) -> None:
        end = self._began + self._plan.seconds
        while (left_s := end - time.monotonic()) > 0:
            if not self._plan.kill_every_s or left_s < 1.5 * self._plan.kill_every_s:
                await asyncio.sleep(left_s)
                return
            await asyncio.sleep(self._plan.kill_every_s * self._chance.uniform(0.9, 1.1))
            await asyncio.to_thread(self._node.end, signal.SIGKILL)
            await asyncio.to_thread(self._node.start)
            self._begin_life()

    def _begin_life(self) -> None:
        if self._lives:
            self._say_how_it_went()
        self._life = Life(began_s=time.monotonic() - self._began)
        self._lives.append(self._life)

    def _say_how_it_went(self) -> None:
        minutes = (time.monotonic() - self._began) / 60
        sys.stderr.write(
            f"{minutes:.1f} of {self._plan.seconds / 60:.0f} minutes, {len(self._lives)} servers: "
            f"{sum(life.completed for life in self._lives)} uploads complete, "
            f"{self._life.memory_bytes / 2**20:.0f} MiB, {len(self._broken)} promises broken\n"
        )

    async def _look_always(self) -> None:
        while True:
            with contextlib.suppress(psutil.Error):  # it is being killed
                self._life.look(psutil.Process(self._node.server.process.pid))
            self._life.idle = max(self._life.idle, self._idle)
            self._life.running = max(self._life.running, len(self._clients))
            await asyncio.sleep(_LOOK_S)

    def _look_at_rest(self) -> Life:
        life = Life(began_s=time.monotonic() - self._began if self._began else 0.0)
        life.look(psutil.Process(self._node.server.process.pid))
        return life

    async def _look_when_all_have_gone(self, fresh: Life) -> Life:
        """Give a busy server time to notice the end of thousands of connections."""
        for _ in range(_REST_LOOKS):
            await asyncio.sleep(_LOOK_S)
            at_rest = self._look_at_rest()
            if at_rest.files <= fresh.files:
                break
        return at_rest

    # --- clients

    async def _upload_always(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, min(10.0, self._plan.seconds / 4)))
        while not self._over:
            client = self._new_client()
            self._clients.add(client)
            try:
                await client.run()
                self._life.completed += 1
                self._life.uploaded_bytes += client.size
                await client.delete()
            except BrokenPromise as error:
                self._broken.append(str(error))
                return
            finally:
                self._clients.discard(client)
                self._life.interrupted += client.interruptions
                self._lost_creations += client.lost_creations

    def _new_client(self) -> PatientClient:
        # As many small ones as large ones, whatever small is.
        share = self._chance.random()
        return PatientClient(
            port=lambda: self._node.port,
            seed=self._chance.randrange(1 << 30),
            size=int(_SMALLEST * (_LARGEST / _SMALLEST) ** share),
            request_bytes=self._chance.choice((100_000, 1_000_000, 1 << 30)),
            piece_bytes=_PIECE_BYTES,
            pause_s=self._plan.pause_s * self._chance.uniform(0.5, 1.5),
        )

    async def _idle_always(self, number: int) -> None:
        """Ask something, fall silent until the server closes, and come back."""
        # One address has fewer free ports than this may need within a minute.
        address = (f"127.0.0.{2 + number % 100}", 0)
        await asyncio.sleep(self._chance.uniform(0, min(10.0, self._plan.seconds / 4)))
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._node.port, local_addr=address, limit=1024
                )
                self._idle += 1
                try:
                    writer.write(request("OPTIONS", "/files/", V))
                    while await reader.read(1024):
                        pass
                finally:
                    self._idle -= 1
                    writer.transport.abort()
            await asyncio.sleep(self._chance.uniform(0.5, 2))

    # --- afterwards

    def _left_over(self) -> tuple[int, int, list[str]]:
        """Return how many uploads and half-made records are on disk, and all other files."""
        files = {
            str(path.relative_to(self._directory))
            for path in self._directory.rglob("*")
            if path.is_file()
        }
        half_made = {name for name in files if name.startswith(".tusd_py/new/")}
        records = {name for name in files if name.endswith(".info")}
        uploads = records | {name.removesuffix(".info") for name in records}
        return len(records), len(half_made), sorted(files - uploads - half_made)


async def soak(plan: Plan, directory: Path) -> Result:
    """Run a soak on an empty directory."""
    return await Soak(plan, directory).run()
