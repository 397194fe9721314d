"""Traces, with the standard instrumentation of aiohttp; the OTEL_ environment says where to.

Needs the extra `otel`. Whoever has told OpenTelemetry about a provider already keeps it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# What the collector has not taken by then is lost; the server ends all the same.
_LAST_SPANS_MS = 2000


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Trace the requests of all applications that are made within the context.

    Enter it in the process that serves: spans are sent by a thread, which no fork survives.
    """
    os.environ.setdefault("OTEL_SERVICE_NAME", "tusd-py")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    instrumentor = AioHttpServerInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        provider.force_flush(_LAST_SPANS_MS)
        provider.shutdown()
