"""Records in Redis: the text of an `.info` file, and the offset, which counts, beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..protocol.errors import UploadDamaged
from ..protocol.model import Upload
from .records import Record, format_record, parse_record
from .redis_copies import Copies, Copy


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as Redis has it.

    Attributes:
        upload: with the offset that counts, unless the host was restarted.
        boot: the kernel run in which it was written; None when that does not matter.
        exact: whether the copy says that bytes behind the offset do not count.
    """

    upload: Upload
    boot: str | None
    exact: bool = False


def format_stored(upload: Upload, copies: Copies | None, *, exact: bool = False) -> str:
    """Return the text that is kept in Redis; for `exact` see `Stored`."""
    boot = None if copies is None else copies.written_boot
    exact_at = upload.offset if exact else None
    return format_record(Record(upload=upload, boot=boot, exact_at=exact_at)).decode()


def parse_stored(text: str, offset: str, copies: Copies | None) -> Stored:
    """Reverse of `format_stored`, with the offset that is kept beside it.

    Raises:
        UploadDamaged: it is not what this program writes.
    """
    record = parse_record(text.encode())
    upload = replace(record.upload, offset=int(offset))
    if copies is not None and (place := copies.place_of(upload)) is not None:
        upload = replace(upload, storage={**upload.storage, "Path": place})
    return Stored(upload, record.boot, record.exact_at is not None)


def is_of_earlier_boot(stored: Stored, copies: Copies | None) -> bool:
    """Whether the host of the data was restarted since, so that only checkpoints count."""
    return (
        copies is not None
        and copies.one_host
        and stored.boot is not None
        and stored.boot != copies.boot
        and not stored.upload.finished
    )


def counted(stored: Stored, copies: Copies | None) -> Upload:
    """Return the upload with the offset that counts now."""
    upload = stored.upload
    if is_of_earlier_boot(stored, copies):
        return replace(upload, offset=upload.checkpoint)
    return upload


def reconcile(stored: Upload, copy: Copy, size: int | None, *, fence: int) -> Upload:
    """Return what is true, given what Redis says, which may be old, and what lies beside the data.

    Args:
        stored: Redis' record, with the offset that counts as far as Redis knows.
        copy: the one beside the data, with the offset that the data tell.
        size: of the data file; None if there is none.
        fence: that of the last claim Redis knows of.

    Raises:
        UploadDamaged: fewer bytes are there than Redis vouches for.
    """
    newer = copy.upload if (copy.fence or 0) >= fence else stored
    if newer.finished:
        return newer
    if size is None or size < stored.offset:
        raise UploadDamaged
    expires_at = newer.expires_at
    if stored.expires_at is not None and copy.upload.expires_at is not None:
        expires_at = max(stored.expires_at, copy.upload.expires_at)
    offset = max(stored.offset, copy.upload.offset)
    return replace(newer, offset=offset, expires_at=expires_at)
