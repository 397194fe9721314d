"""Two threads store and hash a body: one hashes a piece while the other stores the next one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..filesystem.bulk import own_buffer, read_some
from ..interfaces import Unread
from ..protocol.checksum import Digest

# The last pieces are smaller: while the very last one is hashed there is nothing to be stored.
_LEAST_BYTES = 512 * 1024


class Pipeline:
    """Takes what is unread, through the memory of two threads that take turns at both works.

    Args:
        store: writes behind what has been stored.
        digest: takes all of it, in its order.
        first: bytes that come before.
        unread: taken as far as it comes.
    """

    def __init__(
        self,
        store: Callable[[Sequence[bytes | memoryview]], None],
        digest: Digest,
        first: Sequence[bytes],
        unread: Unread,
    ) -> None:
        self._store = store
        self._digest = digest
        self._first = first
        self._unread = unread
        self._storing = threading.Lock()
        self._hashing = threading.Lock()
        self._over = False

    def run(self) -> None:
        """Work until no more comes; for each of two threads, or for one.

        Raises:
            TusError: `store` failed; the other one stores nothing behind that.
        """
        buffer = own_buffer()
        while pieces := self._store_next(buffer):
            try:
                for piece in pieces:
                    self._digest.update(piece)
            finally:
                self._hashing.release()

    def _store_next(self, buffer: memoryview) -> Sequence[bytes | memoryview]:
        """Return what has been stored, being the next one who may hash; nothing: it is over."""
        with self._storing:
            if self._over:
                return ()
            self._over = True  # unless this goes well
            first, self._first = self._first, ()
            if first:
                self._store(first)
            wanted = min(len(buffer), max(self._left // 2, _LEAST_BYTES))
            count = self._store_piece(buffer[:wanted])
            self._over = not (count and self._left)
            if not (count or first):
                return ()
            self._hashing.acquire()  # before the other one can
        return (*first, buffer[:count])

    @property
    def _left(self) -> int:
        return self._unread.most - self._unread.taken

    def _store_piece(self, buffer: memoryview) -> int:
        """Return how many bytes there were; fewer than fit, and no more come for now."""
        filled = 0
        while filled < len(buffer) and (count := read_some(self._unread, buffer[filled:])):
            self._store([buffer[filled : filled + count]])
            filled += count
        return filled
