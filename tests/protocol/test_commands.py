"""Commands and outcomes are plain values."""

from __future__ import annotations

import pytest

from tusd_py.protocol.commands import Append, BodyHead, Discover, Terminate
from tusd_py.protocol.model import UploadId

ID = UploadId("x")


def test_commands_compare_by_what_they_say() -> None:
    """Two requests that ask for the same are the same command."""
    one = Append(id=ID, offset=0, declared_length=None, body=BodyHead(length=5))
    assert one == Append(id=ID, offset=0, declared_length=None, body=BodyHead(length=5))
    assert one != Append(id=ID, offset=0, declared_length=None, body=BodyHead(length=None))
    assert Discover() == Discover()
    assert Terminate(id=ID) != Terminate(id=UploadId("y"))


def test_a_body_is_unverified_unless_it_says_otherwise() -> None:
    """A body comes without a checksum, and what is said of it cannot be changed."""
    body = BodyHead(length=None)
    assert body.checksum is None
    with pytest.raises(AttributeError):
        body.length = 5  # type: ignore[misc]
