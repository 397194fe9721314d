"""PATCH: what is kept of a body, what is verified, what is refused."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.support.bodies import ScriptedBody
from tests.support.unread import taken
from tusd_py.data.memory import MemoryData, MemorySession
from tusd_py.interfaces import BodyEnd, Chunk, Durability
from tusd_py.protocol.checksum import Checksum, ChecksumInTrailer, Digest
from tusd_py.protocol.errors import (
    ChecksumMismatch,
    InsufficientStorage,
    InvalidBody,
    InvalidChecksum,
    InvalidUploadLength,
    MaxSizeExceeded,
    MismatchedOffset,
    ReadTimeout,
    ServerShutdown,
    TusError,
    UnexpectedEOF,
    UploadInterrupted,
    UploadNotFound,
    UploadSizeExceeded,
)
from tusd_py.protocol.model import Limits, Upload
from tusd_py.service import transfer

from .conftest import House

CUTS = [
    (BodyEnd.DISCONNECTED, UnexpectedEOF),
    (BodyEnd.TIMED_OUT, ReadTimeout),
    (BodyEnd.MALFORMED, InvalidBody),
    (BodyEnd.TAKEN_OVER, UploadInterrupted),
    (BodyEnd.SHUTDOWN, ServerShutdown),
]


def sha1(content: bytes) -> Checksum:
    """The checksum a client announces."""
    return Checksum("sha1", hashlib.sha1(content, usedforsecurity=False).digest())


async def check(house: House, upload: Upload, kept: bytes) -> None:
    """The record, HEAD and the bytes agree on what was kept."""
    assert (await house.record(upload)).offset == len(kept)
    assert (await house.head(upload)).offset == len(kept)
    assert await house.content(upload) == kept


# --- bodies that come whole


async def test_chunks_are_appended(house: House) -> None:
    """A chunked body and one of known length behind it make one upload."""
    upload = await house.create(10)
    upload = await house.append(upload, ScriptedBody(b"abc", b"d", b"ef"))
    assert upload.offset == 6
    upload = await house.append(upload, b"ghij")
    assert upload.finished
    await check(house, upload, b"abcdefghij")


async def test_an_empty_body_changes_nothing(house: House) -> None:
    """No byte is no byte, announced or chunked."""
    upload = await house.append(await house.create(10), b"abc")
    before = await house.record(upload)
    house.now += 1
    await house.append(upload, b"")
    await house.append(upload, ScriptedBody())
    assert await house.record(upload) == before


async def test_a_wrong_offset_touches_nothing(house: House) -> None:
    """409 before a byte is read."""
    upload = await house.append(await house.create(10), b"abc")
    body = ScriptedBody(b"xyz")
    with pytest.raises(MismatchedOffset):
        await house.append(upload, body, offset=2)
    assert await body.read() == b"xyz"
    await check(house, upload, b"abc")


async def test_a_missing_upload_is_not_found(house: House) -> None:
    """404 before a byte is read."""
    upload = await house.create(10)
    await house.delete(upload)
    with pytest.raises(UploadNotFound):
        await house.append(upload, b"abc")


async def test_a_deferred_length_is_declared_once(house: House) -> None:
    """The length comes with any PATCH and stays; the upload is finished when it is reached."""
    upload = await house.append(await house.create(None), b"abc")
    upload = await house.append(upload, b"", length=6)
    assert upload.length == 6
    with pytest.raises(InvalidUploadLength):
        await house.append(upload, b"d", length=7)
    assert (await house.append(upload, b"def", length=6)).finished


async def test_declaring_what_is_there_completes(house: House) -> None:
    """A length that equals the offset needs no more bytes."""
    upload = await house.append(await house.create(None), b"abc")
    assert (await house.append(upload, b"", length=3)).finished
    assert house.hooks.types[2:] == ["pre-finish", "post-finish"]


# --- bodies that are cut


@pytest.mark.parametrize(("end", "error"), CUTS)
async def test_what_arrived_of_a_cut_body_is_kept(
    house: House, end: BodyEnd, error: type[TusError]
) -> None:
    """Whatever ends a body early: its bytes are kept, and the client learns why."""
    upload = await house.append(await house.create(10), b"ab")
    with pytest.raises(error):
        await house.append(upload, ScriptedBody(b"cd", b"e", end=end))
    await check(house, upload, b"abcde")
    assert not (await house.record(upload)).finished


@pytest.mark.parametrize(("end", "error"), CUTS)
async def test_nothing_of_a_cut_body_with_a_checksum_is_kept(
    house: House, end: BodyEnd, error: type[TusError]
) -> None:
    """What cannot be verified is dropped."""
    upload = await house.append(await house.create(10), b"ab")
    with pytest.raises(error):
        await house.append(upload, ScriptedBody(b"cd", b"e", end=end), checksum=sha1(b"cde"))
    await check(house, upload, b"ab")


async def test_a_cut_behind_the_last_byte_completes(house: House) -> None:
    """All bytes are there, so the upload is finished, and yet the client hears of the cut."""
    upload = await house.create(5)
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"abcde", end=BodyEnd.DISCONNECTED))
    assert (await house.record(upload)).finished
    assert house.hooks.types[-3:] == ["pre-finish", "post-finish", "post-interrupt"]


# --- checksums


async def test_a_right_checksum_keeps_the_body(house: House) -> None:
    """Verified bytes count like any other."""
    upload = await house.append(await house.create(6), b"abc", checksum=sha1(b"abc"))
    upload = await house.append(upload, b"def", checksum=sha1(b"def"))
    assert upload.finished
    await check(house, upload, b"abcdef")


async def test_a_wrong_checksum_drops_the_body(house: House) -> None:
    """460: the offset is what it was, even for the last bytes, and no hook is called."""
    upload = await house.append(await house.create(6), b"abc")
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"xxx", checksum=sha1(b"def"))
    await check(house, upload, b"abc")
    assert house.hooks.types == ["pre-create", "post-create"]


async def test_an_empty_body_is_verified_too(house: House) -> None:
    """A checksum of nothing is compared with nothing."""
    upload = await house.create(6)
    await house.append(upload, b"", checksum=sha1(b""))
    with pytest.raises(ChecksumMismatch):
        await house.append(upload, b"", checksum=sha1(b"x"))


async def test_a_checksum_behind_the_body(house: House) -> None:
    """A trailer names the algorithm only at the end; the right one is compared."""
    upload = await house.create(6)
    body = ScriptedBody(b"abc", trailers={"upload-checksum": "md5 kAFQmDzST7DWlj99KOF/cg=="})
    upload = await house.append(upload, body, checksum=ChecksumInTrailer())
    await check(house, upload, b"abc")


@pytest.mark.parametrize(
    ("trailers", "error"),
    [
        (None, InvalidChecksum),
        ({}, InvalidChecksum),
        ({"upload-checksum": "md5 nonsense"}, InvalidChecksum),
        ({"upload-checksum": "rot13 kAFQmDzST7DWlj99KOF/cg=="}, InvalidChecksum),
        ({"upload-checksum": "md5 AAAAAAAAAAAAAAAAAAAAAA=="}, ChecksumMismatch),
    ],
)
async def test_a_checksum_that_does_not_come_right_drops_the_body(
    house: House, trailers: dict[str, str] | None, error: type[TusError]
) -> None:
    """Missing, malformed, unknown or wrong: nothing is kept."""
    upload = await house.append(await house.create(6), b"ab")
    with pytest.raises(error):
        await house.append(
            upload, ScriptedBody(b"abc", trailers=trailers), checksum=ChecksumInTrailer()
        )
    await check(house, upload, b"ab")


# --- bodies that are too long


@pytest.mark.parametrize("chunks", [(b"cdefgh",), (b"cde", b"f"), (b"c", b"d", b"e", b"f")])
@pytest.mark.parametrize("checksum", [None, sha1(b"cdefgh")])
async def test_a_chunked_body_that_is_too_long_is_refused(
    house: House, chunks: tuple[bytes, ...], checksum: Checksum | None
) -> None:
    """413: the request never completes the upload, though its first bytes would have."""
    upload = await house.append(await house.create(5), b"ab")
    with pytest.raises(UploadSizeExceeded):
        await house.append(upload, ScriptedBody(*chunks), checksum=checksum)
    await check(house, upload, b"ab")
    assert house.hooks.types == ["pre-create", "post-create"]
    assert (await house.append(upload, b"cde")).finished


async def test_a_known_body_that_is_too_long_is_not_read(house: House) -> None:
    """413 before a byte is read."""
    upload = await house.create(5)
    with pytest.raises(UploadSizeExceeded):
        await house.append(upload, b"abcdef")
    await check(house, upload, b"")


async def test_without_a_length_the_limit_counts() -> None:
    """A deferred upload may not grow beyond the largest size."""
    house = House(limits=Limits(max_size=4))
    upload = await house.append(await house.create(None), b"ab")
    with pytest.raises(MaxSizeExceeded):
        await house.append(upload, ScriptedBody(b"c", b"d", b"e"))
    await check(house, upload, b"ab")


# --- no room


class LazyData(MemoryData):
    """Holds everything back until `commit`, as its contract allows."""

    @contextlib.asynccontextmanager
    async def append(
        self, upload: Upload, *, digest: Digest | None = None
    ) -> AsyncIterator[MemorySession]:
        async with super().append(upload, digest=digest) as session:
            yield LazySession(session)


class LazySession(MemorySession):
    """See `LazyData`."""

    def __init__(self, session: MemorySession) -> None:
        super().__init__(session._store, session._upload, session._file, session._digest)
        self._held = b""

    async def write(self, chunk: Chunk) -> None:
        self._held += taken(chunk)

    async def commit(self, *, durable: bool = False) -> int:
        held, self._held = self._held, b""
        if held:
            await super().write(held)
        return await super().commit(durable=durable)

    async def rollback(self, offset: int) -> None:
        self._held = b""
        await super().rollback(offset)


@pytest.mark.parametrize("store", [MemoryData, LazyData])
async def test_what_fits_is_kept_and_saved(store: type[MemoryData]) -> None:
    """507: the offset is exact, whether the store fails at once or when it flushes."""
    house = House(data=store(capacity=8))
    upload = await house.append(await house.create(20), b"abc")
    with pytest.raises(InsufficientStorage):
        await house.append(upload, ScriptedBody(b"defg", b"hijk", b"lmno"))
    await check(house, upload, b"abcdefgh")


async def test_what_fits_makes_room_for_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that is told is on disk, so is the record: what fills the disk is cut for it."""
    monkeypatch.setattr(transfer, "ROOM_BYTES", 2)
    house = House(data=MemoryData(capacity=8), durability=Durability.ACK)
    upload = await house.append(await house.create(20), b"abc")
    with pytest.raises(InsufficientStorage):
        await house.append(upload, ScriptedBody(b"defg", b"hijk", b"lmno"))
    await check(house, upload, b"abcdef")
    assert (await house.record(upload)).checkpoint == 6


@pytest.mark.parametrize("store", [MemoryData, LazyData])
async def test_without_room_nothing_unverified_is_kept(store: type[MemoryData]) -> None:
    """507 with a checksum: all or nothing, so nothing."""
    house = House(data=store(capacity=8))
    upload = await house.append(await house.create(20), b"abc")
    with pytest.raises(InsufficientStorage):
        await house.append(upload, b"defghijkl", checksum=sha1(b"defghijkl"))
    await check(house, upload, b"abc")


# --- checkpoints


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints every ten bytes."""
    monkeypatch.setattr(transfer, "CHECKPOINT_BYTES", 10)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize(
    ("durability", "streaming", "answered"),
    [(Durability.NONE, 0, 0), (Durability.COMPLETE, 20, 20), (Durability.ACK, 20, 22)],
)
async def test_a_running_body_is_checkpointed(
    durability: Durability, streaming: int, answered: int
) -> None:
    """While it streams, the record follows, and the disk where that is promised."""
    house = House(durability=durability)
    upload = await house.create(100)
    running = await house.start_append(upload, b"0123456789", b"ab")
    assert (await house.record(upload)).offset == 10
    running.body.feed(b"cdefghij")
    running.body.feed(b"xy")
    await running.body.wait_starved()
    record = await house.record(upload)
    assert (record.offset, record.checkpoint) == (20, streaming)
    running.body.stop(BodyEnd.COMPLETE)
    kept = await running.task
    assert (kept.offset, kept.checkpoint) == (22, answered)
    assert (await house.record(upload)).checkpoint == answered


@pytest.mark.usefixtures("_often")
async def test_too_long_behind_a_checkpoint_drops_the_rest(house: House) -> None:
    """What a checkpoint has saved stays, also on disk; what came after it goes."""
    upload = await house.create(15)
    with pytest.raises(UploadSizeExceeded):
        await house.append(upload, ScriptedBody(b"0123456789", b"abcde", b"f"))
    await check(house, upload, b"0123456789")
    assert (await house.record(upload)).checkpoint == 10


@pytest.mark.usefixtures("_often")
async def test_no_room_behind_a_checkpoint_keeps_it() -> None:
    """A full disk does not take back what is on it."""
    house = House(data=MemoryData(capacity=12))
    upload = await house.create(30)
    with pytest.raises(InsufficientStorage):
        await house.append(upload, ScriptedBody(b"0123456789", b"abcde"))
    await check(house, upload, b"0123456789ab")
    assert (await house.record(upload)).checkpoint == 10


@pytest.mark.parametrize(
    ("durability", "chunk", "cut", "last"),
    [
        (Durability.NONE, 0, 0, 0),
        (Durability.COMPLETE, 0, 5, 10),
        (Durability.ACK, 3, 5, 10),
    ],
)
async def test_what_is_on_disk_when_the_client_is_answered(
    durability: Durability, chunk: int, cut: int, last: int
) -> None:
    """After a chunk, a cut and the last byte: the checkpoint is what the level promises."""
    house = House(durability=durability)
    upload = await house.append(await house.create(10), b"abc")
    assert upload.checkpoint == chunk
    with pytest.raises(UnexpectedEOF):
        await house.append(upload, ScriptedBody(b"de", end=BodyEnd.DISCONNECTED))
    upload = await house.record(upload)
    assert upload.checkpoint == cut
    upload = await house.append(upload, b"fghij")
    assert upload.finished
    assert upload.checkpoint == last
