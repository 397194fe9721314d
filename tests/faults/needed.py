"""How tests say what they need of the machine."""

from __future__ import annotations

import os

import pytest


def needs(condition: object, reason: str) -> None:
    """Skip a test on a developer's machine that lacks something; fail where CI promises it.

    Args:
        condition: whether the test can run here.
        reason: what is missing and how to get it, such as "strace is missing: make tools".
    """
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI has to run this test: {reason}", pytrace=False)
    pytest.skip(reason)


def needs_root() -> None:
    """Skip or fail without the rights of root; see `needs`."""
    needs(os.geteuid() == 0, "needs root, to mount file systems and to trace a server")
