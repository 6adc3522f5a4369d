"""Checks of what is measured: does a collector answer, and does the mail sender look what waits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from app.domain.doctor import Finding, right, wrong
from app.domain.formatting import elapsed
from app.gateways.own_address import Unreachable

from .patient import FLASK, Check, Patient

LOOKED_WITHIN = timedelta(minutes=15)  # it looks every minute
METRICS_PATH = "/v1/metrics"  # https://opentelemetry.io/docs/specs/otlp/#otlphttp-request


def collector(patient: Patient) -> Iterator[Finding]:
    """Whether something that takes OTLP answers there. To a GET it may say what it likes, but that there is nothing."""
    if patient.collector is None:
        yield right("No collector is set, and none is needed.")
        return
    setting = "OTEL_EXPORTER_OTLP_ENDPOINT"
    try:
        answer = patient.collector.ask(METRICS_PATH)
    except Unreachable as reason:
        yield wrong(f"The collector of {setting} cannot be reached, {reason}.", f"start it, or {setting}=<its address>")
        return
    if answer.status == 404 or answer.status >= 500:
        yield wrong(
            f"What answers at {setting} says {answer.status} to {METRICS_PATH}: it takes no OTLP over HTTP.",
            f"{setting}=<its address for OTLP over HTTP, mostly port 4318>",
        )
    else:
        yield right("The collector answers.")


def measured(patient: Patient) -> Iterator[Finding]:
    """Whether what waits is looked up for who reads /metrics: the mail sender does it, and needs the same setting."""
    if not patient.config.metrics_token:
        yield right("Nobody reads /metrics, and nothing is measured.")
        return
    found, now = patient.store.heartbeats.waiting(), patient.now()
    mend = f"give the mail sender METRICS_TOKEN, too, and start it: {FLASK} mail send --watch"
    if found is None:
        yield wrong("METRICS_TOKEN is set, and nobody has ever looked what waits.", mend)
    elif now - found.at > LOOKED_WITHIN:
        ago = elapsed(int((now - found.at).total_seconds()))
        yield wrong(f"What waits was last looked up {ago} ago: /metrics tells what was then.", mend)
    else:
        yield right("What waits is looked up every minute.")


CHECKS = (Check("collector", collector), Check("measurements", measured, before_release=False))
