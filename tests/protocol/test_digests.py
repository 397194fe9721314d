"""Digests of whole files: what clients may declare, and what they are told."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

from tusd_py.protocol.digests import (
    FILE_ALGORITHMS,
    DigestRules,
    format_repr_digest,
    parse_digest_keys,
)
from tusd_py.protocol.errors import InvalidMetadata
from tusd_py.protocol.metadata import format_metadata
from tusd_py.protocol.model import Kind, Partial, Upload, UploadId, Whole

SHA = hashlib.sha256(b"abc").digest()
MD5 = hashlib.md5(b"abc", usedforsecurity=False).digest()
WHOLE = Whole()
RULES = DigestRules(
    algorithms=("sha512",), keys={"sha256": "sha256", "x-md5": "md5", "checksum": None}
)


def declaring(*, kind: Kind = WHOLE, **pairs: str | bytes) -> Upload:
    """An upload with such metadata; underscores stand for hyphens."""
    values = {
        key.replace("_", "-"): value if isinstance(value, bytes) else value.encode()
        for key, value in pairs.items()
    }
    return Upload(id=UploadId("a"), length=3, metadata=format_metadata(values), kind=kind)


@pytest.mark.parametrize("value", [SHA.hex(), SHA.hex().upper(), base64.b64encode(SHA).decode()])
def test_hexadecimal_and_base64_are_read(value: str) -> None:
    """What sha256sum prints, and what browsers compute."""
    assert RULES.declared(declaring(sha256=value)) == {"sha256": SHA}
    assert RULES.declared(declaring(checksum=f"sha256 {value}")) == {"sha256": SHA}
    assert RULES.declared(declaring(checksum=f"SHA256:{value}")) == {"sha256": SHA}


@pytest.mark.parametrize("value", ["", "null", "undefined", " "])
def test_what_javascript_makes_of_nothing_is_nothing(value: str) -> None:
    """Clients turn a missing value into text."""
    assert RULES.declared(declaring(sha256=value, filename="x")) == {}


@pytest.mark.parametrize(
    "pairs",
    [
        {"sha256": "abc"},
        {"sha256": MD5.hex()},
        {"sha256": SHA.hex() + "0"},
        {"sha256": b"\xff\xfe"},
        {"sha256": "é" * 64},
        {"checksum": SHA.hex()},
        {"checksum": f"sha257 {SHA.hex()}"},
        {"sha256": SHA.hex(), "checksum": "sha256 " + hashlib.sha256(b"x").hexdigest()},
    ],
)
def test_nonsense_is_refused(pairs: dict[str, Any]) -> None:
    """400 names the key or says nothing of what was sent."""
    with pytest.raises(InvalidMetadata) as caught:
        RULES.declared(declaring(**pairs))
    assert re.fullmatch(r"ERR_INVALID_METADATA: [ -~]{10,110}\n", caught.value.text)
    assert RULES.needed(declaring(**pairs)) == {"sha512"}
    assert RULES.are_as_declared(declaring(**pairs), {})


def test_what_is_needed_is_what_is_wanted_and_what_is_declared() -> None:
    """Nothing is hashed twice, and of a part of a file nothing at all."""
    declared = declaring(sha256=SHA.hex(), x_md5=MD5.hex())
    assert RULES.needed(declared) == {"sha512", "sha256", "md5"}
    assert RULES.needed(declaring()) == {"sha512"}
    assert RULES.needed(declaring(kind=Partial(), sha256=SHA.hex())) == frozenset()
    assert DigestRules().needed(declared) == frozenset()


def test_every_digest_that_is_declared_has_to_fit() -> None:
    """One that differs is enough."""
    upload = declaring(sha256=SHA.hex(), x_md5=MD5.hex())
    assert RULES.are_as_declared(upload, {"sha256": SHA, "md5": MD5})
    assert not RULES.are_as_declared(upload, {"sha256": SHA, "md5": bytes(16)})


def test_repr_digest_has_registered_algorithms_only() -> None:
    """The form of RFC 9530; md5 and sha1 are not for use against anybody."""
    digests = {"md5": MD5, "sha256": SHA, "sha512": hashlib.sha512(b"abc").digest()}
    members = (format_repr_digest(digests) or "").split(", ")
    assert members[0] == "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"
    assert [member.partition("=")[0] for member in members] == ["sha-256", "sha-512"]
    assert format_repr_digest({"md5": MD5}) is None
    assert format_repr_digest({}) is None


def test_keys_are_parsed() -> None:
    """A key is an algorithm, is given one, or leaves it to the value."""
    parsed = parse_digest_keys(["sha256", "x-hash=sha512", "checksum"])
    assert parsed == {"sha256": "sha256", "x-hash": "sha512", "checksum": None}
    with pytest.raises(ValueError, match="sha256"):
        parse_digest_keys(["x=sha257"])


@pytest.mark.parametrize("name", FILE_ALGORITHMS)
def test_sizes_are_right(name: str) -> None:
    """What is compared with what a client declares has the length that is expected of that."""
    make, size = FILE_ALGORITHMS[name]
    assert len(make().digest()) == size
