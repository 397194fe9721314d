"""Traces of a real server, as a collector gets them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.redis_server import free_port
from tests.support.server import running_server
from tusd_py import Settings, SettingsError
from tusd_py.wiring.tracing import check_tracing

from .test_metrics import V, ask, create

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


class Collector(http.server.ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def env(self) -> dict[str, str]:
        """What leads a server here."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server_port}", **QUICKLY}

    def spans(self) -> list[Span]:
        """All that came."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def services(self) -> set[str]:
        """Names of those that sent them."""
        return {
            attribute.value.string_value
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        """Keep the spans."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a port of its own."""
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_request_is_a_span(tmp_path: Path, collector: Collector, workers: str) -> None:
    """With its status, in the trace that the client began; the last ones are sent at the end."""
    options = ("--tracing", "--workers", workers)
    with running_server(tmp_path / "uploads", *options, env=collector.env) as server:
        upload_id = create(server, 3)
        parent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        assert ask(server, "HEAD", upload_id, V | parent) == 200
        assert ask(server, "GET", "nothing", V) == 404
        assert server.stop() == 0
    assert collector.services() == {"tusd-py"}
    spans = {span.name.partition(" ")[0]: span for span in collector.spans()}
    statuses = {
        method: attribute.value.int_value
        for method, span in spans.items()
        for attribute in span.attributes
        if attribute.key in ("http.status_code", "http.response.status_code")
    }
    assert statuses == {"POST": 201, "HEAD": 200, "GET": 404}
    assert spans["HEAD"].trace_id.hex() == TRACE
    assert all(upload_id not in span.name for span in collector.spans())


def test_a_collector_that_is_gone_costs_nothing_but_spans(tmp_path: Path) -> None:
    """Uploads are served, and the server ends in order."""
    nobody = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", **QUICKLY}
    with running_server(tmp_path / "uploads", "--tracing", env=nobody) as server:
        create(server, 3)
        assert server.stop() == 0


def test_without_the_extra_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is started."""
    monkeypatch.setattr("tusd_py.wiring.tracing._NEEDED", "not_installed.anywhere")
    with pytest.raises(SettingsError, match=r"pip install 'tusd-py\[otel\]'"):
        check_tracing(Settings(tracing=True))
    check_tracing(Settings())
