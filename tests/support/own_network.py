"""A network of one's own, in which packets can be lost: a namespace with nothing but loopback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    """Whether this process may have one."""
    with contextlib.suppress(OSError), own_network():
        return True
    return False


def run(*command: str) -> None:
    """Run a tool, ``iptables`` say, in the network of this thread."""
    path = os.environ["PATH"] + ":/usr/sbin"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Let this thread, and whatever it starts, live in a network of its own for the context.

    Nothing of it stays: the kernel removes it with its last process and its last socket.

    Raises:
        OSError: this process may not.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(_CLONE_NEWNET))
        try:
            run("ip", "link", "set", "lo", "up", "mtu", "1500")
            yield
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def rule(*words: str) -> Iterator[None]:
    """Have a rule of iptables for the length of the context; `words` begin with the chain."""
    run("iptables", "-I", *words)
    try:
        yield
    finally:
        run("iptables", "-D", *words)
