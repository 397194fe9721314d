"""A disk that takes only so many bytes a second from one server."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .cgroup import Group, group

_IMAGE_BYTES = 128 * 1024 * 1024


@contextlib.contextmanager
def slow_disk(folder: Path, bytes_a_second: int) -> Iterator[tuple[Path, Group]]:
    """Mount an ext4 image for the length of the context; only root can.

    Args:
        folder: an empty one.
        bytes_a_second: that it takes from the processes in the group.

    Yields:
        where it is mounted, and the group.
    """
    image, root = folder / "image", folder / "disk"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    # Its tables are made now: the kernel would otherwise write them later, in between.
    options = "lazy_itable_init=0,lazy_journal_init=0"
    _run("mkfs.ext4", "-qF", "-E", options, str(image))
    _run("mount", "-o", "loop", str(image), str(root))
    try:
        with group("blkio") as members:
            device = os.stat(root).st_dev
            place = f"{os.major(device)}:{os.minor(device)}"
            members.set("blkio.throttle.write_bps_device", f"{place} {bytes_a_second}")
            yield root, members
    finally:
        _run("umount", str(root))


def _run(*command: str) -> None:
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}  # where Debian has mkfs
    subprocess.run(command, check=True, timeout=60, env=env, capture_output=True)
