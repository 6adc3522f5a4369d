"""Measure everything and print one table: each ratio beside its floor and its ambition. A judge only when told."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from app.domain.clock import utcnow
from app.services.tasks import submit
from scripts.benchmarks import budgets, clicks, cpu, measuring, peers, wire
from scripts.benchmarks.recorded import INSTRUCTIONS, SECONDS
from scripts.benchmarks.world import World
from scripts.local.aws import REPO

PARTS = ("cpu", "bytes", "race", "throughput")
CLICKS = "clicks"  # opens a browser: only when it is asked for
COUNTED = "instructions"  # needs valgrind, and a minute or two
PEERS = "peers"  # installs packages of their own
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


@dataclass
class Report:
    lines: list[Line] = field(default_factory=list)
    beyond: list[budgets.Beyond] = field(default_factory=list)


def run(options: argparse.Namespace) -> Report:
    report = Report()
    lines = report.lines
    tasks = 100_000 if options.full else 10_000
    with World() as world:
        say("Loading the histories ...")
        small = world.account("small@example.com", credits=1_000_000, tasks=1_000)
        if "cpu" in options.only or COUNTED in options.only:
            large = (
                world.account("large@example.com", credits=1_000_000, tasks=tasks) if "cpu" in options.only else None
            )
            operator = world.account("desk@example.com", credits=10, operator=True)
            recording = cpu.Recording(world, small, large, operator)
            if "cpu" in options.only:
                say("CPU, in turns ...")
                rounds, batch = (30, 20) if options.full else (15, 10)
                lines += _cpu_lines(recording.run(SECONDS, rounds=rounds, batch=batch), tasks)
            if COUNTED in options.only:
                _count(recording, options, report)
        if "bytes" in options.only or "race" in options.only:
            port = world.start_server(world.aws.port, 2)
            if "bytes" in options.only:
                follower = world.account("follower@example.com", credits=10, tasks=25)
                submit(world.store, follower.account, "Follow me", now=utcnow())
                lines.append(_bytes_line("nothing awaited", wire.first_load(port, small)))
                lines.append(_bytes_line("a task followed", wire.first_load(port, follower)))
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
        if PEERS in options.only:
            say("Peers, in turns ...")
            rounds, seconds = (7, 5.0) if options.full else (5, 3.0)
            lines += _peer_lines(peers.measure(world, small, rounds=rounds, seconds=seconds))
        if MEASURING in options.only:
            say("What measuring costs ...")
            lines += _measuring_lines(measuring.measure(world, small, rounds=40 if options.full else 20))
    return report


def _count(recording: cpu.Recording, options: argparse.Namespace, report: Report) -> None:
    """Instructions of each request, beside its budget, or beside those of another commit."""
    say("Instructions ...")
    found = recording.run(INSTRUCTIONS, rounds=3, batch=2, only=frozenset(budgets.BUDGETS))
    before = None
    if options.compare:
        say(f"Instructions of {options.compare} ...")
        with tree_of(options.compare) as tree:
            before = recording.run(INSTRUCTIONS, rounds=3, batch=2, tree=tree, only=frozenset(budgets.BUDGETS))
    report.lines += _instruction_lines(found, before)
    report.beyond = budgets.beyond(found)
    if options.keep:
        budgets.keep(found)


@contextmanager
def tree_of(revision: str) -> Iterator[str]:
    """The files of a commit, in a folder of their own for the time of the block."""
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        git = ["git", "-C", str(REPO), "worktree"]
        added = subprocess.run([*git, "add", "--detach", tree, revision], capture_output=True, text=True, check=False)
        if added.returncode:
            sys.exit(f"{revision} cannot be compared with: {added.stderr.strip()}")
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", tree], capture_output=True, check=False)


def _instruction_lines(found: cpu.Found, before: cpu.Found | None) -> list[Line]:
    def line(name: str, to: str, floor: float, ambition: float) -> Line:
        ratios = found.ratios(name, to)
        note = f"{found.least(name) / 1e6:.2f} M, {min(ratios):.3f}–{max(ratios):.3f}"
        if before:
            note += f"; before {before.ratio(name, to):.3f}, {found.least(name) / before.least(name):.3f} × as many"
        ratio = found.ratio(name, to)
        return Line(f"{name}, instructions / {to}", ratio, floor, ambition, f"{ratio:.3f}", note)

    lines = [line(name, cpu.FLOOR, budget * budgets.ROOM, budget) for name, budget in budgets.BUDGETS.items()]
    return [*lines, line("submit", cpu.TRANSACTION, 1.6, 1.4)]


def _peer_lines(found: dict[str, peers.Served]) -> list[Line]:
    ours = found.pop(peers.OURS)

    def line(name: str, peer: peers.Served) -> Line:
        ratios = [one / other for one, other in zip(ours.milliseconds, peer.milliseconds, strict=True)]
        note = f"{min(ratios):.2f}–{max(ratios):.2f}; ours {ours.note}; theirs {peer.note}"
        return Line(f"dashboard CPU, served / {name}", statistics.median(ratios), 1, 0.75, note=note)

    return [line(name, peer) for name, peer in found.items()]


def _measuring_lines(cost: measuring.Cost) -> list[Line]:
    off, when_off = cost.bytecodes[measuring.OFF], cost.telemetry_when_off
    share = 100 * when_off / off
    lines = [Line("bytecodes of measuring while it is off, %", share, 1, 0.5, note=f"{when_off:,} of {off:,}")]
    for way in (measuring.METRICS, measuring.TRACES):
        more = f"{cost.bytecodes[way]:,} bytecodes, {min(cost.seconds[way]) * 1000:.2f} ms"
        lines.append(Line(f"dashboard CPU with {way} / off", cost.ratio(way), 1.25, 1.1, note=more))
    return lines


def _cpu_lines(found: cpu.Found, tasks: int) -> list[Line]:
    def line(name: str, to: str, floor: float, ambition: float, title: str) -> Line:
        ratios = found.ratios(name, to)
        note = f"{min(ratios):.2f}–{max(ratios):.2f}; {found.least(name) * 1000:.2f} ms of {found.least(to) * 1000:.2f}"
        return Line(title, found.ratio(name, to), floor, ambition, note=note)

    return [
        line("dashboard", cpu.FLOOR, 1.30, 0.75, "dashboard CPU / floor"),
        line("poll", cpu.FLOOR, 0.40, 0.30, "unchanged poll CPU / floor"),
        line("submit", cpu.TRANSACTION, 1.6, 1.4, "submit CPU / raw transaction"),
        line("large", "small", 1.1, 1.05, f"history pages at {tasks:,} tasks / at 1,000"),
    ]


def _bytes_line(whose: str, sizes: dict[str, int]) -> Line:
    most = max(sizes.values())
    note = "; ".join(f"{offer}: {size:,}" for offer, size in sizes.items())
    return Line(f"first load of the dashboard, {whose}, KB", most / 1024, 30, 20, f"{most / 1024:.1f}", note)


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
        "--only", nargs="+", choices=(*PARTS, COUNTED, CLICKS, PEERS, MEASURING), help="measure only these"
    )
    parser.add_argument("--compare", metavar="REV", help="instructions beside those of another commit")
    parser.add_argument("--judge", action="store_true", help="instructions beside their budgets; status 1 beyond one")
    parser.add_argument("--keep", action="store_true", help=f"add the instructions to {budgets.HISTORY.name}")
    parser.add_argument("--peers", action="store_true", help="beside the same dashboard of other frameworks, served")
    options = parser.parse_args()
    counts = options.compare or options.judge or options.keep
    alone = counts or options.peers
    options.only = {*(options.only or (() if alone else PARTS)), *((COUNTED,) if counts else ())}
    if options.peers:
        options.only.add(PEERS)
    start = time.monotonic()
    report = run(options)
    lines = report.lines
    if options.json:
        print(json.dumps([asdict(line) | {"reached": line.verdict} for line in lines], ensure_ascii=False, indent=2))
    else:
        print(table(lines))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    say(f"{time.monotonic() - start:.0f} seconds; load {load}.")
    if not options.judge:
        return 0
    for each in report.beyond:
        say(f"{each}.")
    return 1 if report.beyond else 0


if __name__ == "__main__":
    sys.exit(main())
