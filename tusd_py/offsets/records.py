"""The `.info` file: tusd's JSON, to the letter, and one key of ours that tusd ignores.

tusd's ``Offset`` is ours to use, since tusd itself takes the size of the data file instead:
it holds the checkpoint, the offset that counts after a power cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ..protocol.compact_json import dump_json
from ..protocol.errors import InvalidMetadata, UploadDamaged
from ..protocol.metadata import NO_METADATA, Metadata, format_metadata
from ..protocol.model import (
    PLACED_AT,
    Final,
    Kind,
    Partial,
    Upload,
    UploadId,
    Whole,
    parse_upload_id,
)
from ..protocol.quota import Quota

OUR_KEY = "TusdPy"
VERSION = 1

# What parsing runs into when a file is not what it should be.
_NONSENSE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidMetadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an `.info` file says.

    Attributes:
        upload: with `offset` equal to `checkpoint`; how far it really got, the data file tells.
        ours: whether this program wrote it; False for tusd's.
        boot: the kernel run in which it was written, or None when the size always counts.
        exact_at: the offset beyond which bytes do not count, see `Claim.save`.
        fence: of the claim under which it was written; None where the record is the claim.
    """

    upload: Upload
    ours: bool = True
    boot: str | None = None
    exact_at: int | None = None
    fence: int | None = None

    def offset_for(self, size: int, boot: str) -> int:
        """Return the offset that counts, given the size of the data file and the kernel run.

        While the kernel that wrote the record runs, every byte it was given is in the file or
        in its cache. After a power cut the tail of the file may be zeros (ext4) or gone.

        Raises:
            UploadDamaged: the data file lacks bytes that the record vouches for.
        """
        upload = self.upload
        if upload.finished and self.ours:
            return self._vouched_for(upload.length or 0, size)
        if isinstance(upload.kind, Final) and self.ours and PLACED_AT not in upload.storage:
            return 0  # its parts are not joined yet
        if self.boot is not None and self.boot != boot:
            return self._vouched_for(upload.checkpoint, size)
        counted = size if self.exact_at is None else min(size, self.exact_at)
        self._vouched_for(upload.checkpoint, size)
        return counted if upload.length is None else min(counted, upload.length)

    def _vouched_for(self, offset: int, size: int) -> int:
        if size < offset:
            raise UploadDamaged
        return offset


def format_record(record: Record) -> bytes:
    """Return the file's content: one line, keys in the order in which tusd writes them."""
    upload = record.upload
    kind = upload.kind
    rare = {
        "MaxSize": upload.max_size,
        "Types": upload.types,
        "Digests": {name: value.hex() for name, value in upload.digests.items()} or None,
        "Failed": upload.failed,
        "Quota": None if upload.quota is None else asdict(upload.quota),
        "BytesPerSecond": upload.bytes_per_second,
        "Fence": record.fence,
    }
    fields = {
        "ID": upload.id,
        "Size": upload.length or 0,
        "SizeIsDeferred": upload.length is None,
        "Offset": upload.checkpoint,
        "MetaData": _readable(upload.metadata),
        "IsPartial": isinstance(kind, Partial),
        "IsFinal": isinstance(kind, Final),
        "PartialUploads": list(kind.parts) if isinstance(kind, Final) else None,
        "Storage": dict(upload.storage),
        OUR_KEY: {
            "Version": VERSION,
            "Boot": record.boot,
            "ExactAt": record.exact_at,
            "UploadMetadata": upload.metadata.header,
            "UploadConcat": kind.header if isinstance(kind, Final) else None,
            "CreatedAt": upload.created_at,
            "ExpiresAt": upload.expires_at,
            "Owner": upload.owner,
            "Finished": upload.finished,
            **{key: value for key, value in rare.items() if value is not None},
        },
    }
    return dump_json(fields)


@lru_cache(maxsize=256)  # a PATCH mostly finds the record as the one before it left it
def parse_record(content: bytes) -> Record:
    """Parse tusd's records and ours.

    Raises:
        UploadDamaged: it is torn, empty or says things that cannot be; the file is left alone.
    """
    try:
        return _parse(json.loads(content))
    except _NONSENSE as error:
        raise UploadDamaged("the record of this upload cannot be read") from error


def _parse(fields: Mapping[str, Any]) -> Record:
    ours = fields.get(OUR_KEY)
    own: Mapping[str, Any] = ours or {}
    if own.get("Version", VERSION) != VERSION:
        raise ValueError("a later version wrote this record")
    length = None if fields.get("SizeIsDeferred") else _size(fields["Size"])
    checkpoint = _size(fields["Offset"]) if ours else 0
    if length is not None and checkpoint > length:
        raise ValueError("more bytes than there can be")
    upload = Upload(
        id=_id(fields["ID"]),
        length=length,
        offset=checkpoint,
        checkpoint=checkpoint,
        metadata=_metadata(fields, own),
        kind=_kind(fields, own),
        created_at=_time(own.get("CreatedAt")),
        expires_at=_time(own.get("ExpiresAt")),
        owner=_text(own.get("Owner")),
        finished=bool(own.get("Finished", False)),
        storage={key: _text(value) or "" for key, value in (fields.get("Storage") or {}).items()},
        max_size=_size_or_none(own.get("MaxSize")),
        types=_types(own.get("Types")),
        digests={name: bytes.fromhex(text) for name, text in (own.get("Digests") or {}).items()},
        failed=_text(own.get("Failed")),
        quota=_quota(own.get("Quota")),
        bytes_per_second=_size_or_none(own.get("BytesPerSecond")),
    )
    return Record(
        upload=upload,
        ours=ours is not None,
        boot=_text(own.get("Boot")),
        exact_at=_size_or_none(own.get("ExactAt")),
        fence=_size_or_none(own.get("Fence")),
    )


def _readable(metadata: Metadata) -> dict[str, str]:
    """Metadata as tusd and hooks see it: text, sorted by key as Go does it."""
    return {k: v.decode(errors="replace") for k, v in sorted(metadata.pairs.items())}


def _metadata(fields: Mapping[str, Any], own: Mapping[str, Any]) -> Metadata:
    if (header := _text(own.get("UploadMetadata"))) is not None:
        return Metadata(header)
    pairs = fields.get("MetaData")
    if not pairs or own:
        return NO_METADATA
    return format_metadata({key: value.encode() for key, value in pairs.items()})


def _kind(fields: Mapping[str, Any], own: Mapping[str, Any]) -> Kind:
    if fields.get("IsPartial"):
        return Partial()
    if fields.get("IsFinal"):
        parts = tuple(_id(part) for part in fields.get("PartialUploads") or ())
        return Final(parts=parts, header=_text(own.get("UploadConcat")))
    return Whole()


def _id(text: str) -> UploadId:
    upload_id = parse_upload_id(text)
    if upload_id is None:
        raise ValueError("not an upload id")
    return upload_id


def _size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a size")
    return value


def _size_or_none(value: object) -> int | None:
    return None if value is None else _size(value)


def _types(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(glob, str) for glob in value):
        raise ValueError("not a list of types")
    return tuple(value)


def _quota(value: object) -> Quota | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("not a quota")  # noqa: TRY004 - as all that is wrong in a record
    return Quota(**{name: _size_or_none(limit) for name, limit in value.items()})


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _time(value: object) -> float | None:
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise ValueError("not a time")
    return value
