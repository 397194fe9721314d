"""Claims in Redis: what a holder may do, each thing one script that checks holder and fence."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from ..filesystem.work import FileWork
from ..protocol.errors import ClaimLost, StoreUnavailable
from ..protocol.model import Upload, UploadId
from .redis_copies import Copies
from .redis_index import RedisIndex
from .redis_link import RedisLink
from .redis_records import format_stored
from .redis_scripts import RELEASE, REMOVE, RENEW, SAVE
from .turns import Turn

_log = logging.getLogger(__name__)

# Longer than any lease and any request: what they do late must not bring an upload back.
GONE_S: Final = 24 * 3600


@dataclass(slots=True)
class ClaimEvents:
    """What happened with claims since the start; for metrics.

    Attributes:
        waits: claims that had to wait for another node.
        hand_overs: claims that were left because another node asked.
        fenced: changes that were refused because somebody else held the upload by then.
        lost: claims that ended before their holder let them go.
        seized: claims on uploads whose last holder had never let them go.
        rebuilt: records that Redis had lost.
    """

    waits: int = 0
    hand_overs: int = 0
    fenced: int = 0
    lost: int = 0
    seized: int = 0
    rebuilt: int = 0


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the claims of one store share."""

    link: RedisLink
    run: FileWork
    copies: Copies | None
    index: RedisIndex
    lease_s: float
    node: str = field(default_factory=lambda: secrets.token_hex(8))
    events: ClaimEvents = field(default_factory=ClaimEvents)
    claims: int = 0

    @property
    def lease_ms(self) -> str:
        """The lease as Redis wants it."""
        return str(int(self.lease_s * 1000))

    def new_holder(self) -> str:
        """Return a name for a holder that nobody had before."""
        self.claims += 1
        return f"{self.node}.{self.claims}"


class RedisClaim:
    """Implements `Claim`.

    Attributes:
        holder: names this claim among all there ever are.
        fence: grows with each claim on the upload.
        exact: as for `Claim`; the copy says the same.
        uncopied: whether it may not do so. Then the claim is given back as one that was lost:
            whoever comes next renews the copy.
        seized: whether the last holder never gave the upload back, so that it may still write
            to its bytes. They must be given another place first; saving that ends it.
        maybe_held: whether Redis may think that we have it.
        unwanted: whether Redis may know an upload that was not created after all.
    """

    def __init__(
        self, shared: Shared, upload_id: UploadId, turn: Turn, *, new: bool = False
    ) -> None:
        self.upload_id = upload_id
        self.holder = shared.new_holder()
        self.fence = 0
        self.exact = False
        self.uncopied = False
        self.seized = False
        self.maybe_held = False
        self.unwanted = False
        self._new = new
        self._keep_copy = True  # when the upload is removed; it may be that of another one
        self._shared = shared
        self._turn = turn
        self._upload: Upload | None = None
        self._record = ""  # as it is in Redis
        self._seq = 0
        self._ended = False

    @property
    def upload(self) -> Upload:
        """See `Claim.upload`."""
        assert self._upload is not None
        return self._upload

    def granted(
        self, upload: Upload, record: str, *, fence: int, seized: bool, exact: bool = False
    ) -> None:
        """Note what came with the claim."""
        self._upload = upload
        self.exact = exact
        self._record = record
        self.fence = fence
        # The bytes of a finished upload are never written to, whoever wakes up late.
        seized = seized and not upload.finished
        if seized and not self.seized:
            self._shared.events.seized += 1
            _log.info("ClaimSeized", extra={"id": self.upload_id, "fence": fence})
        self.seized = seized

    def on_wanted(self, leave: Callable[[], None]) -> None:
        self._turn.on_wanted(leave)

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        """See `Claim.save`; `release` saves the round trip of giving it back.

        What has to be on disk is not given back before its copy is: if Redis is lost together
        with the power, nobody may have been told more than that. Nor is a mark (`exact`) that
        the copy has not got yet, or has still.
        """
        if self._ended:
            raise ClaimLost
        before, marked = self.upload, exact or self.exact
        if self._shared.copies is not None:
            self.uncopied = self.uncopied or exact != self.exact
            release = release and not (durable or self.uncopied)
        record = format_stored(upload, self._shared.copies, exact=exact)
        moved = self.seized and upload.storage != before.storage
        self._seq += 1
        answer = await self._shared.link.run(
            SAVE,
            self.upload_id,
            self.holder,
            str(self.fence),
            self._shared.lease_ms,
            str(self._seq),
            str(upload.offset),
            "" if record == self._record else record,
            "1" if moved else "0",
            "1" if release else "0",
        )
        self.check(answer)
        self._upload, self._record = upload, record
        self.seized = self.seized and not moved
        await self._shared.index.changed(before, upload)
        if release:
            self._ended, self.maybe_held = True, False
        elif answer[1] == "1":
            self._turn.ask_to_leave()
        self.exact = exact
        if durable or marked or self.uncopied or not _differs_by_offset(upload, before):
            await self.write_copy(durable=durable)

    async def write_copy(self, *, durable: bool = False) -> None:
        """Write the copy beside the data, if there is such a thing.

        Raises:
            ClaimLost: somebody else has written a later one: this Redis has forgotten claims.
        """
        copies = self._shared.copies
        if copies is None:
            return
        run = self._shared.run.long if durable else self._shared.run
        latest = await run(
            copies.write_copy,
            self.upload,
            self.fence,
            exact=self.exact,
            durable=durable,
            replacing=self._ended,
        )
        self.uncopied = False
        if not latest and not self._ended:
            self._fenced()

    async def renew_copy(self) -> None:
        """Write the copy again, as durably as what it is of has to be."""
        copies = self._shared.copies
        if copies is not None:
            await self.write_copy(durable=self.upload.finished and copies.promises_finished)

    async def remove(self, *, keep_copy: bool = False) -> None:
        """See `Claim.remove`; `keep_copy` if that is the copy of another upload."""
        if self._ended:
            raise ClaimLost
        self.unwanted, self._keep_copy = self._new, keep_copy
        await self._remove()

    async def _remove(self) -> None:
        answer = await self._shared.link.run(
            REMOVE, self.upload_id, self.holder, str(self.fence or ""), str(GONE_S)
        )
        if not (self.unwanted and answer[0] == "missing"):
            self.check(answer)
        self._ended, self.maybe_held, self.unwanted = True, False, False
        if self._shared.copies is not None and not self._keep_copy:
            await self._shared.run.long(self._shared.copies.remove_copy, self.upload_id)
        if not self._keep_copy:
            with contextlib.suppress(StoreUnavailable):  # only a hint
                await self._shared.index.remove(self.upload_id)

    async def renew(self) -> bool:
        """Put the end of the lease off, unless the claim has ended; hear whether it is wanted."""
        answer = await self._shared.link.run(
            RENEW, self.upload_id, self.holder, self._shared.lease_ms
        )
        if self._ended:
            return False
        if answer[0] == "lost":
            self.lose()
            return False
        if answer[1] == "1":
            self._turn.ask_to_leave()
        return True

    async def give_back(self) -> None:
        """Give the claim back, and take the upload back if it was not created after all.

        Does nothing if it is not ours.
        """
        self._ended = True
        if self.unwanted:
            with contextlib.suppress(ClaimLost):
                await self._remove()
        else:
            seized = "1" if self.uncopied else "0"
            await self._shared.link.run(RELEASE, self.upload_id, self.holder, seized)
        self.maybe_held = False

    def leave(self) -> None:
        """Somebody on another node wants the upload."""
        self._shared.events.hand_overs += 1
        self._turn.ask_to_leave()

    def lose(self) -> None:
        """The claim has ended, or may have: whoever works under it has to stop."""
        self._shared.events.lost += 1
        _log.warning("ClaimLost", extra={"id": self.upload_id, "fence": self.fence})
        self._turn.ask_to_leave()

    def check(self, answer: list[str]) -> None:
        """Raise ClaimLost if a script found that we do not hold the upload."""
        if answer[0] != "ok":
            self._fenced()

    def _fenced(self) -> None:
        self._ended = True
        self._shared.events.fenced += 1
        _log.warning("ClaimFenced", extra={"id": self.upload_id, "fence": self.fence})
        self._turn.ask_to_leave()
        raise ClaimLost


def _differs_by_offset(one: Upload, other: Upload) -> bool:
    """Whether nothing else is different that a copy would have to tell."""
    return one is other or one == replace(other, offset=one.offset, expires_at=one.expires_at)
