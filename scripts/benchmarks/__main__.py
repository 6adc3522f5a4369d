"""Measure everything and print one table: each ratio beside its floor and its ambition. A report, never a judge."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from scripts.benchmarks import clicks, cpu, measuring, wire
from scripts.benchmarks.world import World

PARTS = ("cpu", "bytes", "race", "throughput")
CLICKS = "clicks"  # opens a browser: only when it is asked for
MEASURING = "measuring"  # needs the packages of requirements-dev.txt that nothing else does
# Milliseconds from the click to the changed screen: the target and the ambition.
SOON = {"submit": (150, 100), "filter": (150, 100), "page": (150, 100), "claim": (250, 150), "complete": (250, 150)}


@dataclass
class Line:
    name: str
    value: float
    floor: float
    ambition: float
    text: str = ""
    note: str = ""
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        if self._reaches(self.ambition):
            return "ambition"
        return "floor" if self._reaches(self.floor) else "BELOW"

    def _reaches(self, target: float) -> bool:
        return self.value >= target if self.more_is_better else self.value <= target

    def row(self) -> tuple[str, ...]:
        sign = "≥" if self.more_is_better else "≤"
        shown = self.text or f"{self.value:.2f}"
        return (self.name, shown, f"{sign} {self.floor:g}", f"{sign} {self.ambition:g}", self.verdict, self.note)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> list[Line]:
    lines: list[Line] = []
    tasks = 100_000 if options.full else 10_000
    with World() as world:
        say("Loading the histories ...")
        small = world.account("small@example.com", credits=1_000_000, tasks=1_000)
        if "cpu" in options.only:
            large = world.account("large@example.com", credits=1_000_000, tasks=tasks)
            say("CPU, in turns ...")
            found = cpu.measure(
                cpu.actions(world, small, large), rounds=30 if options.full else 15, batch=20 if options.full else 10
            )
            lines += _cpu_lines(found, tasks)
        if "bytes" in options.only or "race" in options.only:
            port = world.start_server(world.aws.port, 2)
            if "bytes" in options.only:
                lines.append(_bytes_line(wire.first_load(port, small)))
            if "race" in options.only:
                say("50 submits at once ...")
                lines.append(_race_line(wire.race(world, port, 100 if options.full else 10)))
        if "throughput" in options.only:
            say("Requests a second, in turns ...")
            rounds, seconds = (5, 5.0) if options.full else (3, 3.0)
            lines.append(_throughput_line(*wire.throughput(world, small, rounds=rounds, seconds=seconds)))
        if CLICKS in options.only:
            say("Clicks ...")
            operator = world.account("op@example.com", credits=10, operator=True)
            lines += [_click_line(name, shown) for name, shown in clicks.measure(world, small, operator).items()]
        if MEASURING in options.only:
            say("What measuring costs ...")
            lines += _measuring_lines(measuring.measure(world, small, rounds=40 if options.full else 20))
    return lines


def _measuring_lines(cost: measuring.Cost) -> list[Line]:
    off, when_off = cost.bytecodes[measuring.OFF], cost.telemetry_when_off
    share = 100 * when_off / off
    lines = [Line("bytecodes of measuring while it is off, %", share, 1, 0.5, note=f"{when_off:,} of {off:,}")]
    for way in (measuring.METRICS, measuring.TRACES):
        more = f"{cost.bytecodes[way]:,} bytecodes, {min(cost.seconds[way]) * 1000:.2f} ms"
        lines.append(Line(f"dashboard CPU with {way} / off", cost.ratio(way), 1.25, 1.1, note=more))
    return lines


def _cpu_lines(found: dict[str, list[float]], tasks: int) -> list[Line]:
    def spent(name: str) -> str:
        return f"{min(found[name]) * 1000:.2f} ms"

    floor = f"floor {spent('floor')}"
    return [
        Line(
            "dashboard CPU / floor",
            cpu.ratio(found, "dashboard", "floor"),
            1.30,
            0.75,
            note=f"{spent('dashboard')}, {floor}",
        ),
        Line("unchanged poll CPU / floor", cpu.ratio(found, "poll", "floor"), 0.55, 0.40, note=spent("poll")),
        Line(
            "submit CPU / raw transaction",
            cpu.ratio(found, "submit", "transaction"),
            1.6,
            1.3,
            note=f"{spent('submit')}, transaction {spent('transaction')}",
        ),
        Line(
            f"history page at {tasks:,} tasks / at 1,000",
            cpu.ratio(found, "large", "small"),
            1.1,
            1.05,
            note="the newest page and a deep one",
        ),
    ]


def _bytes_line(sizes: dict[str, int]) -> Line:
    most = max(sizes.values())
    note = "; ".join(f"{offer}: {size:,}" for offer, size in sizes.items())
    return Line("first load of the dashboard, KB", most / 1024, 30, 20, f"{most / 1024:.1f}", note)


def _race_line(race: wire.Race) -> Line:
    share = race.exact / race.rounds
    answers = ", ".join(f"{status}: {times}" for status, times in sorted(race.statuses.items()))
    text = f"{race.exact}/{race.rounds}"
    return Line("rounds with exactly 10 of 50 accepted", share, 1, 1, text, f"answers {answers}", more_is_better=True)


def _throughput_line(one: float, two: float) -> Line:
    note = f"{one:.0f} and {two:.0f} dashboards a second, store at {wire.STORE_LATENCY_MS:g} ms"
    return Line("requests a second, 2 workers / 1", two / one, 1.6, 1.8, note=note, more_is_better=True)


def _click_line(name: str, shown: clicks.Shown) -> Line:
    return Line(f"{name}: click to changed screen, ms", shown.median, *SOON[name], f"{shown.median:.0f}", shown.note)


def table(lines: list[Line]) -> str:
    rows = [("ratio", "found", "floor", "ambition", "reached", "seen"), *(line.row() for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="100,000 tasks, 100 rounds of the race, longer runs")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.add_argument(
        "--only", nargs="+", choices=(*PARTS, CLICKS, MEASURING), default=PARTS, help="measure only these"
    )
    options = parser.parse_args()
    start = time.monotonic()
    lines = run(options)
    if options.json:
        print(json.dumps([asdict(line) | {"reached": line.verdict} for line in lines], ensure_ascii=False, indent=2))
    else:
        print(table(lines))
    say(f"{time.monotonic() - start:.0f} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
