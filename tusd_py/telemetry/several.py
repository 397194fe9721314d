"""Several watchers as one, and one that may fail without anybody noticing but the log."""

from __future__ import annotations

import logging

from ..interfaces.occurrences import Observe, Occurrence, ignore

_log = logging.getLogger(__name__)


def observe_all(*watchers: Observe) -> Observe:
    """Return what tells each of the watchers, in their order."""
    those = tuple(watcher for watcher in watchers if watcher is not ignore)
    if not those:
        return ignore
    if len(those) == 1:
        return those[0]

    def observe(occurrence: Occurrence) -> None:
        for watcher in those:
            watcher(occurrence)

    return observe


def guarded(watcher: Observe) -> Observe:
    """Return what keeps the errors of the application's own watcher from its uploads."""
    if watcher is ignore:
        return ignore

    def observe(occurrence: Occurrence) -> None:
        try:
            watcher(occurrence)
        except Exception:  # noqa: BLE001 - whatever it is, uploads go on
            _log.exception("ObserverError", extra={"occurrence": type(occurrence).__name__})

    return observe
