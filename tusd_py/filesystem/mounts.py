"""Which file systems only this host can write to."""

from __future__ import annotations

import os
from pathlib import Path

_SHARED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "glusterfs", "gpfs", "lustre"}
    | {"nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs"}
)
MOUNTS = Path("/proc/self/mountinfo")


def is_local(path: str | Path, mounts: Path = MOUNTS) -> bool:
    """Whether a file system is written to by this host alone; False if that is not known."""
    kind = kind_of(path, mounts)
    return bool(kind) and not is_shared(kind)


def is_shared(kind: str) -> bool:
    """Whether other hosts can write to file systems of that kind."""
    return kind in _SHARED or kind.startswith("fuse")


def kind_of(path: str | Path, mounts: Path = MOUNTS) -> str:
    """Return the kind of the file system at `path`, such as ``ext4``; empty if not known."""
    real = os.path.realpath(path)
    best, kind = "", ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        # 36 35 98:0 /root /mount/point options - type source options; blanks are written \040.
        before, _, behind = line.partition(" - ")
        place = before.split(" ")[4].replace("\\040", " ")
        is_above = real == place or real.startswith(place.rstrip("/") + "/")
        if is_above and len(place) >= len(best):
            best, kind = place, behind.split(" ")[0]
    return kind
