"""Twice what this machine can do, asked of one worker: who is served and how soon, who is sent away: scripts/overload.

First what the worker can do is found, by customers who ask again as soon as they are answered; then twice as much is
asked, at moments of chance; then, two seconds later, half of it; then a quarter, while the program of one account asks
by 100 connections as fast as it is answered. Customers and the store share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from scripts.benchmarks.world import World
from scripts.growth.people import Balancer, People, Tally, percentile
from scripts.growth.served import Served

MIX = {"poll": 8, "dashboard": 3, "submit": 1}
CUSTOMERS = 200
AT_ONCE = 12  # to find what it can do: more than there are slots, so that none is idle
WARMING_SECONDS = 3.0
RECOVERY_SECONDS = 2.0
MOST_MS = 1_000.0  # of 95 in 100 of those that are served, and of those that are sent away
FLOOD = 100  # connections of one account
RUNS = {
    "all it can": "as fast as it answers",
    "twice": "twice as much",
    "after": "half, two seconds later",
    "beside": "a quarter, beside a flood",
    "flood": "the flood",
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def measured(people: People, program: People, seconds: float) -> tuple[float, dict[str, Tally]]:
    """Requests a second that it can do, and what became of all requests, by run."""
    say("Warming up ...")
    await people.as_fast_as_answered(MIX, AT_ONCE, WARMING_SECONDS)
    say("What it can do ...")
    alone = await people.as_fast_as_answered(MIX, AT_ONCE, seconds / 2)
    rate = alone.done / (seconds / 2)
    say(f"{rate:.0f} a second. Twice as much ...")
    twice = await people.at_a_rate(people.at_random(MIX, 2 * rate, seconds))
    await asyncio.sleep(RECOVERY_SECONDS)
    after = await people.at_a_rate(people.at_random(MIX, rate / 2, seconds / 2))
    say("One account floods ...")
    flood = asyncio.create_task(program.as_fast_as_answered({"dashboard": 1}, FLOOD, seconds / 2))
    beside = await people.at_a_rate(people.at_random(MIX, rate / 4, seconds / 2))
    return rate, dict(zip(RUNS, (alone, twice, after, beside, await flood), strict=True))


def table(runs: dict[str, Tally]) -> str:
    lines = ["| run | what | served | p50, p95 ms | sent away | p50, p95 ms |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    for name, tally in runs.items():
        for kind in [kind for kind in MIX if tally.took[kind]]:
            cells = " | ".join(
                f"{len(took):,} | {percentile(took, 0.5):,.0f}, {percentile(took, 0.95):,.0f}"
                for took in (tally.served[kind], tally.sent_away[kind])
            )
            lines.append(f"| {RUNS[name]} | {kind} | {cells} |")
    return "\n".join(lines)


def faults(runs: dict[str, Tally]) -> list[str]:
    """What was not as it should be, each as a sentence."""
    found = []
    for name, tally in runs.items():
        if tally.failed:
            found.append(f"{RUNS[name]}: {len(tally.failed):,} got no answer ({tally.failed[0]}).")
        if tally.unheard:
            found.append(f"{RUNS[name]}: {tally.unheard:,} were refused otherwise than by 503 with Retry-After.")
    for name in ("twice", "beside"):
        for what, took in (("served", runs[name].served), ("sent away", runs[name].sent_away)):
            for kind in MIX:
                if (late := percentile(took[kind], 0.95)) > MOST_MS:
                    found.append(f"{RUNS[name]}: of each {kind} {what} 5 in 100 took {late:,.0f} ms or more.")
    shares = [_share(runs["twice"], kind) for kind in MIX]
    if shares != sorted(shares, reverse=True):
        found.append("It was not polls that were sent away first, then dashboards, then submits.")
    for name in ("after", "beside"):
        if lost := sum(len(runs[name].sent_away[kind]) for kind in MIX if kind != "poll"):
            found.append(f"{RUNS[name]}: {lost:,} dashboards and submits were sent away.")
    return found


def _share(tally: Tally, kind: str) -> float:
    """Of those who asked, sent away."""
    away = len(tally.sent_away[kind])
    return away / max(1, away + len(tally.served[kind]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for which twice as much is asked")
    options = parser.parse_args()
    with World() as world:
        say(f"Making {CUSTOMERS} customers ...")
        visitors = [world.account(f"load{number}@example.com", credits=1_000_000) for number in range(CUSTOMERS)]
        with Served(world, workers=1) as server:
            balancer, load = Balancer([server.port]), os.getloadavg()[0]
            people, program = People(visitors[1:], balancer), People(visitors[:1], balancer)

            async def run() -> tuple[float, dict[str, Tally]]:
                try:
                    return await measured(people, program, options.seconds)
                finally:
                    balancer.forget()

            rate, runs = asyncio.run(run())
    print(f"One worker can do {rate:,.0f} requests a second; {os.cpu_count()} cores, load average before {load:.1f}\n")
    print(table(runs))
    found = faults(runs)
    for fault in found:
        say(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
