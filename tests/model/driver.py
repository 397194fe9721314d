"""The service on each kind of store, with the verbs of a client; notes all that happens."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.bodies import ScriptedBody
from tests.support.redis_server import RedisServer
from tests.support.seeded_loop import SeededLoop, SeededWork
from tusd_py.data.disk import DiskData
from tusd_py.data.memory import MemoryData
from tusd_py.filesystem.lanes import Lanes
from tusd_py.filesystem.work import FileWork
from tusd_py.hooks.outbox_memory import MemoryOutbox
from tusd_py.interfaces import (
    Access,
    BodyEnd,
    DataStore,
    Durability,
    HookEvent,
    HookReply,
    HookType,
    OffsetStore,
    RequestInfo,
)
from tusd_py.offsets.files import FileOffsets
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.offsets.redis import RedisOffsets
from tusd_py.offsets.redis_copies import Copies
from tusd_py.protocol.checksum import Checksum
from tusd_py.protocol.commands import Append, BodyHead, Create, Fetch, Inspect, Terminate
from tusd_py.protocol.errors import TusError
from tusd_py.protocol.metadata import NO_METADATA
from tusd_py.protocol.model import (
    CONCATENATION,
    CONCATENATION_UNFINISHED,
    Capabilities,
    Final,
    Kind,
    Limits,
    Partial,
    Upload,
    UploadId,
    Whole,
)
from tusd_py.quotas.memory import MemoryLedger
from tusd_py.redis_client.address import RedisAddress, RedisOptions
from tusd_py.service.announce import Announcer
from tusd_py.service.janitor import Janitor
from tusd_py.service.policy import Policy
from tusd_py.service.uploads import Uploads

from .history import OK, REFUSED, Event, answer
from .model import EXPIRE_AFTER_S, Sent

_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """What the stores of one run stand on.

    Attributes:
        kind: "memory", "disk", "threads" (disk, with real threads) or "redis" (the same).
        directory: new and empty, or not there yet.
        redis: where records are kept, if anywhere.
    """

    kind: str
    directory: Path
    redis: RedisServer | None
    durability: Durability = Durability.COMPLETE

    @property
    def seeded(self) -> bool:
        """Whether a run depends on nothing but its seed."""
        return self.kind in {"memory", "disk"}


class Driver:
    """One service, from start to start."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.now = 0.0
        self.history: list[Event] = []
        self.last_id = ""
        self._loop = SeededLoop(seed) if place.seeded else asyncio.new_event_loop()
        self._runner = asyncio.Runner(loop_factory=lambda: self._loop)
        self._ids = itertools.count(1)
        self._ticks = itertools.count(1)
        self._boots = 1
        self._lanes: Lanes | None = None
        self._memory = (MemoryOffsets(), MemoryData())
        self._outbox = _NotingOutbox(self)
        if place.redis is not None:
            place.redis.ask("FLUSHALL")
        self.run(self._open())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._runner.run(_in_time(work))

    # --- its life

    def restart(self, *, reboot: bool) -> None:
        """End the service in order and start another one, perhaps after the machine itself."""
        self.run(self._close())
        self._boots += reboot
        self.run(self._open())

    def close(self) -> None:
        """End the service."""
        try:
            self.run(self._close())
        finally:
            self._runner.close()

    async def _open(self) -> None:
        self.offsets, self.data = self._stores()
        await self.data.open()
        await self.offsets.open()
        policy, hooks = self._policy(), _Hooks()
        self._announcer = Announcer(hooks, self._outbox, policy.clock)
        self.uploads = Uploads(
            self.offsets,
            self.data,
            policy,
            hooks=hooks,
            announcer=self._announcer,
            ledger=MemoryLedger(),
            authorize=_authorize,
        )
        self._janitor = Janitor(
            self.uploads, self.offsets, self.data, interval_s=1, clock=lambda: self.now
        )
        await self.sweep()

    async def _close(self) -> None:
        await self.uploads.close()
        await self.offsets.close()
        await self.data.close()
        if self._lanes is not None:
            self._lanes.stop()

    def _stores(self) -> tuple[OffsetStore, DataStore]:
        if self.place.kind == "memory":
            return self._memory
        directory, boot = self.place.directory, f"boot {self._boots}"
        run = self._work()
        data = DiskData(directory, run, fenced=self.place.redis is not None)
        if self.place.redis is None:
            return FileOffsets(directory, run, boot=boot), data
        options = RedisOptions(address=RedisAddress(self.place.redis.url))
        return RedisOffsets(options, run, copies=Copies(directory, boot=boot)), data

    def _work(self) -> FileWork:
        if isinstance(self._loop, SeededLoop):
            return SeededWork(self._loop)
        self._lanes = Lanes(2)
        self._lanes.start()
        return self._lanes

    def _policy(self) -> Policy:
        return Policy(
            limits=Limits(expire_after_s=EXPIRE_AFTER_S),
            capabilities=Capabilities(extensions=(CONCATENATION, CONCATENATION_UNFINISHED)),
            durability=self.place.durability,
            acquire_lock_timeout_s=_PATIENCE_S,
            clock=lambda: self.now,
            new_id=self._new_id,
        )

    def _new_id(self) -> UploadId:
        self.last_id = f"{next(self._ids):032x}"
        return UploadId(self.last_id)

    # --- the verbs; each notes an event and returns "ok" or the name of an error

    async def create(
        self, owner: str, length: int | None, kind: str, sent: Sent | None, parts: tuple[str, ...]
    ) -> str:
        """POST."""
        head = None if sent is None else _head(sent)
        command = Create(length=length, metadata=NO_METADATA, kind=_kind(kind, parts), body=head)
        body = ScriptedBody() if sent is None else _body(sent)

        async def post() -> Upload:
            return (await self.uploads.create(command, body, _request(owner))).upload

        data = b"" if sent is None else sent.data
        return await self._note("create", "", owner, post, length=length, data=data, parts=parts)

    async def append(
        self,
        name: str,
        owner: str,
        offset: int,
        sent: Sent,
        *,
        declared: int | None = None,
        body: ScriptedBody | None = None,
    ) -> str:
        """PATCH; with a `body` that the caller feeds instead of the one that is described."""
        command = Append(
            id=UploadId(name), offset=offset, declared_length=declared, body=_head(sent)
        )
        body = body or _body(sent)

        async def patch() -> Upload:
            return (await self.uploads.append(command, body, _request(owner))).upload

        return await self._note("append", name, owner, patch, offset=offset, data=sent.data)

    async def inspect(self, name: str, owner: str) -> str:
        """HEAD."""

        async def head() -> Upload:
            return (await self.uploads.inspect(Inspect(id=UploadId(name)), _request(owner))).upload

        return await self._note("head", name, owner, head)

    async def fetch(self, name: str, owner: str) -> str:
        """GET."""

        async def get() -> Upload:
            return await self.uploads.fetch(Fetch(id=UploadId(name)), _request(owner))

        return await self._note("get", name, owner, get)

    async def terminate(self, name: str, owner: str) -> str:
        """DELETE."""

        async def delete() -> None:
            await self.uploads.terminate(Terminate(id=UploadId(name)), _request(owner))

        return await self._note("delete", name, owner, delete)

    async def sweep(self) -> None:
        """What the janitor does now and then."""
        await self._janitor.sweep()
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing is being joined in the background."""
        while tasks := list(self.uploads._assembly._tasks.values()):
            await asyncio.wait(tasks)

    async def stored(self, name: str) -> Upload:
        """The record and, noted as an event, the bytes that are really there."""
        upload = await self.offsets.get(UploadId(name))
        start = float(next(self._ticks))
        data = await self._read(upload)
        self._add("peek", name, start, args={}, result={"status": OK, "data": data})
        return upload

    def note_cut(self, name: str, floor: int) -> None:
        """Note that only so many bytes had to survive."""
        start = float(next(self._ticks))
        self._add("cut", name, start, args={"floor": floor}, result=None)

    def note_finish(self, name: str) -> None:
        """Note that the application heard of a complete upload."""
        start = float(next(self._ticks))
        self._add("finish", name, start, args={}, result={"status": OK})

    async def _note(self, op: str, name: str, owner: str, work: Any, **args: object) -> str:
        start = float(next(self._ticks))
        outcome, result = OK, None
        try:
            upload = await work()
            result = answer(200)
            if upload is not None:
                result = answer(200, upload.offset, length=upload.length)
            if op == "get":
                result = {"status": OK, "data": await self._read(upload)}
        except TusError as error:
            outcome = type(error).__name__
            result = answer(error.status, getattr(error, "offset", None))
            if owner == STRANGER:
                result = {"status": REFUSED}
        finally:  # also when it is cancelled: then nobody knows
            self._add(op, name or self.last_id, start, args=args, result=result, owner=owner)
        return outcome

    def _add(
        self, op: str, name: str, start: float, *, args: object, result: object, owner: str = ""
    ) -> None:
        assert isinstance(args, dict)
        assert result is None or isinstance(result, dict)
        self.history.append(
            Event(
                t_start=start,
                t_end=float(next(self._ticks)),
                client=owner,
                op=op,
                args={"id": name, **args},
                result=result,
            )
        )

    async def _read(self, upload: Upload) -> bytes:
        return b"".join([bytes(some) async for some in self.data.read(upload, 0, upload.offset)])


STRANGER = "stranger"


async def _in_time(work: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.timeout(3 * _PATIENCE_S):
        return await work


async def _authorize(access: Access) -> str | None:
    return access.request.headers["Owner"][0]


class _Hooks:
    """Implements `Hooks`: wants to be told when uploads are complete."""

    def listens_to(self, event: HookType) -> bool:
        return False

    def receivers(self, event: HookType) -> list[str]:
        return ["test"] if event is HookType.POST_FINISH else []

    async def call(self, event: HookEvent) -> HookReply | None:
        return None

    async def tell(self, event: HookEvent, receiver: str) -> None:
        """Nothing is delivered; the outbox knows it earlier."""


class _NotingOutbox(MemoryOutbox):
    """Outlives the services that fill it, and notes events as soon as they may be delivered."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        await super().confirm(events)
        for event in events:
            self._driver.note_finish(event.upload.id)


def _request(owner: str) -> RequestInfo:
    return RequestInfo(method="POST", uri="/files/", remote="", headers={"Owner": [owner]})


def _kind(kind: str, parts: tuple[str, ...]) -> Kind:
    match kind:
        case "whole":
            return Whole()
        case "partial":
            return Partial()
        case _:
            return Final(parts=tuple(UploadId(part) for part in parts))


def _head(sent: Sent) -> BodyHead:
    if sent.checksum is None:
        return BodyHead(length=sent.announced)
    right = hashlib.sha256(sent.data).digest()
    expected = right if sent.checksum else bytes(32)
    return BodyHead(length=sent.announced, checksum=Checksum("sha256", expected))


def _body(sent: Sent) -> ScriptedBody:
    """Return the body in two pieces, as sockets give it."""
    middle = len(sent.data) // 2
    chunks = [some for some in (sent.data[:middle], sent.data[middle:]) if some]
    return ScriptedBody(*chunks, end=BodyEnd.DISCONNECTED if sent.cut else BodyEnd.COMPLETE)
