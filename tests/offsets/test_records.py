"""The `.info` file: tusd's JSON and one key of ours."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.offsets.records import OUR_KEY, VERSION, Record, format_record, parse_record
from tusd_py.protocol.errors import UploadDamaged
from tusd_py.protocol.metadata import Metadata, parse_metadata
from tusd_py.protocol.model import LARGEST_SIZE, Final, Partial, Upload, UploadId, Whole
from tusd_py.protocol.quota import Quota

ID = UploadId("0123456789abcdef0123456789abcdef")
STORAGE = {"InfoPath": f"/up/{ID}.info", "Path": f"/up/{ID}", "Type": "filestore"}
TUSD: dict[str, Any] = {
    "ID": ID,
    "Size": 10,
    "SizeIsDeferred": False,
    "Offset": 0,
    "MetaData": {"filename": "größe <&>.txt", "type": "text/plain"},
    "IsPartial": False,
    "IsFinal": False,
    "PartialUploads": None,
    "Storage": STORAGE,
}
WHOLE = Upload(id=ID, length=10, storage=STORAGE)


def encode(**changes: object) -> bytes:
    """A record as tusd writes it, with changes."""
    return json.dumps({**TUSD, **changes}).encode()


def encode_ours(**changes: object) -> bytes:
    """A record as we write it, with changes to our own key."""
    return encode(**{OUR_KEY: {"Version": VERSION, **changes}})


# --- what we write


def test_the_keys_come_in_the_order_of_tusd() -> None:
    """One line; tusd's nine keys in Go's order, and then ours."""
    content = format_record(Record(upload=WHOLE, boot="b"))
    assert b"\n" not in content
    assert list(json.loads(content)) == [*TUSD, OUR_KEY]


def test_a_record_to_the_letter() -> None:
    """The format is fixed: a file written today is read by every later version."""
    upload = Upload(
        id=UploadId("abc"),
        length=7,
        offset=5,
        checkpoint=3,
        metadata=parse_metadata("name Z3LDtsOfZQ==,a"),
        created_at=1.5,
        storage={"Path": "/up/abc", "Type": "filestore"},
    )
    assert format_record(Record(upload=upload, boot="kernel-1", exact_at=5)) == (
        rb'{"ID":"abc","Size":7,"SizeIsDeferred":false,"Offset":3,'
        rb'"MetaData":{"a":"","name":"gr\u00f6\u00dfe"},"IsPartial":false,"IsFinal":false,'
        rb'"PartialUploads":null,"Storage":{"Path":"/up/abc","Type":"filestore"},'
        rb'"TusdPy":{"Version":1,"Boot":"kernel-1","ExactAt":5,'
        rb'"UploadMetadata":"name Z3LDtsOfZQ==,a","UploadConcat":null,"CreatedAt":1.5,'
        rb'"ExpiresAt":null,"Owner":null,"Finished":false}}'
    )


def test_a_deferred_length_is_zero_and_says_so() -> None:
    """Tusd writes Size 0 and SizeIsDeferred; so do we."""
    fields = json.loads(format_record(Record(upload=replace(WHOLE, length=None))))
    assert (fields["Size"], fields["SizeIsDeferred"]) == (0, True)


def test_the_offset_on_disk_is_the_checkpoint() -> None:
    """What may be lost in a power cut is not vouched for."""
    upload = replace(WHOLE, offset=9, checkpoint=4)
    assert json.loads(format_record(Record(upload=upload)))["Offset"] == 4


def test_metadata_that_is_not_text_stays_readable() -> None:
    """MetaData is text as in tusd; the header keeps the bytes."""
    header = "raw " + base64.b64encode(b"\xff\xfe").decode()
    record = Record(upload=replace(WHOLE, metadata=parse_metadata(header)))
    content = format_record(record)
    assert json.loads(content)["MetaData"] == {"raw": "\ufffd\ufffd"}
    assert parse_record(content).upload.metadata.pairs == {"raw": b"\xff\xfe"}


_IDS = st.from_regex(r"[A-Za-z0-9_]{1,20}(/[A-Za-z0-9_]{1,20})?", fullmatch=True).map(UploadId)
_LIMITS = st.none() | st.integers(0, LARGEST_SIZE)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_TIMES = st.none() | st.floats(0, 1e11)
_METADATA = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.binary(max_size=20), max_size=4
).map(
    lambda pairs: parse_metadata(
        ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs.items())
        or None
    )
)
_KINDS = st.one_of(
    st.just(Whole()),
    st.just(Partial()),
    st.builds(Final, parts=st.lists(_IDS, min_size=1, max_size=3).map(tuple), header=_TEXT),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record that we may write; its offset is the checkpoint, as after reading."""
    length = draw(st.none() | st.integers(0, LARGEST_SIZE))
    checkpoint = draw(st.integers(0, LARGEST_SIZE if length is None else length))
    upload = Upload(
        id=draw(_IDS),
        length=length,
        offset=checkpoint,
        checkpoint=checkpoint,
        metadata=draw(_METADATA),
        kind=draw(_KINDS),
        created_at=draw(_TIMES),
        expires_at=draw(_TIMES),
        owner=draw(st.none() | _TEXT),
        finished=draw(st.booleans()),
        storage=draw(st.dictionaries(_TEXT, _TEXT, max_size=3)),
        max_size=draw(st.none() | st.integers(0, LARGEST_SIZE)),
        types=draw(st.none() | st.lists(_TEXT, max_size=3).map(tuple)),
        digests=draw(st.dictionaries(_TEXT, st.binary(max_size=8), max_size=2)),
        failed=draw(st.none() | _TEXT),
        quota=draw(st.none() | st.builds(Quota, open_uploads=_LIMITS, total_bytes=_LIMITS)),
        bytes_per_second=draw(_LIMITS),
    )
    return Record(
        upload=upload,
        boot=draw(st.none() | _TEXT),
        exact_at=draw(st.none() | st.integers(0, LARGEST_SIZE)),
    )


@given(records())
def test_what_is_written_is_read(record: Record) -> None:
    """Every record comes back as it was."""
    assert parse_record(format_record(record)) == record


# --- what tusd writes


def test_a_record_of_tusds() -> None:
    """All that tusd says is understood; offsets are left to the size of the data file."""
    record = parse_record(encode(Offset=7))
    assert not record.ours
    assert record.boot is None
    assert record.upload == Upload(
        id=ID, length=10, metadata=record.upload.metadata, storage=STORAGE
    )
    assert record.upload.metadata.text("filename") == "größe <&>.txt"
    assert record.upload.metadata.header == ("filename Z3LDtsOfZSA8Jj4udHh0,type dGV4dC9wbGFpbg==")


def test_tusds_escapes_are_understood() -> None:
    """Go writes <, > and & as escapes; they are the same characters."""
    content = encode().replace(b"<&>", rb"\u003c\u0026\u003e")
    assert parse_record(content).upload.metadata.text("filename") == "größe <&>.txt"


@pytest.mark.parametrize("empty", [None, {}])
def test_tusds_upload_without_metadata(empty: object) -> None:
    """A nil map and an empty one both mean no metadata."""
    assert parse_record(encode(MetaData=empty)).upload.metadata == Metadata()


def test_tusds_kinds() -> None:
    """Partial and final uploads are recognised; nobody knows the header any more."""
    assert parse_record(encode(IsPartial=True)).upload.kind == Partial()
    final = parse_record(encode(IsFinal=True, PartialUploads=["a", "b/c"])).upload.kind
    assert final == Final(parts=(UploadId("a"), UploadId("b/c")), header=None)


def test_tusds_deferred_length() -> None:
    """SizeIsDeferred means that the length is not known, whatever Size says."""
    assert parse_record(encode(Size=0, SizeIsDeferred=True)).upload.length is None


# --- what nobody should have written


@pytest.mark.parametrize("cut", range(0, len(encode_ours()), 17))
def test_a_torn_record_is_damage(cut: int) -> None:
    """A record that was cut short at any point is never half believed."""
    with pytest.raises(UploadDamaged):
        parse_record(encode_ours()[:cut])


FOREIGN = {
    "zeros after a power cut": bytes(300),
    "not text": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a number": b"12",
    "nested too deep": b"[" * 100_000,
    "another server's": b'{"id":"a","offset":0,"length":10}',
    "an id that is none": encode(ID="../../etc/passwd"),
    "no id": encode(ID=None),
    "a size below zero": encode(Size=-1),
    "a size with a fraction": encode(Size=1.5),
    "a size as text": encode(Size="10"),
    "a size as truth": encode(Size=True),
    "a storage that is text": encode(Storage="filestore"),
    "a path that is a number": encode(Storage={"Path": 5}),
    "metadata that is a list": encode(MetaData=["a"]),
    "metadata of numbers": encode(MetaData={"a": 1}),
    "parts that are none": encode(IsFinal=True, PartialUploads=[".."]),
    "our key as text": encode(**{OUR_KEY: "x"}),
    "a later version": encode_ours(Version=VERSION + 1),
    "a time as text": encode_ours(ExpiresAt="tomorrow"),
    "an owner as a number": encode_ours(Owner=1),
    "a boot as a number": encode_ours(Boot=1),
    "an exact offset as text": encode_ours(ExactAt="5"),
    "a header as a number": encode_ours(UploadMetadata=5),
    "a largest size as text": encode_ours(MaxSize="5"),
    "types that are one text": encode_ours(Types="video/*"),
    "a quota that is a list": encode_ours(Quota=[1]),
    "a quota with a name that is none": encode_ours(Quota={"open": 1}),
    "a quota that is less than nothing": encode_ours(Quota={"open_uploads": -1}),
    "types that are numbers": encode_ours(Types=[1]),
    "more bytes than the length": encode(Offset=11, **{OUR_KEY: {"Version": VERSION}}),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_nonsense_is_damage(content: bytes) -> None:
    """What cannot be is refused in one way, and never half believed."""
    with pytest.raises(UploadDamaged):
        parse_record(content)


# --- which offset counts


@pytest.mark.parametrize(
    ("record", "size", "counts"),
    [
        (Record(upload=WHOLE, boot="now"), 6, 6),
        (Record(upload=replace(WHOLE, checkpoint=4), boot="now"), 6, 6),
        (Record(upload=replace(WHOLE, checkpoint=4), boot="before"), 6, 4),
        (Record(upload=WHOLE, boot="before"), 6, 0),
        (Record(upload=WHOLE, boot=None), 6, 6),
        (Record(upload=WHOLE, boot="now", exact_at=2), 6, 2),
        (Record(upload=WHOLE, boot="now", exact_at=8), 6, 6),
        (Record(upload=WHOLE, boot="now"), 12, 10),
        (Record(upload=replace(WHOLE, length=None), boot="now"), 12, 12),
        (Record(upload=replace(WHOLE, finished=True), boot="before"), 10, 10),
        (Record(upload=replace(WHOLE, kind=Final(parts=(ID,))), boot="now"), 6, 0),
        (Record(upload=WHOLE, ours=False), 6, 6),
        (Record(upload=replace(WHOLE, kind=Final(parts=(ID,))), ours=False), 10, 10),
    ],
)
def test_the_offset_that_counts(record: Record, size: int, counts: int) -> None:
    """Sizes count while the kernel runs that wrote them, then checkpoints; see `Record`."""
    assert record.offset_for(size, "now") == counts


@pytest.mark.parametrize(
    ("record", "size"),
    [
        (Record(upload=replace(WHOLE, checkpoint=4), boot="now"), 3),
        (Record(upload=replace(WHOLE, checkpoint=4), boot="before"), 3),
        (Record(upload=replace(WHOLE, checkpoint=4), boot="now", exact_at=4), 3),
        (Record(upload=replace(WHOLE, finished=True), boot="now"), 9),
    ],
)
def test_missing_bytes_are_damage(record: Record, size: int) -> None:
    """A file that lacks bytes somebody was promised is not continued."""
    with pytest.raises(UploadDamaged):
        record.offset_for(size, "now")
