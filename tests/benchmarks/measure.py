"""Reads from /proc what a server costs, and what the machine is."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a server and its workers have taken until now.

    Attributes:
        cpu_s: user and system time of all processes.
        resident: bytes in RAM now, of all processes.
        peak: the most bytes in RAM that any one process has had (VmHWM).
    """

    cpu_s: float
    resident: int
    peak: int


def usage(pid: int) -> Usage:
    """Return what a process and its children have taken."""
    root = psutil.Process(pid)
    cpu_s, resident, peak = 0.0, 0, 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            times = process.cpu_times()
            cpu_s += times.user + times.system
            resident += process.memory_info().rss
            peak = max(peak, _peak(process.pid))
    return Usage(cpu_s=cpu_s, resident=resident, peak=peak)


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def file_system(directory: Path) -> str:
    """Return the kind of file system that a directory is on."""
    path = directory.resolve()
    mounts = {m.mountpoint: m.fstype for m in psutil.disk_partitions(all=True)}
    for folder in (path, *path.parents):
        if str(folder) in mounts:
            return mounts[str(folder)]
    return "unknown"


def machine(directory: Path) -> dict[str, str | int | float]:
    """Return what the machine is, for the table's reader."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_system": file_system(directory),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
