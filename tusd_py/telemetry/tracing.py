"""Traces, with the standard instrumentation of aiohttp; the OTEL_ environment says where to.

Needs the extra `otel`. Whoever has told OpenTelemetry about a provider already keeps it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_server import AioHttpServerInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# What the collector has not taken by then is lost; the server ends all the same.
_LAST_SPANS_S = 2.0


@contextlib.contextmanager
def tracing() -> Iterator[None]:
    """Trace the requests of all applications that are made within the context.

    Enter it in the process that serves: spans are sent by a thread, which no fork survives.
    """
    os.environ.setdefault("OTEL_SERVICE_NAME", "tusd-py")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    instrumentor = AioHttpServerInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        # It sends what is left, and may try for as long as a request to the collector may take.
        last = threading.Thread(target=provider.shutdown, name="tusd-py-spans", daemon=True)
        last.start()
        last.join(_LAST_SPANS_S)
