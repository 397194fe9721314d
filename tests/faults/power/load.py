"""Clients that all work at once until the power is cut."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from .client import BYTES, Answer, Connection, Unanswered
from .promises import LONGEST, SOURCE, Told, describe, piece
from .volume import Volume

TARGET: Final = "/files/"
_CLIENTS: Final = 4
_CHUNKS: Final = (1, 700, 5_000, 70_000, 300_000, 1_000_000)
_LENGTHS: Final = (0, 1, 4_000, 50_000, 200_000, 900_000, LONGEST)
_PAUSE_S: Final = 0.002


class PowerIsOff(Exception):
    """Nothing that comes from now on counts."""


@dataclass(slots=True)
class Plan:
    """When the power is cut.

    Attributes:
        after_s: at the latest.
        kind: of acknowledgement after which it is cut at once; None for any time.
        count: after how many of these.
    """

    after_s: float
    kind: str | None = None
    count: int = 1

    @classmethod
    def at_random(cls, chance: random.Random) -> Plan:
        """Return a time, or an acknowledgement."""
        if chance.random() < 0.4:
            return cls(chance.uniform(0.005, 0.15))
        kind = chance.choice(["created", "offset", "completed", "ended", "joined", "told"])
        return cls(0.3, kind, chance.randint(1, 4))


@dataclass
class Load:
    """The clients of one server.

    Attributes:
        volume: whose power is cut.
        port: of the server.
        chance: makes all choices.
        uploads: what is known of them; new ones are added, removed ones marked.
    """

    volume: Volume
    port: int
    chance: random.Random
    uploads: list[Told]
    seen: Counter[str] = field(default_factory=Counter)
    _plan: Plan | None = None
    _used: Counter[Told] = field(default_factory=Counter)  # by how many clients

    async def run(self, plan: Plan) -> None:
        """Work until the power is cut.

        Raises:
            AssertionError: the server did what no server should.
        """
        self._plan = plan
        await self._all_work(plan.after_s, self._onlooker(), self._kernel())
        self.volume.cut()

    async def run_uncut(self, after_s: float) -> None:
        """Work for a while; nothing happens to the power.

        Raises:
            AssertionError: the server did what no server should.
        """
        await self._all_work(after_s, self._onlooker())

    async def _all_work(self, for_s: float, *others: Coroutine[None, None, NoReturn]) -> None:
        works = [*others, *(self._client() for _ in range(_CLIENTS))]
        tasks = [asyncio.create_task(work) for work in works]
        await asyncio.wait(tasks, timeout=for_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(result, PowerIsOff | asyncio.CancelledError):
                raise result

    # --- those who work

    async def _client(self) -> NoReturn:
        works = [self._send_whole] * 3 + [self._send_parts] * 5 + [self._join, self._remove]
        while True:
            async with Connection(self.port) as connection:
                try:
                    await self.chance.choice(works)(connection)
                except Unanswered:
                    self.go_on()

    async def _onlooker(self) -> NoReturn:
        """Ask for offsets, which ends the requests of others."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.005, 0.04))
            there = [told for told in self.uploads if not told.ending]
            if not there:
                continue
            told = self.chance.choice(there)
            async with Connection(self.port) as connection:
                with contextlib.suppress(Unanswered):
                    await self.find_offset(connection, told)
                self.go_on()

    async def _kernel(self) -> NoReturn:
        """Write some of the cache to disk, as kernels do."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.005, 0.05))
            self.go_on()
            if self.chance.random() < 0.75:
                self.volume.sync_neighbour()
            else:
                self.volume.write_back()

    # --- what they do

    async def _send_whole(self, connection: Connection) -> None:
        """Create an upload with all its bytes, or the first of them."""
        told = self._new(self.chance.choice((0, 1, 100, 5_000, 60_000, 200_000)))
        cut = self.chance.random() < 0.2
        await self._create(connection, told, body=told.content[: len(told.content) // (1 + cut)])

    async def _send_parts(self, connection: Connection) -> None:
        """Create an upload and send it bit by bit, or go on with one."""
        unfinished = [
            told
            for told in self.uploads
            if not (told.complete or told.ending or told.parts or self._used[told])
        ]
        if unfinished and self.chance.random() < 0.5:
            told = self.chance.choice(unfinished)
            if await self.find_offset(connection, told) is None:
                return
        else:
            told = self._new(self.chance.choice(_LENGTHS))
            defer = told.length > 0 and self.chance.random() < 0.3
            await self._create(connection, told, defer=defer)
        with self._using(told):
            await self._send_rest(connection, told)

    async def _send_rest(self, connection: Connection, told: Told) -> None:
        while not told.complete:
            chunk = told.content[told.offset :][: self.chance.choice(_CHUNKS)]
            with contextlib.suppress(Unanswered):
                answer = await self._patch(connection, told, chunk)
                if answer.status == 204:
                    self._note("completed" if told.complete else "offset")
                    continue
                assert answer.status in (409, 423, 460), (
                    f"PATCH of {told.target} answered {answer.status}"
                )
            self.go_on()
            if await self.find_offset(connection, told) is None:
                return

    async def _patch(self, connection: Connection, told: Told, chunk: bytes) -> Answer:
        fields = [BYTES, ("Upload-Offset", str(told.offset)), ("Upload-Length", str(told.length))]
        ways = ["plain", "plain", "slow", "verified", "wrong", "broken off", "length only"]
        way = self.chance.choice(ways)
        pause_s = _PAUSE_S if way == "slow" else 0.0
        stop_after = None
        if way in ("verified", "wrong"):
            digest = hashlib.sha1(chunk, usedforsecurity=False).digest()
            fields.append(("Upload-Checksum", f"sha1 {base64.b64encode(digest).decode()}"))
        if way == "length only":
            chunk = b""
        if way == "wrong":  # none of these bytes may ever count
            chunk = bytes(byte ^ 0xFF for byte in chunk[:1000]) + chunk[1000:]
        else:
            told.sent = max(told.sent, told.offset + len(chunk))
        if way == "broken off":
            stop_after = self.chance.randint(0, len(chunk) - 1)
        answer = await connection.ask(
            "PATCH", told.target, *fields, body=chunk, pause_s=pause_s, stop_after=stop_after
        )
        self.go_on()
        if answer.status == 204:
            told.told(answer)
        return answer

    async def find_offset(self, connection: Connection, told: Told) -> int | None:
        """Ask for the offset; None if the upload is being removed, or is in use for long."""
        answer = await connection.ask("HEAD", told.target)
        self.go_on()
        if told.ending or answer.status == 423:
            return None
        assert answer.status == 200, f"HEAD of {told.target} answered {answer.status}"
        offset = answer.number("upload-offset") or 0
        assert offset <= told.sent, f"{told.target} is at {offset}, {told.sent} were sent"
        told.told(answer)
        self._note("told")
        return offset

    async def _join(self, connection: Connection) -> None:
        """Join two parts, one of which may still miss bytes."""
        length = self.chance.choice((2, 10_000, 300_000))
        start, middle = self._anywhere(), length // 2
        whole = self._piece(start, length)
        parts = (
            self._piece(start, middle, partial=True),
            self._piece(start + middle, length - middle, partial=True),
        )
        whole.parts = parts
        early = self.chance.random() < 0.3
        with self._using(*parts):
            await self._create(connection, parts[0], body=parts[0].content)
            await self._create(connection, parts[1])
            if early:
                await self._create_final(connection, whole)
            await self._send_rest(connection, parts[1])
            if not early and parts[1].complete:
                await self._create_final(connection, whole)

    async def _create_final(self, connection: Connection, whole: Told) -> None:
        whole.sent = whole.length
        links = " ".join(part.target for part in whole.parts)
        fields = [("Upload-Concat", f"final;{links}"), ("Upload-Metadata", whole.metadata)]
        await self._post(connection, whole, fields, b"")
        self._note("joined")

    async def _remove(self, connection: Connection) -> None:
        """Terminate any upload that no final upload waits for."""
        there = [told for told in self.uploads if not told.ending and not self.is_needed(told)]
        if there:
            await self.remove(connection, self.chance.choice(there))

    def is_needed(self, told: Told) -> bool:
        """Whether somebody works with it, or waits for it."""
        waiting = (final for final in self.uploads if not (final.complete or final.ending))
        return self._used[told] > 0 or any(told in final.parts for final in waiting)

    async def remove(self, connection: Connection, told: Told) -> None:
        """Terminate an upload."""
        told.ending = True
        answer = await connection.ask("DELETE", told.target)
        self.go_on()
        if answer.status == 423:
            return  # in use; it may be gone or not
        assert answer.status in (204, 404, 410), f"DELETE answered {answer.status}"
        told.ended = True
        self._note("ended")

    async def finish(self, connection: Connection, told: Told) -> bytes:
        """Send what is missing and download all of it."""
        while not told.complete:
            chunk = told.content[told.offset :]
            told.sent = told.length
            offset = str(told.offset)
            fields = [BYTES, ("Upload-Offset", offset), ("Upload-Length", str(told.length))]
            answer = await connection.ask("PATCH", told.target, *fields, body=chunk)
            self.go_on()
            assert answer.status == 204, f"PATCH of {told.target} answered {answer.status}"
            told.told(answer)
        answer = await connection.ask("GET", told.target)
        self.go_on()
        assert answer.status == 200, f"GET of {told.target} answered {answer.status}"
        return answer.body

    # --- steps

    def _new(self, length: int) -> Told:
        return self._piece(self._anywhere(), length)

    def _anywhere(self) -> int:
        return self.chance.randint(0, len(SOURCE) - LONGEST)

    def _piece(self, start: int, length: int, *, partial: bool = False) -> Told:
        metadata = describe(start, length)
        return Told(target="", content=piece(metadata), metadata=metadata, partial=partial)

    async def _create(
        self, connection: Connection, told: Told, *, body: bytes = b"", defer: bool = False
    ) -> None:
        length = ("Upload-Defer-Length", "1") if defer else ("Upload-Length", str(told.length))
        fields = [length, ("Upload-Metadata", told.metadata), BYTES]
        if told.partial:
            fields.append(("Upload-Concat", "partial"))
        told.sent = len(body)
        await self._post(connection, told, fields, body)
        self._note("completed" if told.complete else "created")

    async def _post(
        self, connection: Connection, told: Told, fields: list[tuple[str, str]], body: bytes
    ) -> None:
        answer = await connection.ask("POST", TARGET, *fields, body=body)
        self.go_on()
        assert answer.status == 201, f"POST answered {answer.status}"
        told.target = TARGET + answer.headers["location"].rpartition("/")[2]
        told.told(answer)
        self.uploads.append(told)

    @contextlib.contextmanager
    def _using(self, *told: Told) -> Iterator[None]:
        self._used.update(told)
        try:
            yield
        finally:
            self._used.subtract(told)

    def go_on(self) -> None:
        """Stop whoever calls this without power.

        Raises:
            PowerIsOff
        """
        if self.volume.cut_already:
            raise PowerIsOff

    def _note(self, kind: str) -> None:
        """Note an acknowledgement, and cut the power if it is the one."""
        self.seen[kind] += 1
        plan = self._plan
        if plan is not None and kind == plan.kind and self.seen[kind] >= plan.count:
            self.volume.cut()
            raise PowerIsOff
