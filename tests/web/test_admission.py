"""Which connections are let in."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tusd_py.web.admission import Admission, most_connections


@pytest.fixture
def file_limit() -> Iterator[int]:
    """A limit of this process on open files, for as long as a test takes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_those_who_leave_make_room() -> None:
    """Of three connections two are let in, and the third when one of them has ended."""
    admission = Admission(2)
    assert [admission.enter(("1.2.3.4", n)) for n in range(3)] == [True, True, False]
    admission.leave(("1.2.3.4", 0))
    assert admission.enter(("1.2.3.4", 3))


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ("fe80::1%eth0", "fe80::2%eth1", "2001:db8::1"),
    ],
)
def test_an_address_has_its_own_limit(first: str, same: str, other: str) -> None:
    """Whoever has its share keeps nobody else out; all of an IPv6 /64 are one."""
    admission = Admission(100, 2)
    assert admission.enter((first, 1))
    assert admission.enter((same, 2))
    assert not admission.enter((same, 3))
    assert admission.enter((other, 4))
    admission.leave((first, 1))
    assert admission.enter((same, 5))


def test_clients_of_a_unix_socket_have_no_address() -> None:
    """They are counted in all, but not each."""
    admission = Admission(3, 1)
    assert [admission.enter("") for _ in range(4)] == [True, True, True, False]


def test_every_connection_can_have_its_files(file_limit: int) -> None:
    """By default so many are let in that each can have three more files."""
    most = most_connections()
    assert file_limit / 5 < most < file_limit / 4
