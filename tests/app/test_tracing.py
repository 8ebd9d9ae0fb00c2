"""Traces, as a collector gets them from a real server process."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app import tracing
from app.errors import SettingsError
from tests.app.served import Server

trace_service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

SECRET = "zq9xj"  # no id has a 9
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass
class Collector:
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def spans(self):
        return [span for _, span in self.scoped()]

    def scoped(self):
        for body in self.bodies:
            for resource in trace_service.ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield resource.resource, span


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def attributes(span) -> dict:
    kinds = {each.key: each.value for each in span.attributes}
    return {key: value.string_value or value.int_value for key, value in kinds.items()}


def test_a_request_and_its_stages_are_spans_of_the_callers_trace_and_say_nothing_of_what_was_asked(
    tmp_path, collector, monkeypatch
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    server = Server(tmp_path / "data")
    parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "of-the-caller"}
    document = server.client.post(
        "/documents", json={"text": f"The keeper was {SECRET}. " * 30, "title": SECRET}
    ).json()
    server.client.post("/ask", json={"question": f"Who was {SECRET}?"}, headers=parent)
    server.client.get(f"/documents/{document['id']}/text", params={"version": SECRET})
    server.stop()

    spans = collector.spans()
    named = {span.name: span for span in spans}
    asked = named["POST /ask"]
    assert asked.trace_id.hex() == TRACE
    assert attributes(asked) == {
        "http.request.method": "POST",
        "http.route": "/ask",
        "http.response.status_code": 200,
        "lectern.request_id": "of-the-caller",
    }
    for stage in ("ask retrieve", "ask read", "ask cite"):
        assert named[stage].parent_span_id == asked.span_id
        assert asked.start_time_unix_nano <= named[stage].start_time_unix_nano <= named[stage].end_time_unix_nano
    assert named["ingest encode"].parent_span_id == named["job ingest"].span_id
    assert not named["job ingest"].parent_span_id
    assert attributes(named["GET /documents/{document_id}/text"])["http.response.status_code"] == 404
    assert not any(SECRET.encode() in body for body in collector.bodies)
    resource, _ = next(collector.scoped())
    assert attributes(resource)["service.name"] == "lectern"


def test_a_collector_that_is_away_holds_up_neither_answers_nor_the_end(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    server = Server(tmp_path / "data")
    assert server.client.post("/ask", json={"question": "Who?", "text": "The keeper was Anna."}).status_code == 200
    assert server.stop() in (0, -15)
    times = {line["event"]: datetime.fromisoformat(line["time"]) for line in server.log}
    assert times["Application shutdown complete."] - times["stopped"] < timedelta(seconds=tracing.FLUSH_SECONDS + 2)
    assert any("Transient error" in line for line in server.written)
    assert all(line.startswith("{") for line in server.written)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "zipkin"},
    ],
)
def test_a_way_of_sending_that_is_not_there_is_told_at_the_start(environ):
    with pytest.raises(SettingsError, match="http/protobuf"):
        tracing.configure("1", environ)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_sent_anywhere_unless_a_collector_is_named(environ):
    before = tracing.trace.get_tracer_provider()
    tracing.configure("1", environ)
    assert tracing.trace.get_tracer_provider() is before
