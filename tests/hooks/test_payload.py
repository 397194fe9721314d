"""The JSON of hooks: tusd's to the letter, and a few keys more."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hooks import EVENT_ID, UPLOAD, event
from tusd_py.hooks.payload import HookError, format_payload, parse_reply
from tusd_py.interfaces import (
    HookReply,
    HookType,
    Operation,
    RequestInfo,
    ResponseChange,
    UploadLimits,
)
from tusd_py.protocol.metadata import Metadata, format_metadata
from tusd_py.protocol.model import Final, Partial, Upload, UploadId
from tusd_py.protocol.quota import Quota

# What tusd v2 writes into the standard input of a command, byte for byte.
TUSD_PRE_CREATE = (
    '{"Type":"pre-create","Event":{"Upload":{"ID":"","Size":5,"SizeIsDeferred":false,"Offset":0,'
    '"MetaData":{"bin":"\\ufffd","empty":"","filename":"x"},"IsPartial":false,"IsFinal":false,'
    '"PartialUploads":null,"Storage":null},"HTTPRequest":{"Method":"POST","URI":"/files/",'
    '"RemoteAddr":"127.0.0.1:55578","Header":{"Accept":["*/*"],"Host":["127.0.0.1:18443"],'
    '"Tus-Resumable":["1.0.0"],"Upload-Length":["5"],'
    '"Upload-Metadata":["filename eA==,empty,bin /w=="],"X-Foo2bar":["1"],'
    '"X-Multi":["a","b"]}}}}'
)
TUSD_PRE_FINISH = (
    '{"Type":"pre-finish","Event":{"Upload":{"ID":"1a8ce676b4054214cf3b7798f664cff6","Size":5,'
    '"SizeIsDeferred":false,"Offset":5,"MetaData":{"bin":"\ufffd","empty":"","filename":"x"},'
    '"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{'
    '"InfoPath":"/data/1a8ce676b4054214cf3b7798f664cff6.info",'
    '"Path":"/data/1a8ce676b4054214cf3b7798f664cff6","Type":"filestore"}},"HTTPRequest":{'
    '"Method":"PATCH","URI":"/files/1a8ce676b4054214cf3b7798f664cff6",'
    '"RemoteAddr":"127.0.0.1:55592","Header":{"Content-Length":["5"],'
    '"Content-Type":["application/offset+octet-stream"],"Upload-Offset":["0"]}}}}'
)
TUSD_DEFERRED = (
    '{"Type":"pre-create","Event":{"Upload":{"ID":"","Size":0,"SizeIsDeferred":true,"Offset":0,'
    '"MetaData":{},"IsPartial":true,"IsFinal":false,"PartialUploads":null,"Storage":null},'
    '"HTTPRequest":{"Method":"POST","URI":"/files/","RemoteAddr":"127.0.0.1:55610","Header":{'
    '"Upload-Concat":["partial"],"Upload-Defer-Length":["1"]}}}}'
)
ID = UploadId("1a8ce676b4054214cf3b7798f664cff6")
TOLD = Metadata("filename eA==,empty,bin /w==")
CASES = [
    (TUSD_PRE_CREATE, Upload(id=ID, length=5, metadata=TOLD, storage={"Path": "/no"})),
    (
        TUSD_PRE_FINISH,
        Upload(
            id=ID,
            length=5,
            offset=5,
            metadata=TOLD,
            storage={
                "InfoPath": f"/data/{ID}.info",
                "Path": f"/data/{ID}",
                "Type": "filestore",
            },
        ),
    ),
    (TUSD_DEFERRED, Upload(id=ID, length=None, kind=Partial())),
]


def sent(text: str) -> Any:
    """Parse a payload."""
    return json.loads(text)


@pytest.mark.parametrize(("tusd", "upload"), CASES)
def test_every_key_of_tusd_says_the_same(tusd: str, upload: Upload) -> None:
    """Where tusd has a key, ours has the same value; what is more are new keys only."""
    theirs = sent(tusd)
    asked = theirs["Event"]["HTTPRequest"]
    host, _, port = asked["RemoteAddr"].partition(":")
    request = RequestInfo(
        method=asked["Method"],
        uri=asked["URI"],
        remote=host,
        port=int(port),
        headers=asked["Header"],
    )
    ours = sent(format_payload(replace(event(HookType(theirs["Type"]), upload), request=request)))
    assert set(ours) == {"Type", "Event"}
    assert ours["Type"] == theirs["Type"]
    assert ours["Event"].pop("ID") == EVENT_ID
    assert ours["Event"].pop("Time") == "2023-11-14T22:13:20.250+00:00"
    assert ours["Event"].pop("Operation") is None
    assert ours["Event"].pop("Cause") is None
    assert ours["Event"]["Upload"].pop("Owner") is None
    assert ours["Event"]["Upload"].pop("Digests") == {}
    assert ours == theirs


def test_a_final_upload_names_its_parts() -> None:
    """PartialUploads are ids, in order."""
    upload = replace(UPLOAD, kind=Final(parts=(UploadId("a"), UploadId("b"))))
    told = sent(format_payload(event(upload=upload)))["Event"]["Upload"]
    assert (told["IsFinal"], told["IsPartial"], told["PartialUploads"]) == (True, False, ["a", "b"])


def test_what_is_ours_is_told_by_new_keys() -> None:
    """Owner, operation and cause; a moment that nobody knows is null."""
    asked = replace(event(HookType.PRE_ACCESS), operation=Operation.FETCH, at=None)
    fields = sent(format_payload(asked))["Event"]
    assert (fields["Operation"], fields["Time"], fields["Upload"]["Owner"]) == (
        *("fetch", None),
        "ann",
    )
    hashed = replace(UPLOAD, digests={"sha256": b"\x01\xff"})
    told = sent(format_payload(event(upload=hashed)))["Event"]["Upload"]
    assert told["Digests"] == {"sha256": "01ff"}
    ended = replace(event(HookType.POST_INTERRUPT), cause="ERR_UNEXPECTED_EOF")
    assert sent(format_payload(ended))["Event"]["Cause"] == "ERR_UNEXPECTED_EOF"


@pytest.mark.parametrize(
    ("remote", "port", "address"),
    [("::1", 80, "[::1]:80"), ("10.0.0.1", 5, "10.0.0.1:5"), ("", None, "@"), ("x", None, "x")],
)
def test_addresses_are_written_as_go_writes_them(
    remote: str, port: int | None, address: str
) -> None:
    """``ip:port``, with brackets around IPv6; a UNIX socket is ``@``."""
    request = RequestInfo(method="POST", uri="/", remote=remote, port=port, headers={})
    told = sent(format_payload(replace(event(), request=request)))
    assert told["Event"]["HTTPRequest"]["RemoteAddr"] == address


def test_what_nobody_asked_for_has_an_empty_request() -> None:
    """Nobody's receiver stumbles over null."""
    told = sent(format_payload(replace(event(HookType.POST_EXPIRE), request=None)))
    empty = {"Method": "", "URI": "", "RemoteAddr": "", "Header": {}}
    assert told["Event"]["HTTPRequest"] == empty


def test_bytes_that_are_no_text_are_replaced() -> None:
    """As with tusd: strict receivers would not read half a surrogate pair."""
    told = RequestInfo(
        method="POST", uri="/\udcff", remote="", headers={"X": ["caf\u00e9 \udce9\udcff"]}
    )
    asked = sent(format_payload(replace(event(), request=told)))["Event"]["HTTPRequest"]
    assert asked["Header"] == {"X": ["caf\u00e9 \ufffd\ufffd"]}
    assert asked["URI"] == "/\ufffd"


# --- replies


def reply_to(kind: HookType, **fields: Any) -> HookReply:
    """Parse a reply."""
    return parse_reply(kind, json.dumps(fields).encode())


def test_keys_are_read_in_any_case() -> None:
    """As Go reads them; names of headers and metadata stay as they are."""
    assert reply_to(
        HookType.PRE_CREATE,
        httpresponse={"STATUSCODE": 401, "body": "no", "hEADER": {"x-lower": "1"}},
        REJECTUPLOAD=True,
        changeFileInfo={"Id": "a", "metadata": {"Key": "v"}, "STORAGE": {"path": "p"}},
    ) == HookReply(
        reject=True,
        id="a",
        metadata={"Key": "v"},
        storage_path="p",
        response=ResponseChange(status=401, body="no", headers={"x-lower": "1"}),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"Headers":{"a":1},"Unknown":[1]}',
        b'{"HTTPResponse":null,"RejectUpload":null,"ChangeFileInfo":null}',
        b'{"HTTPResponse":{"StatusCode":0,"Body":"","Header":{}},"ChangeFileInfo":{"ID":""}}',
    ],
)
def test_unknown_keys_zeros_and_nulls_say_nothing(content: bytes) -> None:
    """Go's zero values change nothing."""
    assert parse_reply(HookType.PRE_CREATE, content) == HookReply()


def test_metadata_can_be_cleared() -> None:
    """Null keeps it, an empty object clears it."""
    assert reply_to(HookType.PRE_CREATE, ChangeFileInfo={"MetaData": None}).metadata is None
    assert reply_to(HookType.PRE_CREATE, ChangeFileInfo={"MetaData": {}}).metadata == {}


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (HookType.PRE_CREATE, "RejectTermination"),
        (HookType.PRE_CREATE, "RejectAccess"),
        (HookType.PRE_TERMINATE, "RejectUpload"),
        (HookType.PRE_ACCESS, "RejectUpload"),
    ],
)
def test_a_refusal_of_something_else_is_none(kind: HookType, key: str) -> None:
    """Each hook has its own word for it."""
    assert reply_to(kind, **{key: True}) == HookReply()


@pytest.mark.parametrize(
    "content",
    [
        # realistic
        *(b"", b"ok", b"null", b'"ok"', b"[]", b"<html>", b'{"RejectUpload":"yes"}'),
        *(b'{"HTTPResponse":{"StatusCode":"400"}}', b'{"HTTPResponse":[]}', b'{"a":1}{"a":1}'),
        b'{"HTTPResponse":{"Header":{"X-A":["1"]}}}',
        b'{"ChangeFileInfo":{"ID":5}}',
        # synthetic
        *(b"[" * 5000, b'{"a":' * 1000, b"\xff\xfe", b'{"RejectUpload":1}'),
        *(b'{"HTTPResponse":{"StatusCode":4e2}}', b'{"HTTPResponse":{"StatusCode":1.5}}'),
        b'{"ChangeFileInfo":{"MetaData":{"a":null}}}',
        b'{"HTTPResponse":{"Body":"\\ud800"}}',
    ],
)
def test_what_is_no_reply_is_a_failure(content: bytes) -> None:
    """Nothing that cannot be understood is taken for consent, and nothing of it is repeated."""
    with pytest.raises(HookError) as failure:
        parse_reply(HookType.PRE_CREATE, content)
    assert "yes" not in str(failure.value)


# --- whatever comes

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["HTTPResponse", "statuscode", "BODY", "Header", "RejectUpload", "id"])
            | st.sampled_from(["ChangeFileInfo", "MetaData", "Storage", "Path", "StopUpload"])
            | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_every_reply_is_understood_or_refused(content: bytes) -> None:
    """No reply ends in anything but a `HookReply` or a `HookError`."""
    with contextlib.suppress(HookError):
        assert isinstance(parse_reply(HookType.PRE_CREATE, content), HookReply)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.binary(), max_size=4),
    st.text(),
    st.sampled_from(HookType),
)
def test_every_payload_is_one_line_of_json(
    metadata: dict[str, bytes], value: str, kind: HookType
) -> None:
    """Whatever a client sent, it stays inside of its strings."""
    assert event().request is not None
    request = replace(event().request, headers={"X": [value]})  # type: ignore[type-var]
    upload = replace(UPLOAD, metadata=format_metadata(metadata))
    text = format_payload(replace(event(kind, upload), request=request))
    assert text.isascii()
    assert "\n" not in text
    told = sent(text)["Event"]
    assert told["HTTPRequest"]["Header"] == {"X": [value]}
    assert told["Upload"]["MetaData"] == {
        k: v.decode(errors="replace") for k, v in metadata.items()
    }


def test_limits_for_an_upload_and_its_owner() -> None:
    """Keys of ours, all of them optional."""
    reply = parse_reply(
        HookType.PRE_CREATE,
        b'{"Limits":{"MaxSize":5,"BytesPerSecond":7,"OwnerOpenUploads":0,"OwnerTotalBytes":9,'
        b'"OwnerUploadsPerMinute":3,"OwnerBytesPerSecond":8}}',
    )
    assert reply == HookReply(
        limits=UploadLimits(
            max_size=5,
            bytes_per_second=7,
            quota=Quota(open_uploads=0, total_bytes=9, uploads_per_minute=3, bytes_per_second=8),
        )
    )
    some = parse_reply(HookType.PRE_CREATE, b'{"limits":{"maxsize":5,"BytesPerSecond":null}}')
    assert some == HookReply(limits=UploadLimits(max_size=5))


@pytest.mark.parametrize("limits", ['"x"', '{"MaxSize":-1}', '{"BytesPerSecond":0}'])
def test_limits_that_are_none(limits: str) -> None:
    """A hook that means a limit and does not say which is at fault."""
    with pytest.raises(HookError):
        parse_reply(HookType.PRE_CREATE, f'{{"Limits":{limits}}}'.encode())
