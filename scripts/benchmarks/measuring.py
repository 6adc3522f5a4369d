"""What measuring costs: bytecodes and CPU of a dashboard while nothing is measured, with metrics, and with traces too.

Bytecodes do not depend on what else the machine does: of those that a request runs, how many are there only so that it
could be measured?
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from app.telemetry import instruments, otlp
from app.telemetry.switch import switch
from app.web.measured import Measured
from scripts.benchmarks.cpu import Found
from scripts.benchmarks.recorded import Answer
from scripts.benchmarks.recorded import measure as in_turns
from scripts.benchmarks.world import Visitor, World

TELEMETRY = "app/telemetry/"
OFF, METRICS, TRACES = "off", "metrics", "traces"


@dataclass(frozen=True)
class Cost:
    bytecodes: dict[str, int]
    telemetry_when_off: int  # of them in app/telemetry
    seconds: dict[str, list[float]]

    def ratio(self, way: str) -> float:
        return Found(self.seconds).ratio(way, OFF)


def measure(world: World, visitor: Visitor, *, rounds: int) -> Cost:
    """A dashboard over the replay, in three ways."""
    app = world.app(world.start_replay())
    watched = Measured(app.wsgi_app)
    environ = visitor.get("/dashboard")
    switch.count()
    parts = {each: each.part for each in instruments.ALL.values()}
    meters, tracers = _providers()

    def way(on: bool, traced: bool) -> Callable[[], None]:
        def act() -> None:
            switch.on = on
            for each, part in parts.items():
                each.part = part if on else None
            if traced:
                otlp.use(meters, tracers)
            try:
                answer = Answer(watched if on else app.wsgi_app, environ)
            finally:
                otlp.stop()
            if answer.status != 200:
                raise RuntimeError(f"the dashboard answered {answer.status}")

        return act

    acts = {OFF: way(False, False), METRICS: way(True, False), TRACES: way(True, True)}
    seconds = in_turns(acts, rounds=rounds, batch=5)
    counted = {name: min((bytecodes(act) for _ in range(5)), key=Counter.total) for name, act in acts.items()}
    switch.off()
    within = sum(number for file, number in counted[OFF].items() if TELEMETRY in file)
    return Cost({name: found.total() for name, found in counted.items()}, within, seconds)


def _providers() -> tuple[Any, Any]:
    """The SDK's, which keep what they are told and send it nowhere."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider

    return MeterProvider([InMemoryMetricReader()]), TracerProvider()


def bytecodes(act: Callable[[], None]) -> Counter[str]:
    """How many are run by file, in this thread and in those that begin meanwhile."""
    found: Counter[str] = Counter()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "opcode":
            found[frame.f_code.co_filename] += 1
        else:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return found
