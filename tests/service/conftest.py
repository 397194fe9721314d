"""A service on stores in memory, with a clock and hooks that a test moves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from tests.support.bodies import ScriptedBody
from tusd_py.data.memory import MemoryData
from tusd_py.hooks.outbox_memory import MemoryOutbox
from tusd_py.interfaces import (
    Authorize,
    Body,
    DataStore,
    Durability,
    Entry,
    HookEvent,
    HookReply,
    HookType,
    Ledger,
    OffsetStore,
    Placer,
    RequestInfo,
)
from tusd_py.interfaces.occurrences import Occurrence
from tusd_py.offsets.memory import MemoryOffsets
from tusd_py.protocol.checksum import Checksum, ChecksumInTrailer
from tusd_py.protocol.commands import Append, BodyHead, Create, Fetch, Inspect, Terminate
from tusd_py.protocol.digests import DigestRules
from tusd_py.protocol.errors import InsufficientStorage
from tusd_py.protocol.metadata import NO_METADATA, Metadata
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
from tusd_py.service.access import allow_all
from tusd_py.service.announce import Announcer
from tusd_py.service.filetypes import FileRules
from tusd_py.service.policy import Bounds, Policy
from tusd_py.service.uploads import Uploads

REQUEST = RequestInfo(method="PATCH", uri="/files/", remote="127.0.0.1", headers={})
SOON_S = 5.0
EXPIRE_AFTER_S = 100.0
START = 1_700_000_000.0

Say = HookReply | Exception | Callable[[HookEvent], Awaitable[HookReply | None]]


class SaidHooks:
    """Implements `Hooks`: notes every event, and answers as the test has said."""

    def __init__(self) -> None:
        self.events: list[HookEvent] = []
        self.says: dict[HookType, Say] = {}
        self.deaf_to = {HookType.PRE_ACCESS, HookType.POST_RECEIVE}
        self._called = asyncio.Event()

    def listens_to(self, event: HookType) -> bool:
        return event not in self.deaf_to

    def receivers(self, event: HookType) -> list[str]:
        return ["test"] if self.listens_to(event) else []

    async def tell(self, event: HookEvent, receiver: str) -> None:
        raise AssertionError("nothing is delivered here; see NotingOutbox")

    async def call(self, event: HookEvent) -> HookReply | None:
        self.events.append(event)
        self._called.set()
        match self.says.get(event.type):
            case Exception() as error:
                raise error
            case HookReply() | None as reply:
                return reply
            case function:
                return await function(event)

    @property
    def types(self) -> list[str]:
        """What has been called, in order."""
        return [event.type.value for event in self.events]

    async def wait_finished(self, upload_id: UploadId) -> None:
        """Wait until post-finish has been called for the upload."""
        async with asyncio.timeout(SOON_S):
            while (HookType.POST_FINISH, upload_id) not in {
                (event.type, event.upload.id) for event in self.events
            }:
                self._called.clear()
                await self._called.wait()


class Death(Exception):
    """The process ends here."""


class NotingOutbox(MemoryOutbox):
    """Notes events as soon as they may be delivered, among those that hooks were asked about."""

    def __init__(self, hooks: SaidHooks) -> None:
        super().__init__()
        self._hooks = hooks
        self.dies = False
        self.full = False
        self.steps: list[str] = []

    async def prepare(self, entries: Sequence[Entry], now: float) -> Sequence[HookEvent]:
        self.steps.append("prepare")
        if self.full:
            raise InsufficientStorage
        return await super().prepare(entries, now)

    async def withdraw(self, events: Sequence[HookEvent]) -> None:
        self.steps.append("withdraw")
        await super().withdraw(events)

    async def confirm(self, events: Sequence[HookEvent]) -> None:
        self.steps.append("confirm")
        if self.dies:
            raise Death
        await super().confirm(events)
        for event in events:
            await self._hooks.call(event)


def body_head(length: int | None, checksum: Checksum | ChecksumInTrailer | None) -> BodyHead:
    """What the head of a request says that has such a checksum."""
    announced = {"upload-checksum"} if isinstance(checksum, ChecksumInTrailer) else set[str]()
    return BodyHead(length=length, checksum=checksum, trailers=frozenset(announced))


class House:
    """The service and what it stands on; the methods are the verbs of a client."""

    def __init__(
        self,
        *,
        offsets: OffsetStore | None = None,
        data: DataStore | None = None,
        limits: Limits | None = None,
        durability: Durability = Durability.COMPLETE,
        authorize: Authorize = allow_all,
        files: FileRules | None = None,
        digests: DigestRules | None = None,
        digest_wait_s: float = SOON_S,
        bounds: Bounds | None = None,
        ledger: Ledger | None = None,
        acquire_lock_timeout_s: float = SOON_S,
        assembly_wait_s: float = SOON_S,
        progress_interval_s: float = 1.0,
        placer: Placer | None = None,
    ) -> None:
        self.now = START
        self.offsets = MemoryOffsets() if offsets is None else offsets
        self.data = MemoryData() if data is None else data
        self.hooks = SaidHooks()
        ids = itertools.count(1)
        self.policy = Policy(
            limits=limits or Limits(expire_after_s=EXPIRE_AFTER_S),
            capabilities=Capabilities(extensions=(CONCATENATION, CONCATENATION_UNFINISHED)),
            durability=durability,
            files=files or FileRules(),
            digests=digests or DigestRules(),
            digest_wait_s=digest_wait_s,
            bounds=bounds or Bounds(),
            acquire_lock_timeout_s=acquire_lock_timeout_s,
            assembly_wait_s=assembly_wait_s,
            progress_interval_s=progress_interval_s,
            clock=lambda: self.now,
            new_id=lambda: UploadId(f"upload-{next(ids)}"),
        )
        self.outbox = NotingOutbox(self.hooks)
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.noted: list[Occurrence] = []
        self.uploads = Uploads(
            self.offsets,
            self.data,
            self.policy,
            hooks=self.hooks,
            announcer=Announcer(self.hooks, self.outbox, self.policy.clock),
            ledger=self.ledger,
            authorize=authorize,
            observe=self.noted.append,
            placer=placer,
        )

    async def create(
        self,
        length: int | None,
        body: Body | bytes | None = None,
        *,
        kind: Kind | None = None,
        metadata: Metadata = NO_METADATA,
        checksum: Checksum | ChecksumInTrailer | None = None,
    ) -> Upload:
        """POST; bytes are a body of known length."""
        head = None
        if body is not None:
            known = len(body) if isinstance(body, bytes) else None
            head = body_head(known, checksum)
        command = Create(length=length, metadata=metadata, kind=kind or Whole(), body=head)
        return (await self.uploads.create(command, _body(body), REQUEST)).upload

    async def append(
        self,
        upload: Upload,
        body: Body | bytes,
        *,
        offset: int | None = None,
        length: int | None = None,
        checksum: Checksum | ChecksumInTrailer | None = None,
    ) -> Upload:
        """PATCH; bytes are a body of known length."""
        known = len(body) if isinstance(body, bytes) else None
        command = Append(
            id=upload.id,
            offset=upload.offset if offset is None else offset,
            declared_length=length,
            body=body_head(known, checksum),
        )
        return (await self.uploads.append(command, _body(body), REQUEST)).upload

    async def head(self, upload: Upload) -> Upload:
        """HEAD."""
        return (await self.uploads.inspect(Inspect(id=upload.id), REQUEST)).upload

    async def delete(self, upload: Upload) -> None:
        """DELETE."""
        await self.uploads.terminate(Terminate(id=upload.id), REQUEST)

    async def fetch(self, upload: Upload) -> Upload:
        """GET."""
        return await self.uploads.fetch(Fetch(id=upload.id), REQUEST)

    async def part(self, content: bytes, *, cut: int | None = None) -> Upload:
        """A partial upload; with `cut` only so many of its bytes have arrived."""
        upload = await self.create(len(content), kind=Partial())
        return await self.append(upload, content[:cut])

    async def final(self, *parts: Upload, metadata: Metadata = NO_METADATA) -> Upload:
        """POST of a final upload."""
        kind = Final(parts=tuple(part.id for part in parts))
        return await self.create(None, kind=kind, metadata=metadata)

    # --- what is really there

    async def record(self, upload: Upload) -> Upload:
        """The record as it stands."""
        return await self.offsets.get(upload.id)

    async def content(self, upload: Upload) -> bytes:
        """All bytes that are stored."""
        return b"".join([chunk async for chunk in self.data.read(upload, 0, 1 << 40)])

    async def wait_finished(self, upload: Upload) -> Upload:
        """Wait until the upload is finished, without asking for it."""
        await self.hooks.wait_finished(upload.id)
        return await self.record(upload)

    async def wait_idle(self) -> None:
        """Wait until nothing is being joined in the background."""
        if tasks := list(self.uploads._assembly._tasks.values()):
            await asyncio.wait(tasks, timeout=SOON_S)

    async def crash_with(self, upload: Upload, content: bytes, **changes: object) -> Upload:
        """Leave the upload as a crash leaves it: bytes and offset saved, all else not done."""
        async with self.data.append(upload) as session:
            await session.write(content)
            offset = upload.offset + len(content)
            assert await session.commit() == offset
        async with self.offsets.claim(upload.id, timeout_s=0) as claim:
            await claim.save(replace(claim.upload, offset=offset, **changes))  # type: ignore[arg-type]
        return await self.record(upload)

    async def start_append(self, upload: Upload, *chunks: bytes) -> Running:
        """Begin a PATCH whose client sends these bytes and then falls silent."""
        body = ScriptedBody(*chunks, end=None)
        task = asyncio.create_task(self.append(upload, body))
        await body.wait_starved()
        return Running(task, body)


class Running:
    """A PATCH under way."""

    def __init__(self, task: asyncio.Task[Upload], body: ScriptedBody) -> None:
        self.task = task
        self.body = body

    async def error(self) -> BaseException | None:
        """How it ended; None: well."""
        await asyncio.wait([self.task], timeout=SOON_S)
        return self.task.exception()


def _body(body: Body | bytes | None) -> Body:
    if body is None:
        return ScriptedBody()
    return ScriptedBody(body) if isinstance(body, bytes) else body


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A service in which uploads expire after a hundred seconds."""
    made = House()
    yield made
    await made.uploads.close()
