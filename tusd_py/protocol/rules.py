"""Every MUST of an operation: plans, made before a byte is read, and what they settle to.

A function here looks at a command and the records, and returns what is to be done or raises
the error that the client is told. Nothing is awaited and nothing is changed.
Numbers in comments are sections of the tus 1.0 specification by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .commands import Append, Create
from .errors import (
    IncompleteUpload,
    InvalidConcat,
    InvalidUploadLength,
    MaxSizeExceeded,
    MismatchedOffset,
    ModifyFinal,
    UploadExpired,
    UploadFailed,
    UploadNotFinished,
    UploadNotFound,
    UploadSizeExceeded,
)
from .expiry import expiry_of
from .model import CONCATENATION_UNFINISHED, Capabilities, Final, Limits, Partial, Upload, UploadId


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendPlan:
    """What an accepted PATCH may do.

    Attributes:
        upload: the record, with the length this very request may have declared.
        room: how many bytes may be stored at most.
        trailers: names of the fields that may come behind the body, in lower case.
    """

    upload: Upload
    room: int
    trailers: frozenset[str] = frozenset()


def plan_create(  # noqa: PLR0913 - what the server adds to what the client says
    create: Create,
    *,
    upload_id: UploadId,
    owner: str | None,
    limits: Limits,
    now: float,
    storage: Mapping[str, str] | None = None,
) -> Upload:
    """Return the upload that `create` asks for, empty as yet.

    Args:
        storage: where its bytes will be, if that is known.

    Raises:
        MaxSizeExceeded: its length, or the body it comes with, is above the limit.
        UploadSizeExceeded: the body is longer than the upload.
    """
    if create.length is not None and create.length > limits.size_ceiling:
        raise MaxSizeExceeded(limits.size_ceiling)
    upload = Upload(
        id=upload_id,
        length=create.length,
        metadata=create.metadata,
        kind=create.kind,
        created_at=now,
        expires_at=expiry_of(create.kind, limits, now, complete=create.length == 0),
        owner=owner,
        storage=storage or {},
    )
    if create.body is not None:
        _check_body_fits(upload, create.body.length, limits)
    return upload


def check_size(upload: Upload, body_length: int | None, limits: Limits) -> None:
    """Check a new upload once more, after the application has limited it.

    Raises:
        MaxSizeExceeded, UploadSizeExceeded
    """
    limits = limits.capped(upload.max_size)
    if upload.length is not None and upload.length > limits.size_ceiling:
        raise MaxSizeExceeded(limits.size_ceiling)
    _check_body_fits(upload, body_length, limits)


def plan_final(
    final: Upload,
    parts: Sequence[Upload],
    *,
    limits: Limits,
    capabilities: Capabilities,
    now: float,
) -> Upload:
    """Return the final upload with its length, as far as the parts know it.

    Raises:
        UploadNotFound: a part belongs to somebody else; that looks like one that is missing.
        UploadExpired, UploadFailed: a part has.
        InvalidConcat: a part is not a partial upload.
        UploadNotFinished: a part still misses bytes, and the server does not wait for them.
        MaxSizeExceeded: the parts together are above the limit.
    """
    for part in parts:
        if part.owner != final.owner:
            raise UploadNotFound
        plan_inspect(part, now=now)
        if not isinstance(part.kind, Partial):
            raise InvalidConcat("only partial uploads can be concatenated")
        if not part.complete and CONCATENATION_UNFINISHED not in capabilities:
            raise UploadNotFinished
    known = sum(part.length for part in parts if part.length is not None)
    limits = limits.capped(final.max_size)
    if known > limits.size_ceiling:
        raise MaxSizeExceeded(limits.size_ceiling)
    length = None if any(part.length is None for part in parts) else known
    expires_at = expiry_of(final.kind, limits, now, complete=length == 0)
    return replace(final, length=length, expires_at=expires_at)


def plan_join(final: Upload, parts: Sequence[Upload], *, limits: Limits) -> int | None:
    """Return how long the final upload will be, or None while one of them misses bytes.

    Raises:
        MaxSizeExceeded: parts whose length was not known before are too long together.
    """
    if not all(part.complete for part in parts):
        return None
    length = sum(part.offset for part in parts)
    limits = limits.capped(final.max_size)
    if length > limits.size_ceiling:
        raise MaxSizeExceeded(limits.size_ceiling)
    return length


def plan_append(append: Append, upload: Upload, *, limits: Limits, now: float) -> AppendPlan:
    """Decide a PATCH on the upload as it was when it was claimed.

    Raises:
        UploadExpired: 410.
        ModifyFinal: 403; concatenation: a PATCH against a final upload MUST be refused.
        MismatchedOffset: 409; core, PATCH: offsets MUST be equal.
        InvalidUploadLength: 400; creation-defer-length: the length MUST NOT change once set.
        MaxSizeExceeded, UploadSizeExceeded: 413, before a byte of the body is read.
    """
    if upload.expired(now):
        raise UploadExpired
    if isinstance(upload.kind, Final):
        raise ModifyFinal
    if append.offset != upload.offset:
        raise MismatchedOffset(offset=upload.offset)
    upload = _declare_length(upload, append.declared_length, limits)
    _check_body_fits(upload, append.body.length, limits)
    room = limits.room_of(upload)
    return AppendPlan(upload=upload, room=room, trailers=append.body.trailers)


def settle_append(
    plan: AppendPlan, stored: int, *, synced: int = 0, limits: Limits, now: float
) -> Upload:
    """Return the record after bytes up to `stored` have been kept, those to `synced` on disk."""
    upload, expires_at = plan.upload, plan.upload.expires_at
    complete = stored == upload.length
    # A PATCH without a byte must not keep an upload alive for ever (slow-drip attacks).
    if stored > upload.offset or (complete and not upload.finished):
        expires_at = expiry_of(upload.kind, limits, now, complete=complete, earlier=expires_at)
    return replace(upload, offset=stored, checkpoint=synced, expires_at=expires_at)


def settle_whole(  # noqa: PLR0913 - all that can be known from the start
    new: Upload,
    *,
    digests: Mapping[str, bytes],
    finished: bool,
    synced: bool,
    limits: Limits,
    now: float,
) -> Upload:
    """Return the record of a new upload whose bytes are all there before it is.

    Args:
        new: as it was planned.
        digests: of the bytes.
        finished: whether nothing else has to happen.
        synced: whether the bytes will be on disk when the record is.
    """
    length = new.length or 0
    return replace(
        new,
        offset=length,
        checkpoint=length if synced else 0,
        digests=digests,
        finished=finished,
        expires_at=expiry_of(new.kind, limits, now, complete=True, earlier=new.expires_at),
    )


def plan_inspect(upload: Upload, *, now: float) -> Upload:
    """Return the upload if it may be looked at.

    Raises:
        UploadFailed: 410; on HEAD, tus-js-client then begins a new upload, as it should.
        UploadExpired: 410; expiration: an expired upload SHOULD be answered with 404 or 410.
    """
    if upload.failed is not None:
        raise UploadFailed
    return plan_terminate(upload, now=now)


def plan_terminate(upload: Upload, *, now: float) -> Upload:
    """Return the upload if it may be removed.

    Raises:
        UploadExpired: 410.
    """
    if upload.expired(now):
        raise UploadExpired
    return upload


def plan_fetch(upload: Upload, *, now: float) -> Upload:
    """Return the upload if it can be downloaded.

    Raises:
        UploadExpired, UploadFailed: 410.
        IncompleteUpload: a 200 with half a file would look like the whole of it.
    """
    plan_inspect(upload, now=now)
    if not upload.complete:
        raise IncompleteUpload
    return upload


def too_long(upload: Upload, limits: Limits) -> MaxSizeExceeded | UploadSizeExceeded:
    """Return the error for bytes beyond the room of the upload."""
    if upload.length is not None:
        return UploadSizeExceeded()
    return MaxSizeExceeded(limits.capped(upload.max_size).size_ceiling)


def _declare_length(upload: Upload, declared: int | None, limits: Limits) -> Upload:
    if declared is None or declared == upload.length:  # clients repeat it (tusd#283)
        return upload
    if upload.length is not None:
        raise InvalidUploadLength("the length of an upload cannot change")
    limits = limits.capped(upload.max_size)
    if declared > limits.size_ceiling:
        raise MaxSizeExceeded(limits.size_ceiling)
    if declared < upload.offset:
        raise InvalidUploadLength("Upload-Length is below the offset of the upload")
    return replace(upload, length=declared)


def _check_body_fits(upload: Upload, body_length: int | None, limits: Limits) -> None:
    if body_length is not None and body_length > limits.room_of(upload):
        raise too_long(upload, limits)
