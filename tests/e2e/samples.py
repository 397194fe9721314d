"""Files to upload: the same bytes in each run, which no compression or pattern can hide."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000
MIB = 1024 * 1024

VIDEO_BYTES = 79 * MB
_SEED = 20_240_079
_BLOCK_BYTES = MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A file, and what has to be found of it on the server."""

    path: Path
    size: int
    sha256: str

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return some of its bytes."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read((self.size if stop is None else stop) - start)


class Samples:
    """Makes samples, each once.

    Args:
        begin: what all of them begin with.
    """

    def __init__(self, folder: Path, *, begin: bytes = b"") -> None:
        self._folder = folder
        self._begin = begin
        self._made: dict[int, Sample] = {}

    def of(self, size: int) -> Sample:
        """Return a sample of that many bytes."""
        if size not in self._made:
            self._made[size] = self._make(size)
        return self._made[size]

    def remove(self) -> None:
        """Remove all files."""
        for sample in self._made.values():
            sample.path.unlink()

    def _make(self, size: int) -> Sample:
        chance = random.Random(_SEED)  # noqa: S311 - repeatable, not secret
        path = self._folder / f"video-{size}.mp4"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for start in range(0, size, _BLOCK_BYTES):
                block = chance.randbytes(min(_BLOCK_BYTES, size - start))
                if start == 0:
                    block = self._begin + block[len(self._begin) :]
                digest.update(block)
                file.write(block)
        return Sample(path=path, size=size, sha256=digest.hexdigest())
