"""Several watchers as one, and one that may fail without anybody noticing but the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, get_args

from ..interfaces.occurrences import Observe, Occurrence, ignore

_log = logging.getLogger(__name__)

Notes = Mapping[type, Callable[[Any], None]]
"""What takes note of which kinds of occurrences."""


def observe_all(*watchers: Notes) -> Observe:
    """Return what tells each of the watchers, in their order, what it takes note of."""
    noted = {
        kind: tuple(watcher[kind] for watcher in watchers if kind in watcher)
        for kind in get_args(Occurrence)
    }

    def observe(occurrence: Occurrence) -> None:
        for note in noted[type(occurrence)]:
            note(occurrence)

    return observe


def guarded(watcher: Observe) -> Notes:
    """Return what keeps the errors of the application's own watcher from its uploads."""
    if watcher is ignore:
        return {}

    def observe(occurrence: Occurrence) -> None:
        try:
            watcher(occurrence)
        except Exception:  # noqa: BLE001 - whatever it is, uploads go on
            _log.exception("ObserverError", extra={"occurrence": type(occurrence).__name__})

    return dict.fromkeys(get_args(Occurrence), observe)
