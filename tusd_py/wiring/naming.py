"""Errors of files that settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..config import SettingsError


@contextlib.contextmanager
def naming(setting: str, path: Path) -> Iterator[None]:
    """Say which setting it is that cannot be used.

    Raises:
        SettingsError: for what reading the file raises.
    """
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{setting}: cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{setting}: {path} {error}") from None
