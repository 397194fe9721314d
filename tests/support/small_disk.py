"""A disk so small that a test can fill it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PIECE_BYTES = 4096


class SmallDisk:
    """A mounted file system.

    Args:
        path: where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while file.write(bytes(_PIECE_BYTES)) == _PIECE_BYTES:
                pass

    def change(self, options: str) -> None:
        """Mount it anew with other options."""
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True)

    def free(self) -> None:
        """Undo that."""
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(path: Path, size_bytes: int, *, files: int = 0) -> Iterator[SmallDisk]:
    """Mount a disk for the length of the context; only root can.

    Args:
        files: how many files and folders fit on it; 0: any number.
    """
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},nr_inodes={files}"]
    subprocess.run([*command, "tmpfs", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)
