"""The tus 1.0.0 dialect: request heads that are refused, and with which error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tusd_py.protocol.errors import (
    AmbiguousUploadLength,
    ConcatenationUnsupported,
    InvalidChecksum,
    InvalidConcat,
    InvalidContentType,
    InvalidDeferLength,
    InvalidMetadata,
    InvalidOffset,
    InvalidUploadLength,
    MaxSizeExceeded,
    MethodNotAllowed,
    NotImplementedByServer,
    TusError,
    UnsupportedEncoding,
    UnsupportedVersion,
    UploadNotFound,
)
from tusd_py.protocol.tus1 import CONTENT_TYPE, RequestHead, Tus1

from .heads import (
    AT_0,
    BARE,
    FULL,
    PATCH,
    SHA1_LINE,
    TRAILER,
    TYPE,
    Field,
    V,
    head,
)

POST = ("POST", None)
LENGTH = ("Upload-Length", "5")

REFUSED = [
    # realistic
    (head(*POST, LENGTH), UnsupportedVersion),
    (head("PATCH", "x", TYPE, AT_0), UnsupportedVersion),
    (head("DELETE", "x"), UnsupportedVersion),
    (head("HEAD", "x", ("Tus-Resumable", "0.2.2")), UnsupportedVersion),
    (head(*POST, V), InvalidUploadLength),
    (head(*POST, V, ("Upload-Length", "-1")), InvalidUploadLength),
    (head(*POST, V, LENGTH, ("Upload-Defer-Length", "1")), AmbiguousUploadLength),
    (head(*POST, V, ("Upload-Defer-Length", "true")), InvalidDeferLength),
    (head(*POST, V, LENGTH, ("Upload-Metadata", "a a")), InvalidMetadata),
    (head(*POST, V, LENGTH, ("Upload-Concat", "whole")), InvalidConcat),
    (head(*POST, V, LENGTH, ("Content-Encoding", "gzip")), UnsupportedEncoding),
    (head(*POST, V, LENGTH, ("Upload-Concat", "final;/files/a")), InvalidConcat),
    (head("PATCH", "x", V, AT_0), InvalidContentType),
    (head("PATCH", "x", V, AT_0, ("Content-Type", "text/plain")), InvalidContentType),
    (head("PATCH", "x", V, TYPE), InvalidOffset),
    (head("PATCH", "x", V, TYPE, ("Upload-Offset", "-1")), InvalidOffset),
    (head("PATCH", "x", *PATCH, ("Upload-Length", "a")), InvalidUploadLength),
    (head("PATCH", "x", *PATCH, ("Content-Encoding", "br")), UnsupportedEncoding),
    (head("PATCH", "x", *PATCH, ("Upload-Checksum", "sha3 AAAA")), InvalidChecksum),
    (head("PATCH", "..", *PATCH), UploadNotFound),
    (head("HEAD", "a/"), UploadNotFound),
    (head("GET", "%"), UploadNotFound),
    (head("DELETE", ".x", V), UploadNotFound),
    # synthetic
    (head(*POST, ("Tus-Resumable", "1.0"), LENGTH), UnsupportedVersion),
    (head(*POST, ("Tus-Resumable", ""), LENGTH), UnsupportedVersion),
    (head(*POST, V, V, LENGTH), UnsupportedVersion),
    (head("HEAD", "x", V, V), UnsupportedVersion),
    (head(*POST, V, LENGTH, LENGTH), InvalidUploadLength),
    (head(*POST, V, ("Upload-Length", "1000000000000000")), MaxSizeExceeded),
    (head(*POST, V, ("Upload-Defer-Length", "0")), InvalidDeferLength),
    (head(*POST, V, *[("Upload-Defer-Length", "1")] * 2), InvalidDeferLength),
    (head(*POST, V, LENGTH, *[("Upload-Metadata", "a")] * 2), InvalidMetadata),
    (head(*POST, V, LENGTH, *[("Upload-Concat", "partial")] * 2), InvalidConcat),
    (head(*POST, V, ("Upload-Concat", "final;/files/a"), TYPE, body_length=1), InvalidConcat),
    (
        head(*POST, V, ("Upload-Concat", "final;/files/a"), ("Upload-Defer-Length", "1")),
        InvalidConcat,
    ),
    (head(*POST, V, ("Upload-Concat", "final;/files/a.info")), UploadNotFound),
    (
        head(*POST, V, LENGTH, TYPE, ("Upload-Checksum", "sha1 AAAA"), body_length=5),
        InvalidChecksum,
    ),
    (head("PATCH", "x", V, AT_0, TYPE, TYPE), InvalidContentType),
    (
        head("PATCH", "x", V, AT_0, ("Content-Type", CONTENT_TYPE + "; charset=utf-8")),
        InvalidContentType,
    ),
    (head("PATCH", "x", *PATCH, AT_0), InvalidOffset),
    (head("PATCH", "x", *PATCH, LENGTH, LENGTH), InvalidUploadLength),
    (head("PATCH", "x", *PATCH, ("Upload-Length", "9" * 16)), MaxSizeExceeded),
    (
        head("PATCH", "x", *PATCH, *[("Upload-Checksum", SHA1_LINE)] * 2),
        InvalidChecksum,
    ),
    (
        head("PATCH", "x", *PATCH, TRAILER, ("Upload-Checksum", SHA1_LINE), body_length=None),
        InvalidChecksum,
    ),
    (head("PATCH", "x", *PATCH, TRAILER, body_length=5), InvalidChecksum),
    # pathological
    (head("PATCH", "x", V, TYPE, ("Upload-Offset", "\u0665")), InvalidOffset),
    (head("PATCH", "x", V, TYPE, ("Upload-Offset", "9" * 5000)), InvalidOffset),
    (head(*POST, V, ("Upload-Length", "9" * 5000)), MaxSizeExceeded),
    (head(*POST, ("Tus-Resumable", "1.0.0\udcff"), LENGTH), UnsupportedVersion),
]


@pytest.mark.parametrize(("request_head", "error"), REFUSED)
def test_a_malformed_head_is_refused(request_head: RequestHead, error: type[TusError]) -> None:
    """What the head gets wrong is said before anything has been looked up."""
    with pytest.raises(error):
        FULL.parse(request_head)


@pytest.mark.parametrize(
    ("request_head", "error"),
    [
        (head(*POST, V, ("Upload-Defer-Length", "1")), NotImplementedByServer),
        (head(*POST, V, LENGTH, ("Upload-Concat", "partial")), ConcatenationUnsupported),
        (head("DELETE", "x", V), MethodNotAllowed),
        (head("PATCH", "x", *PATCH, TRAILER, body_length=None), InvalidChecksum),
    ],
)
def test_an_extension_that_is_off_is_refused(
    request_head: RequestHead, error: type[TusError]
) -> None:
    """What the server does not announce it does not do."""
    with pytest.raises(error):
        BARE.parse(request_head)


@pytest.mark.parametrize(
    ("dialect", "method", "target", "allowed"),
    [
        (FULL, "GET", None, "POST, OPTIONS"),
        (FULL, "HEAD", None, "POST, OPTIONS"),
        (FULL, "PATCH", None, "POST, OPTIONS"),
        (FULL, "DELETE", None, "POST, OPTIONS"),
        (FULL, "POST", "x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (FULL, "PUT", "x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (FULL, "patch", "x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (BARE, "DELETE", "x", "GET, HEAD, PATCH, OPTIONS"),
    ],
)
def test_a_method_that_is_not_allowed_is_told_the_others(
    dialect: Tus1, method: str, target: str | None, allowed: str
) -> None:
    """The 405 lists what the URL does take."""
    with pytest.raises(MethodNotAllowed) as refused:
        dialect.parse(head(method, target, V))
    assert refused.value.headers == {"Allow": allowed}


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Tus-Resumable", "Upload-Length", "Upload-Defer-Length", "Upload-Offset"),
                *("Upload-Metadata", "Upload-Concat", "Upload-Checksum", "Content-Type"),
                *("Content-Encoding", "Trailer"),
            ]
        ),
        st.text()
        | st.sampled_from(["1.0.0", "0", "1", CONTENT_TYPE, SHA1_LINE, "final;x", "partial"]),
    ),
    max_size=8,
)


@given(
    st.sampled_from(["POST", "PATCH", "HEAD", "DELETE", "GET", "OPTIONS", "PUT"]),
    st.none() | st.just("x") | st.text(),
    FIELDS,
    st.none() | st.integers(min_value=0),
)
def test_any_head_is_a_command_or_refused(
    method: str, target: str | None, fields: list[Field], body_length: int | None
) -> None:
    """Nothing but a TusError is ever raised, and never one that is our own fault."""
    versions = [V] if fields and fields[0][1] != "1.0.0" else []
    try:
        FULL.parse(head(method, target, *versions, *fields, body_length=body_length))
    except TusError as refused:
        status = refused.status
    else:
        status = 200
    assert status < 500
