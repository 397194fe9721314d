"""Whether a part of the server works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

Facts = Mapping[str, str | int | float | bool | None]
"""What an operator may want to know of a part; for JSON."""

Check = Callable[[], Awaitable[Facts]]
"""Tries a part as requests use it.

Raises:
    TusError: it does not work; the sentence says why.
"""
