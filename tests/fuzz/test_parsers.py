"""The parsers of everything that comes from outside: any text is a value or a `TusError`."""

from __future__ import annotations

import base64
import binascii
import json
import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.offsets.records import Record, format_record, parse_record
from tusd_py.protocol.checksum import ALGORITHMS, parse_checksum
from tusd_py.protocol.concat import Place, parse_concat
from tusd_py.protocol.errors import (
    InvalidChecksum,
    InvalidConcat,
    InvalidMetadata,
    TusError,
    UploadDamaged,
    UploadNotFound,
)
from tusd_py.protocol.headers import parse_integer
from tusd_py.protocol.metadata import MAX_HEADER_BYTES, format_metadata, parse_metadata
from tusd_py.protocol.model import (
    LARGEST_SIZE,
    MAX_ID_LENGTH,
    Final,
    Partial,
    Upload,
    UploadId,
    Whole,
    parse_upload_id,
)

HERE = Place(origin="https://example.org", base_path="/files/")

# What the HTTP parser lets through: any text, and bytes beyond UTF-8 as lone surrogates.
ANY_TEXT = st.text(st.characters(), max_size=300)
DIGITS = st.text("0123456789+-_ .eEx\u0665\uff15\xb2\n", max_size=20)
PUNCTUATED = st.text("abAB019 ,;=+/-_.~:%\\\t\r\n\0\u202e\udcff", max_size=80)
IDS = st.from_regex(r"[a-z0-9]{1,32}(/[a-z0-9]{1,8})?", fullmatch=True).map(UploadId)
KEYS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=",="), min_size=1
)


# --- numbers


@given(ANY_TEXT | DIGITS)
def test_an_integer_is_what_the_grammar_says(text: str) -> None:
    """Independent of regular expressions: ASCII digits, no zero in front, no more than 15."""
    plain = bool(text) and all("0" <= c <= "9" for c in text)
    right = plain and len(text) <= 15 and (text == "0" or text[0] != "0")
    assert parse_integer(text) == (int(text) if right else None)


@given(st.integers(0, LARGEST_SIZE))
def test_every_size_is_read_back(number: int) -> None:
    """All numbers that we write are numbers that we read."""
    assert parse_integer(str(number)) == number


# --- ids


@given(ANY_TEXT | PUNCTUATED | IDS)
def test_an_id_never_leads_out_of_its_folder(text: str) -> None:
    """An accepted id is ASCII, has no dots in front, and names no side file."""
    upload_id = parse_upload_id(text)
    if upload_id is None:
        return
    assert upload_id == text
    assert text.isascii()
    assert text.isprintable()
    assert 0 < len(text) <= MAX_ID_LENGTH
    for segment in text.split("/"):
        assert segment
        assert not segment.startswith(".")
        assert not segment.endswith((".info", ".lock"))
        assert not set(segment) & set("\\%:,\0 ")


# --- metadata


@given(ANY_TEXT | PUNCTUATED)
def test_any_metadata_is_kept_or_refused(header: str) -> None:
    """What is accepted is kept to the letter, and decodes as the strict decoder says."""
    try:
        metadata = parse_metadata(header)
    except InvalidMetadata:
        return
    assert metadata.header == header
    items = [item.strip(" ") for item in header.split(",")] if header.strip(" ") else []
    assert [item.partition(" ")[0] for item in items] == list(metadata.pairs)
    for item in items:
        key, _, value = item.partition(" ")
        assert binascii.b2a_base64(metadata.pairs[key], newline=False) == value.encode()


@given(st.dictionaries(KEYS, st.binary(max_size=40), max_size=12))
def test_metadata_makes_the_round_trip(pairs: dict[str, bytes]) -> None:
    """All keys and all bytes come back, in order."""
    metadata = format_metadata(pairs)
    assert metadata.pairs == pairs
    assert parse_metadata(metadata.header).pairs == pairs


# --- checksums


@given(ANY_TEXT | PUNCTUATED | st.sampled_from(sorted(ALGORITHMS)).map(lambda name: name + " "))
def test_any_checksum_is_one_or_refused(header: str) -> None:
    """What is accepted is the one spelling of a digest of the right size."""
    try:
        checksum = parse_checksum(header)
    except InvalidChecksum:
        return
    value = base64.b64encode(checksum.expected).decode()
    assert header == f"{checksum.algorithm} {value}"


@given(st.sampled_from(sorted(ALGORITHMS)), st.binary(max_size=200), st.data())
def test_a_checksum_matches_its_bytes_alone(name: str, body: bytes, data: st.DataObject) -> None:
    """The right digest matches however the body is cut; that of other bytes does not."""
    whole = ALGORITHMS[name][0]()
    whole.update(body)
    checksum = parse_checksum(f"{name} {base64.b64encode(whole.digest()).decode()}")
    cut = data.draw(st.integers(0, len(body)))
    digest = checksum.new()
    digest.update(body[:cut])
    digest.update(memoryview(body)[cut:])
    assert checksum.matches(digest)
    digest.update(b"x")
    assert not checksum.matches(digest)


# --- concatenation


@given(ANY_TEXT | PUNCTUATED | PUNCTUATED.map(lambda text: "final;" + text))
def test_any_concatenation_is_one_or_refused(header: str) -> None:
    """Every part that is accepted is an id that was named, on this server."""
    try:
        kind = parse_concat(header, HERE, 1000)
    except (InvalidConcat, UploadNotFound):
        return
    if isinstance(kind, Final):
        assert kind.header == header
        references = header.removeprefix("final;").split(" ")
        for part, reference in zip(kind.parts, references, strict=True):
            assert parse_upload_id(part) == part
            assert reference.endswith(part)


@given(st.lists(IDS, min_size=1, max_size=20), st.data())
def test_parts_are_found_however_they_are_named(ids: list[UploadId], data: st.DataObject) -> None:
    """Absolute URL, path and relative reference name the same part, in the order given."""
    forms = st.sampled_from(["{}", "/files/{}", "https://example.org/files/{}"])
    header = "final;" + " ".join(data.draw(forms).format(part) for part in ids)
    assert parse_concat(header, HERE, 20) == Final(parts=tuple(ids), header=header)


# --- records

UPLOADS = st.builds(
    Upload,
    id=IDS,
    length=st.none() | st.integers(100, LARGEST_SIZE),
    checkpoint=st.integers(0, 100),
    metadata=st.dictionaries(KEYS, st.binary(max_size=20), max_size=4).map(format_metadata),
    kind=st.just(Whole())
    | st.just(Partial())
    | st.builds(Final, parts=st.lists(IDS, max_size=3).map(tuple), header=st.none() | PUNCTUATED),
    created_at=st.none() | st.floats(0, 1e11),
    expires_at=st.none() | st.floats(0, 1e11),
    owner=st.none() | ANY_TEXT.filter(lambda text: text.isprintable()),
    finished=st.booleans(),
    storage=st.dictionaries(st.sampled_from(["Path", "Type"]), st.text("abc/", max_size=9)),
).map(lambda upload: replace(upload, offset=upload.checkpoint))
RECORDS = st.builds(
    Record,
    upload=UPLOADS,
    boot=st.none() | st.text("0123456789abcdef-", max_size=36),
    exact_at=st.none() | st.integers(0, LARGEST_SIZE),
    fence=st.none() | st.integers(0, 2**53),
)


@given(RECORDS)
def test_a_record_makes_the_round_trip(record: Record) -> None:
    """All that is written is read back, and is the JSON that tusd would read."""
    content = format_record(record)
    assert parse_record(content) == record
    fields = json.loads(content)
    assert fields["ID"] == record.upload.id
    assert fields["SizeIsDeferred"] == (record.upload.length is None)


@given(RECORDS, st.data())
def test_a_torn_record_is_damage(record: Record, data: st.DataObject) -> None:
    """Cut anywhere, a record is damaged: never an upload of another length or offset."""
    content = format_record(record)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(UploadDamaged):
        parse_record(content[:cut])
    with pytest.raises(UploadDamaged):
        parse_record(content[:cut] + b"\0" * (len(content) - cut))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(RECORDS, st.data())
def test_a_record_with_other_values_is_read_or_damage(record: Record, data: st.DataObject) -> None:
    """Whatever stands in a field, nothing but `UploadDamaged` is raised, and ids stay ids."""
    fields = json.loads(format_record(record))
    place = data.draw(st.sampled_from([fields, fields["TusdPy"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    content = json.dumps(fields).encode()
    try:
        upload = parse_record(content).upload
    except UploadDamaged:
        return
    assert parse_upload_id(upload.id) == upload.id
    assert 0 <= upload.checkpoint == upload.offset
    assert upload.length is None or upload.length >= upload.offset
    if isinstance(upload.kind, Final):
        assert all(parse_upload_id(part) == part for part in upload.kind.parts)


@given(st.binary(max_size=200))
def test_any_bytes_are_no_record(content: bytes) -> None:
    """Random bytes are damage."""
    with suppress(UploadDamaged):
        parse_record(content)
        assert re.fullmatch(rb"\s*\{.*\}\s*", content, re.DOTALL)


# --- time


@pytest.mark.parametrize("unit", ["a", " ", ",", "a ", "a,", "=", "a/", "%2e", "0", ";", "a=="])
def test_long_nonsense_comes_to_an_end(unit: str) -> None:
    """A8h: a hundred times more of anything than a head can have is refused or taken.

    A parser that went back and forth over it would take longer than any test may.
    """
    text = unit * (100 * MAX_HEADER_BYTES // len(unit))
    for parse in (parse_integer, parse_upload_id, parse_metadata, parse_checksum):
        with suppress(TusError):
            parse(text)
    with suppress(TusError):
        parse_concat("final;" + text, HERE, 10**4)
