"""Sends metrics and traces to a collector, through OpenTelemetry's SDK: OTLP over HTTP, as protobuf.

The packages are those of requirements-telemetry.txt. What the SDK reads from OTEL_… variables by itself (headers, time
limits, the sampler) counts too: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .instruments import ALL, COUNTER, GAUGE, HISTOGRAM, Instrument, Told
from .spans import tracing

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

NAME = "dashboard"


class Missing(Exception):
    """The packages are not installed."""


def send(endpoint: str, release: str) -> Callable[[], None]:
    """Send to a collector from here on; returns what sends the rest at once. Raises Missing.

    Each process is an instance of its own: its counters begin with it.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Missing(f"{error.name} is not installed") from error
    instance = f"{socket.gethostname()}-{os.getpid()}"
    about = {"service.name": NAME, "service.version": release, "service.instance.id": instance}
    resource = Resource.create(about)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics"))
    meters = MeterProvider([reader], resource)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    use(meters, tracers)

    def send_the_rest() -> None:
        tracers.force_flush()
        meters.force_flush()

    return send_the_rest


def use(meters: MeterProvider, tracers: TracerProvider) -> None:
    """Tell these of everything that is measured, and of every span."""
    meter = meters.get_meter(NAME)
    for instrument in ALL.values():
        instrument.told = _told(meter, instrument)
    tracing.tracer = tracers.get_tracer(NAME)


def stop() -> None:
    tracing.tracer = None
    for instrument in ALL.values():
        instrument.told = None


def _told(meter: Meter, instrument: Instrument) -> Told:
    about: dict[str, Any] = {"unit": instrument.unit, "description": instrument.says}
    if instrument.kind == HISTOGRAM:
        bounds = list(instrument.bounds)
        return meter.create_histogram(instrument.name, explicit_bucket_boundaries_advisory=bounds, **about).record
    if instrument.kind == COUNTER:
        return meter.create_counter(instrument.name, **about).add
    if instrument.kind == GAUGE:
        return meter.create_gauge(instrument.name, **about).set
    return meter.create_up_down_counter(instrument.name, **about).add
