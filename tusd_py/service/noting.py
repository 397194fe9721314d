"""Has calls of hooks noted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ..interfaces import HookType
from ..interfaces.occurrences import HookCalled, Observe
from ..protocol.errors import HookUnavailable, TusError


@contextlib.contextmanager
def noted_call(observe: Observe, event: HookType, receiver: str = "") -> Iterator[None]:
    """Note how long the body of the context takes, and how it fails, if it does.

    Args:
        receiver: of what is told; empty for what is asked.
    """
    began = time.monotonic()
    error: str | None = "cancelled"
    try:
        yield
        error = None
    except Exception as why:
        error = _error_of(why)
        raise
    finally:
        duration_s = time.monotonic() - began
        observe(HookCalled(type=event, receiver=receiver, duration_s=duration_s, error=error))


def _error_of(why: Exception) -> str | None:
    if isinstance(why, TusError) and not isinstance(why, HookUnavailable):
        return None  # it refused, and may
    return why.code if isinstance(why, TusError) else type(why).__name__
