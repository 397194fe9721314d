"""Cut after cut: check what is left of the last one, work, cut the power, come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.redis_server import RedisServer, running_redis
from tusd_py.config import Settings
from tusd_py.filesystem.seized_names import fence_of
from tusd_py.interfaces import Durability
from tusd_py.service import transfer

from .client import Answer, Connection, Unanswered
from .load import TARGET, Load, Plan, PowerIsOff
from .promises import Promises, Tally, Told, piece
from .servers import ForkedServer
from .volume import Volume

# Instead of 64 MiB, so that bodies of a moment have checkpoints.
CHECKPOINT_BYTES: Final = 256 * 1024
_MOST_UPLOADS: Final = 40
_FRESH_DISK: Final = 50  # cuts
_REDIS_IS_LOST: Final = 0.15
_LOOKS: Final = 200
_LOOK_S: Final = 0.01


@dataclass
class Cuts:
    """A row of power cuts on one file system at one level of durability.

    Attributes:
        kind: of file system.
        level: of durability.
        seed: makes all choices, as far as timing lets them repeat.
        folder: an empty one.
        redis: keep records and claims in a Redis that loses its power, too.
    """

    kind: str
    level: Durability
    seed: int
    folder: Path
    redis: bool = False
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.seed} {self.kind} {self.level}")  # noqa: S311
        self._volume = Volume(self.kind, self.folder)
        self._promises = Promises(self.level, CHECKPOINT_BYTES, self.tally)
        self._directory = self._volume.root / "srv" / "uploads"
        self._uploads: list[Told] = []
        self._redis: RedisServer | None = None
        redis = " redis" if self.redis else ""
        self.name = f"{self.kind}{redis} {self.level} seed {self.seed}"
        self._log = self.folder / "server.log"
        transfer.CHECKPOINT_BYTES = CHECKPOINT_BYTES

    def run(self, count: int) -> Tally:
        """Cut the power that often."""
        began = time.monotonic()
        for number in range(count):
            if number % _FRESH_DISK == 0:
                self._fresh(first=number == 0)
            self._one(number)
        self._finally_check()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    def _fresh(self, *, first: bool) -> None:
        if not first:
            self._finally_check()
            self._volume.unmount()
        self._uploads.clear()
        self._volume.make()

    def _one(self, number: int) -> None:
        """Start, check what the last cut has left, work until the next, and come back."""
        self._log.unlink(missing_ok=True)
        where = f"{self.name} cut {number}"
        with self._server(where) as load:
            asyncio.run(self._work(load, where))
        if not self._volume.cut_already:
            self._cut_after_crash(where)
        self.tally.cuts += 1
        self._volume.come_back()

    def _cut_after_crash(self, where: str) -> None:
        """The server was killed: all it told must hold, and what it tells now survives a cut."""
        with self._server(where) as load:
            crash = Promises(Durability.ACK, 0, Tally(broken=self.tally.broken))
            asyncio.run(self._look(load, crash, f"{where}, killed"))
            self._volume.cut()

    def _finally_check(self) -> None:
        where = f"{self.name} at the end"
        with self._server(where) as load:
            asyncio.run(self._check(load, where))

    @contextlib.contextmanager
    def _server(self, where: str) -> Iterator[Load]:
        """Run a server, and what it needs; give what can be done with it."""
        with self._records() as redis_url:
            settings = Settings(
                upload_dir=self._directory,
                durability=self.level,
                expire_after=self._chance.choice([0, 3600]),
                redis_url=redis_url,
                redis_lease=1,  # so long are the uploads of a dead server waited for
                show_greeting=False,
                log_format="json",
            )
            server = ForkedServer(settings, self._log, self._chance.choice([1, 1, 1, 2]))
            try:
                yield Load(self._volume, server.port, self._chance, self._uploads)
            except AssertionError as error:
                self.tally.broken.append(f"{where}: {error}")
                for told in self._uploads:
                    if told.target and told.target in str(error):
                        self._testify(told)
                self._volume.cut()
            finally:
                server.kill()

    @contextlib.contextmanager
    def _records(self) -> Iterator[str | None]:
        """Run a Redis on the same disk, if one is wanted; sometimes it has lost everything."""
        if not self.redis:
            yield None
            return
        data = self._volume.root / "redis"
        if self._chance.random() < _REDIS_IS_LOST:
            shutil.rmtree(data, ignore_errors=True)
        data.mkdir(exist_ok=True)
        _mend(data)
        lasting = ("--appendonly", "yes", "--appendfsync", "always", "--dir", str(data))
        with running_redis(*lasting) as redis:
            self._redis = redis
            try:
                yield redis.url
            finally:
                self._redis = None

    # --- with a running server

    async def _work(self, load: Load, where: str) -> None:
        what = self._chance.random()
        if what < 0.1:  # again, while the server looks at what the last cut has left
            delay_s = self._chance.uniform(0.0, 0.05)
            asyncio.get_running_loop().call_later(delay_s, self._volume.cut)
        try:
            await self._check(load, where)
            if what > 0.9:  # no power cut: the server is killed in the middle of it all
                await load.run_uncut(self._chance.uniform(0.02, 0.1))
            else:
                await load.run(Plan.at_random(self._chance))
        except PowerIsOff:
            pass
        except Unanswered:
            assert self._volume.cut_already, "a connection broke without a reason"

    async def _check(self, load: Load, where: str) -> None:
        """Look at every upload, finish most, and remove some."""
        await self._look(load, self._promises, where)
        await self._look_at_unknown(load, where)
        async with Connection(load.port) as connection:
            for told in list(self._uploads):
                if told.complete or self._chance.random() < 0.6:
                    await self._finish(load, connection, told, where)
                crowded = len(self._uploads) > _MOST_UPLOADS
                if not load.is_needed(told) and (crowded or self._chance.random() < 0.3):
                    await load.remove(connection, told)

    async def _look(self, load: Load, promises: Promises, where: str) -> None:
        """Ask for every offset and compare the bytes."""
        async with Connection(load.port) as connection:
            for told in list(self._uploads):
                head = await connection.ask("HEAD", told.target)
                load.go_on()
                broken = len(promises.tally.broken)
                if not promises.check(told, head, self._stored(told.target), where=where):
                    self._uploads.remove(told)
                if len(promises.tally.broken) > broken:
                    self._testify(told)

    async def _finish(self, load: Load, connection: Connection, told: Told, where: str) -> None:
        if told.parts and not await self._is_joined(load, connection, told, where):
            return
        if await load.finish(connection, told) != told.content:
            self.tally.broken.append(f"{where}: GET of {told.target} gives wrong bytes")
        self.tally.resumed += 1

    async def _is_joined(self, load: Load, connection: Connection, told: Told, where: str) -> bool:
        """Wait for a final upload whose parts are complete."""
        if not all(part in self._uploads and part.complete for part in told.parts):
            return told.complete
        for _ in range(_LOOKS):
            await load.find_offset(connection, told)
            if told.complete:
                return True
            await asyncio.sleep(_LOOK_S)
        self.tally.broken.append(f"{where}: the parts of {told.target} are never joined")
        return False

    def _testify(self, told: Told) -> None:
        """Say what there is of an upload about which a promise was broken."""
        name = told.target.removeprefix(TARGET)
        said = [self.tally.broken[-1]]
        for path in sorted(self._directory.glob(f"{name}*")):
            with contextlib.suppress(OSError):  # the server goes on, and the power may be off
                content = path.read_bytes() if path.suffix == ".info" else b""
                said.append(f"  {path.name}: {path.stat()}: {content!r}")
        if self._redis is not None:
            said.append(f"  Redis: {self._redis.ask('HGETALL', f'tusd-py:{{{name}}}')}")
        said += [f"  {line}" for line in self._log.read_text().splitlines() if name in line]
        sys.stderr.write("\n".join(said) + "\n")

    def _stored(self, target: str) -> bytes:
        path = self._directory / target.removeprefix(TARGET)
        # With Redis the bytes may have been taken away from a server that died with its claim.
        seized = [p for p in path.parent.glob(f"{path.name},*") if not p.name.endswith("~")]
        for place in (path, *sorted(seized, key=lambda p: fence_of(str(p)), reverse=True)):
            if place.exists():
                return place.read_bytes()
        return b""

    async def _look_at_unknown(self, load: Load, where: str) -> None:
        """What was never acknowledged may be there or not, but it must not be wrong."""
        known = {told.target for told in self._uploads}
        async with Connection(load.port) as connection:
            for name in os.listdir(self._directory):
                target = TARGET + name.removesuffix(".info").partition(",")[0]
                if target in known or name.startswith("."):
                    continue
                known.add(target)
                head = await connection.ask("HEAD", target)
                load.go_on()
                self._judge_unknown(target, head, where)

    def _judge_unknown(self, target: str, head: Answer, where: str) -> None:
        if head.status in (404, 410):
            return
        if head.status != 200:
            self.tally.broken.append(f"{where}: {target}, never told of: {head.status}")
            return
        offset = head.number("upload-offset") or 0
        content = piece(head.headers["upload-metadata"])
        if self._stored(target)[:offset] != content[:offset]:
            if self.level is Durability.NONE:
                self.tally.unpromised["completed with wrong bytes"] += 1
            else:
                self.tally.broken.append(f"{where}: {target}, never told of: wrong bytes")


def _mend(data: Path) -> None:
    """Cut off what no write had come to its end, without which Redis would not start.

    Nothing of it was acknowledged. If that does not help, its operator begins with an empty one.
    """
    for manifest in data.glob("*/*.manifest"):
        mended = subprocess.run(
            ["redis-check-aof", "--fix", str(manifest)],
            input=b"y\n",
            capture_output=True,
            check=False,
        )
        if mended.returncode:
            shutil.rmtree(manifest.parent)
