"""Ring 4: traces, if the settings want them."""

from __future__ import annotations

import contextlib
import importlib.util

from ..config import Settings, SettingsError

_NEEDED = "opentelemetry.instrumentation.aiohttp_server"


def check_tracing(settings: Settings) -> None:
    """Look whether what traces need is installed.

    Raises:
        SettingsError: it is not.
    """
    if settings.tracing and not _installed():
        raise SettingsError("tracing needs OpenTelemetry: pip install 'tusd-py[otel]'")


def _installed() -> bool:
    try:
        return importlib.util.find_spec(_NEEDED) is not None
    except ModuleNotFoundError:
        return False


def traced(settings: Settings) -> contextlib.AbstractContextManager[None]:
    """Trace requests for the length of the context, if that is wanted."""
    if not settings.tracing:
        return contextlib.nullcontext()
    from ..telemetry.tracing import tracing

    return tracing()
