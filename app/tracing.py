"""OpenTelemetry traces: a span for each request and each run of a job, and one for each stage within.

Nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or its form for traces) names a collector; the SDK reads the other
standard variables. Spans carry what the log does: routes, ids, kinds of errors, never a path as it was sent, nor text.
FastAPI's own telemetry stays off, since it sends paths, query strings and messages of exceptions.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from app.errors import SettingsError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

FLUSH_SECONDS = 3

_tracer = trace.get_tracer("lectern")


def configure(version: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send spans to the collector that the environment names, if it names one; once a process.

    Raises SettingsError where it names one and the SDK is not installed, or another way of sending.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower()
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if not any(environ.get(name) for name in ENDPOINTS):
        return
    protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((environ[name] for name in protocols if environ.get(name)), "http/protobuf")
    if exporter != "otlp" or protocol != "http/protobuf":
        raise SettingsError("traces go out as OTLP by http/protobuf only: see OTEL_TRACES_EXPORTER and the protocol")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "a collector of traces is named, and its SDK is missing: pip install 'lectern[otel]'"
        ) from None
    named = {} if environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "lectern"}
    resource = Resource.create({**named, SERVICE_VERSION: version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # it would wait there too: see `flush`
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send what has not been sent yet; at a shutdown, and for at most a few seconds.

    On a thread that is left behind then: the SDK takes a time limit and keeps none (its issue 4568), and would try for
    ten seconds for each 512 spans.
    """
    send = getattr(trace.get_tracer_provider(), "force_flush", None)  # the SDK's own; without it there is nothing
    if send is not None:
        sending = threading.Thread(target=send, name="last spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


@contextmanager
def request(headers: Mapping[str, str], *, method: str, request_id: str) -> Iterator[Span]:
    """The span of a request, which goes on with the trace that the caller's headers name. Its route is known later."""
    token = contexts.attach(propagate.extract(headers))
    try:
        attributes = {"http.request.method": method, "lectern.request_id": request_id}
        with _tracer.start_as_current_span(
            method, kind=SpanKind.SERVER, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span
    finally:
        contexts.detach(token)


def answered(span: Span, *, method: str, route: str | None, status: int) -> None:
    """Write down how a request went."""
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500 or not status:
        span.set_status(StatusCode.ERROR)


@contextmanager
def job(kind: str, job_id: str) -> Iterator[Span]:
    """The span of one run of a job: a trace of its own, as it may run long after the request, or after a restart."""
    with _tracer.start_as_current_span(
        f"job {kind}",
        context=contexts.Context(),
        attributes={"lectern.job": job_id},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def stage(name: str, seconds: float) -> None:
    """A stage that ended just now and took so many seconds, under the span at hand."""
    end = time.time_ns()
    _tracer.start_span(name, start_time=end - int(seconds * 1e9)).end(end)
