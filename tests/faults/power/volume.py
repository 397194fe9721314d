"""A file system of its own that can lose its power, and the kernel run that ends with it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
import uuid
from pathlib import Path
from typing import Final

# _IOR('X', 125, __u32) of ext4 and XFS, with the flag that not even the journal is flushed.
_GOINGDOWN: Final = 0x8004587D
_NOLOGFLUSH: Final = struct.pack("I", 2)
_IMAGE_BYTES: Final = 512 * 1024 * 1024
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

_MAKE: Final = {
    "ext4": (["mkfs.ext4", "-qF"], []),
    "ext4-writeback": (["mkfs.ext4", "-qF"], ["data=writeback", "nodelalloc"]),
    "xfs": (["mkfs.xfs", "-q"], []),
}
FILE_SYSTEMS: Final = tuple(_MAKE)

_libc = ctypes.CDLL(None, use_errno=True)


class Volume:
    """A mounted image in memory. Only for a process in a mount namespace of its own.

    Whatever happens to that process, its mounts and loop devices end with the namespace.

    Args:
        kind: one of `FILE_SYSTEMS`.
        folder: an empty one.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._make, options = _MAKE[kind]
        self._options = ",".join(["loop", *options])
        memory = folder / "memory"
        memory.mkdir()
        _run("mount", "-t", "tmpfs", "tmpfs", str(memory))
        self._image = memory / "image"
        self._boot_id = memory / "boot_id"
        self.root = folder / "disk"
        self.root.mkdir()
        self.memory = memory
        self.cut_already = False
        self._new_boot()
        _run("mount", "--bind", str(self._boot_id), _BOOT_ID)

    def make(self) -> None:
        """Make a new file system and mount it."""
        with self._image.open("wb") as image:
            image.truncate(_IMAGE_BYTES)
        _run(*self._make, str(self._image))
        self._mount()

    def cut(self) -> None:
        """Cut the power: what is not on disk by now never will be. Once is enough."""
        if self.cut_already:
            return
        self.cut_already = True
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _GOINGDOWN, _NOLOGFLUSH)
        finally:
            os.close(fd)

    def come_back(self) -> None:
        """Mount what is left, as another run of the kernel would. No file may be open there."""
        self.unmount()
        self._new_boot()
        self._mount()

    def unmount(self) -> None:
        """Unmount it, in order if the power was not cut."""
        _run("umount", str(self.root))

    def write_back(self) -> None:
        """Have the kernel write everything to disk, as it does from time to time."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _libc.syncfs(fd)
        finally:
            os.close(fd)

    def sync_neighbour(self) -> None:
        """Have somebody else sync a file, which takes the journal along but not all data."""
        fd = os.open(self.root / "neighbour", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(fd, os.urandom(100))
            os.fsync(fd)
        finally:
            os.close(fd)

    def _mount(self) -> None:
        _run("mount", "-o", self._options, str(self._image), str(self.root))
        self.cut_already = False

    def _new_boot(self) -> None:
        self._boot_id.write_text(f"{uuid.uuid4()}\n")


def _run(*command: str) -> None:
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}  # where Debian has mkfs
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
