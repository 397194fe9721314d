"""Two threads store and hash what is unread, and neither of them gets ahead of the other."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.unread import Lying
from tusd_py.data.pipeline import Pipeline
from tusd_py.protocol.errors import InsufficientStorage

MIB = 1024 * 1024
Buffers = Sequence[bytes | memoryview]


class File:
    """Remembers what was written to it; full after so many bytes."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.content = bytearray()
        self._room = room

    def store(self, buffers: Buffers) -> None:
        """Write behind the end."""
        for buffer in buffers:
            if len(self.content) + len(buffer) > self._room:
                raise InsufficientStorage
            self.content += buffer


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 500_000, 2 * MIB, 9 * MIB + 1])
def test_all_is_stored_and_hashed_in_order(size: int, threads: int) -> None:
    """By two threads, or by one if there is no other, whatever the size."""
    content, file, digest = os.urandom(size), File(), hashlib.sha256()
    pipeline = Pipeline(file.store, digest, [b"first", b"ly"], Lying(content))
    with ThreadPoolExecutor(threads) as pool:
        for running in [pool.submit(pipeline.run) for _ in range(threads)]:
            running.result(20)
    assert bytes(file.content) == b"firstly" + content
    assert digest.digest() == hashlib.sha256(b"firstly" + content).digest()


def test_a_socket_that_is_empty_for_a_moment_ends_nothing() -> None:
    """While a piece is being hashed more of the body comes: it is taken in the same go."""

    class Flowing(Lying):
        def read_into(self, buffer: memoryview) -> int:
            if self.taken == 700_000 and not hashed.is_set():
                return 0  # all that has come by now
            return super().read_into(buffer)

    class Digest:
        def __init__(self) -> None:
            self.sha256 = hashlib.sha256()

        def update(self, data: bytes | bytearray | memoryview, /) -> None:
            self.sha256.update(data)
            hashed.set()

        def digest(self) -> bytes:
            return self.sha256.digest()

    hashed = threading.Event()
    content, file, digest = os.urandom(3 * MIB), File(), Digest()
    Pipeline(file.store, digest, (), Flowing(content, step=350_000)).run()
    assert bytes(file.content) == content
    assert digest.digest() == hashlib.sha256(content).digest()


def test_one_hashes_while_the_other_stores() -> None:
    """The hash of a piece waits for the storing of the next one, and does not do so in vain."""
    stored_more = threading.Event()

    class Waiting(File):
        def store(self, buffers: Buffers) -> None:
            super().store(buffers)
            if len(self.content) > 3 * MIB:
                stored_more.set()

    class Digest:
        def __init__(self) -> None:
            self.count = 0

        def update(self, data: bytes | bytearray | memoryview, /) -> None:
            assert stored_more.wait(10)
            self.count += len(data)

        def digest(self) -> bytes:
            raise NotImplementedError

    digest = Digest()
    pipeline = Pipeline(Waiting().store, digest, (), Lying(bytes(8 * MIB)))
    with ThreadPoolExecutor(2) as pool:
        for running in [pool.submit(pipeline.run) for _ in range(2)]:
            running.result(20)
    assert digest.count == 8 * MIB


def test_nothing_is_stored_behind_what_is_missing() -> None:
    """When the disk is full for one of them, the other one ends, too."""
    content, file = os.urandom(8 * MIB), File(room=5 * MIB)
    unread = Lying(content)
    pipeline = Pipeline(file.store, hashlib.sha256(), (), unread)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(pipeline.run) for _ in range(2)]
        failures = [run.exception(20) for run in runs]
    assert [type(failure) for failure in failures if failure] == [InsufficientStorage]
    assert content.startswith(bytes(file.content))
    assert len(file.content) <= 5 * MIB < 8 * MIB
    assert unread.taken < 8 * MIB
