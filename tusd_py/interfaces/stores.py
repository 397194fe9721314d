"""Where records, claims and bytes live."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ..protocol.checksum import Digest
from ..protocol.model import Upload, UploadId
from .bodies import Chunk


class Durability(enum.StrEnum):
    """What survives a power cut. The death of the process is survived at every level."""

    NONE = "none"  # nothing is promised
    COMPLETE = "complete"  # a completed upload; running ones up to their last checkpoint
    ACK = "ack"  # every offset a client was ever told


# --- records and claims -------------------------------------------------------------------


class Claim(Protocol):
    """The exclusive right to change one upload, held inside ``async with``."""

    @property
    def upload(self) -> Upload:
        """The record: as it stood when claimed, then as last saved."""

    @property
    def fence(self) -> int:
        """Higher than that of every claim before it; 0 where claims cannot be lost."""

    @property
    def seized(self) -> bool:
        """Whether an earlier holder may still write to the bytes, for it never gave them back.

        They must be seized (see `DataStore`), and their new place saved, before others are stored.
        """

    @property
    def exact(self) -> bool:
        """Whether bytes behind `upload.offset` do not count, as the last `save` said.

        Whoever stores bytes that count while they come cuts the others off, and saves that.
        """

    def on_wanted(self, leave: Callable[[], None]) -> None:
        """Have `leave` called, once and from the event loop, when the holder should go.

        That is when somebody else asks for the upload, or the claim is lost; at once if that
        has happened already. A holder that keeps its claim lets the other wait until it times
        out. A callback needs no task to watch it, so a small PATCH costs nothing here.
        """

    async def save(
        self, upload: Upload, *, durable: bool = False, exact: bool = False, release: bool = False
    ) -> None:
        """Make `upload` the record.

        Args:
            upload: what to save; its `offset` must be stored by the data store already.
            durable: return only when the record would survive a power cut.
            exact: until the next save, of this claim or another one, bytes behind
                `upload.offset` do not count, even if this process dies: they are a checksummed
                body that nobody has verified.
            release: nothing will be saved after, so the claim may be given back with it.

        Idempotent after an ambiguous answer.

        Raises:
            ClaimLost: somebody else holds the upload by now; nothing was changed.
        """

    async def remove(self) -> None:
        """Forget the record, for good, also after a power cut. The claim ends with it.

        Raises:
            ClaimLost: as for `save`.
        """


@dataclass(frozen=True, slots=True)
class Listed:
    """One of all uploads."""

    id: UploadId
    upload: Upload | None  # None: it is damaged


class OffsetStore(Protocol):
    """The record of each upload, and the exclusive claim on it: one place, one round trip."""

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first request."""

    async def close(self) -> None:
        """Give back what `open` took. No claim is held any more."""

    async def check(self) -> None:
        """Find out whether requests could be served now; it changes nothing that anybody sees.

        Raises:
            StoreUnavailable, InsufficientStorage: they could not.
        """

    def create(
        self, upload: Upload, *, durable: bool = False
    ) -> AbstractAsyncContextManager[Claim]:
        """Keep the record of a new upload, and claim it: the caller stores its bytes next.

        Args:
            upload: with the `storage` where its bytes will be.
            durable: enter the context only when the record would survive a power cut.

        Raises:
            UploadExists: the id is taken; that upload is unchanged, and nobody is disturbed.
        """

    async def get(self, upload_id: UploadId, *, damaged: bool = False) -> Upload:
        """Return the record as it stands, without a claim and without disturbing a holder.

        Args:
            damaged: also of an upload whose bytes are missing; only good to remove it.

        Raises:
            UploadNotFound, UploadDamaged
        """

    def claim(
        self, upload_id: UploadId, *, timeout_s: float, damaged: bool = False
    ) -> AbstractAsyncContextManager[Claim]:
        """Ask the holder to leave, wait for it, and claim the upload.

        Claims are granted in the order of asking within a process. Leaving the context gives
        the claim back whatever happened inside. A cancelled wait leaves nothing behind.
        With a `timeout_s` of 0 nobody is disturbed: the upload is free, or it is locked.
        `damaged` is as for `get`.

        Raises:
            UploadNotFound, UploadDamaged
            UploadLocked: the holder did not leave within `timeout_s` seconds, or too many wait.
        """

    def uploads(self, after: str = "") -> AsyncGenerator[Listed, None]:
        """Iterate over all uploads, in the order of their ids, beginning behind `after`.

        Made for many of them, and disturbs nobody. Those that come or go meanwhile may be missed.

        Raises:
            StoreUnavailable
        """

    def expired(self, before: float) -> AsyncIterator[UploadId]:
        """Iterate over uploads whose `expires_at` is at or before that time, in any order."""

    def unassembled(self) -> AsyncIterator[UploadId]:
        """Iterate over final uploads whose parts have not been joined yet, in any order."""

    def orphans(self, before: float) -> AsyncIterator[str]:
        """Remove what creations, saves and terminations left that a crash cut short before then.

        Iterates over names. Only what cannot be used any more is removed.
        """


# --- bytes --------------------------------------------------------------------------------


class AppendSession(Protocol):
    """Bytes on their way to the end of one upload, inside ``async with``.

    Leaving the context waits for work under way, never abandons it, and releases resources;
    what was not committed may or may not be there afterwards.
    """

    async def write(self, chunk: Chunk) -> None:
        """Take the next bytes; they may be held back.

        Of what is `Unread`, as much as comes has been taken when this returns.

        Raises:
            InsufficientStorage: there is no room; `commit` tells how much was kept.
            StoreUnavailable: the store failed.
            After either nothing more may be written in this session.
        """

    async def commit(self, *, durable: bool = False) -> int:
        """Store all that was written and return the offset that is stored now.

        After a failed `write`, the offset up to which the bytes are good, without a gap.

        Args:
            durable: return only when these bytes would survive a power cut.

        Raises:
            InsufficientStorage, StoreUnavailable: another `commit` tells how much was kept.
        """

    async def rollback(self, offset: int) -> None:
        """Drop all bytes behind `offset`, which lies between the session's start and its end."""


class Placer(Protocol):
    """Where finished files get a name that people can read, beside the one that uploads have."""

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first upload."""

    def plan(self, upload: Upload, at: float) -> Mapping[str, str]:
        """Return the `Upload.storage` of an upload that is about to be placed; nothing is done.

        Args:
            upload: a complete one; what the client says in it is not to be trusted.
            at: seconds since the epoch.
        """

    async def place(self, upload: Upload, *, durable: bool) -> Mapping[str, str]:
        """Give the file its name; return the `Upload.storage` with the one that it has now.

        Nothing that is there is ever replaced: what has a name that is taken gets another.
        Repeating it after a crash finds the name that the file has got already.

        Args:
            upload: with the storage that was planned, saved; its bytes never change any more.
            durable: return only when the name would survive a power cut.

        Raises:
            UploadDamaged: the bytes are missing.
            InsufficientStorage, StoreUnavailable: it may have the name, or not.
        """


class DataStore(Protocol):
    """Where the bytes of uploads live.

    The caller holds the claim of an upload whenever it changes it. A data store never sees an
    error of the network: the body ends, and the service asks the body why.
    """

    extensions: frozenset[str]
    """The tus extensions that this store makes possible."""

    async def open(self) -> None:
        """Make ready for use; fail here, not at the first request."""

    async def close(self) -> None:
        """Give back what `open` took."""

    async def check(self) -> None:
        """Find out whether requests could be served now; it changes nothing that anybody sees.

        Raises:
            StoreUnavailable, InsufficientStorage: they could not.
        """

    def place(self, upload_id: UploadId, path: str | None = None) -> Mapping[str, str]:
        """Return the `Upload.storage` of a new upload. Nothing is made yet.

        Args:
            upload_id: of the upload.
            path: where the application wants the bytes; None: wherever the id leads.

        Raises:
            ValueError: the path leads out of where uploads are, or is in the way of others.
        """

    async def create(self, upload: Upload, content: bytes = b"", *, durable: bool = False) -> None:
        """Make room for an upload whose record exists.

        Args:
            upload: a new one; its `storage` is what `place` returned.
            content: its first bytes: all of them are stored, or nothing is made; nor is
                anything when the caller is cancelled.
            durable: return only when that would survive a power cut.

        Raises:
            UploadExists: there are bytes under that id already; they are unchanged.
            InsufficientStorage, StoreUnavailable
        """

    def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AbstractAsyncContextManager[AppendSession]:
        """Start a session at `upload.offset`; what lies behind it is cut off first.

        Args:
            upload: its `offset` bytes are stored.
            digest: given every byte in order, off the event loop; complete after `commit`. If
                storing fails, it may have been given more than was stored.

        Raises:
            UploadDamaged: fewer than `upload.offset` bytes are stored.
            BytesBusy: somebody without a claim writes there; nothing was changed.
            ClaimLost: the bytes were taken away. The first `write` or `commit` may tell all this.
        """

    async def seize(self, upload: Upload, fence: int) -> Mapping[str, str]:
        """Put the bytes out of reach of all earlier holders; return the new `Upload.storage`.

        Args:
            upload: what lies behind its `offset` bytes may get lost.
            fence: that of the caller's claim.

        Raises:
            ClaimLost: somebody with a later claim has done so already.
            UploadDamaged: fewer than `upload.offset` bytes are stored.
            InsufficientStorage, StoreUnavailable
        """

    async def finish(self, upload: Upload, *, durable: bool) -> None:
        """Make a complete upload final: after this its bytes never change. Idempotent.

        Args:
            upload: a complete upload.
            durable: return only when its bytes and its name would survive a power cut.

        Raises:
            InsufficientStorage, StoreUnavailable: of its bytes only those up to its checkpoint
                can be believed; what lies behind may have been dropped.
        """

    def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        """Iterate over the bytes from `start` up to, not including, `stop`.

        Raises:
            UploadNotFound: the bytes are gone.
        """

    async def feed(self, upload: Upload, digest: Digest) -> None:
        """Give a digest the first `upload.offset` bytes in order, off the event loop.

        In steps, so that others get their turn in between.

        Raises:
            UploadNotFound: the bytes are gone.
            UploadDamaged: there are fewer.
            StoreUnavailable
        """

    async def open_file(self, upload: Upload) -> BinaryIO | None:
        """Return the bytes as a real file for sendfile, or None when there is no such file.

        Raises:
            UploadNotFound: the bytes are gone.
        """

    async def concatenate(self, final: Upload, parts: Sequence[Upload]) -> int:
        """Write the bytes of the complete `parts`, in order, as those of `final`.

        All or nothing: on an error `final` has no bytes. Repeating it after a crash is safe.
        Returns the number of bytes.

        Raises:
            UploadNotFound: a part has gone in the meantime.
            UploadDamaged, BytesBusy, ClaimLost: as for `append`; nothing was changed.
            InsufficientStorage, StoreUnavailable
        """

    async def touched(self, uploads: Sequence[Upload]) -> Sequence[float | None]:
        """Return when bytes of each were last stored, in seconds since the epoch; None: unknown.

        Takes no claim, and disturbs nobody.
        """

    async def free_bytes(self) -> int | None:
        """Return how many more bytes there is room for; None: not known, or no limit.

        Raises:
            StoreUnavailable
        """

    async def delete(self, upload: Upload) -> None:
        """Remove the bytes. Idempotent: no error if they are gone already."""

    def orphans(self, before: float) -> AsyncIterator[str]:
        """Remove what creations that never finished left before that time; iterate over names.

        Only what cannot hold a byte of any client is removed.
        """
