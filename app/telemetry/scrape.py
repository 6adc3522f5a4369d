"""What Prometheus reads: the numbers of all workers, and what the store says, as text.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

from collections.abc import Iterable

from .cells import Cells
from .instruments import ALL, COUNTER, DROPPED, GAUGE, HISTOGRAM, UP_AND_DOWN, Instrument, Labels, labels_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Reading = tuple[Instrument, Labels, float]  # of a gauge that is read just now


def text(cells: Cells, readings: Iterable[Reading] = ()) -> str:
    """Every series with its name, unit and what it says; a metric without any has its head alone."""
    lines: dict[str, list[str]] = {name: [] for name in ALL}
    for key, numbers in sorted(cells.read().items()):
        instrument = ALL[key.partition(b"\0")[0].decode()]
        lines[instrument.name] += _series(instrument, labels_of(instrument, key), numbers)
    for instrument, labels, number in [*readings, (DROPPED, {}, cells.dropped)]:
        lines[instrument.name] += _series(instrument, labels, [number])
    return "".join(
        f"# HELP {ALL[name].prometheus_name} {_escaped(ALL[name].says)}\n"
        f"# TYPE {ALL[name].prometheus_name} {GAUGE if ALL[name].kind == UP_AND_DOWN else ALL[name].kind}\n"
        + "".join(found)
        for name, found in lines.items()
    )


def _series(instrument: Instrument, labels: Labels, numbers: list[float]) -> list[str]:
    name = instrument.prometheus_name
    if instrument.kind != HISTOGRAM:
        return [f"{name}{_braces(labels)} {_number(numbers[0])}\n"]
    *buckets, total = numbers
    lines, so_far = [], 0.0
    for bound, count in zip([*map(_number, instrument.bounds), "+Inf"], buckets, strict=True):
        so_far += count
        lines.append(f"{name}_bucket{_braces({**labels, 'le': bound})} {_number(so_far)}\n")
    return [
        *lines,
        f"{name}_sum{_braces(labels)} {_number(total)}\n",
        f"{name}_count{_braces(labels)} {_number(so_far)}\n",
    ]


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(value, quote=True)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str, *, quote: bool = False) -> str:
    value = value.replace("\\", "\\\\").replace("\n", "\\n")
    return value.replace('"', '\\"') if quote else value


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def kept_names() -> frozenset[bytes]:
    """The metrics that go on where a worker is started again."""
    return frozenset(name.encode() for name, each in ALL.items() if each.kind in (COUNTER, HISTOGRAM))
