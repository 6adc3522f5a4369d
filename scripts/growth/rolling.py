"""A rolling release under load: two servers of one worker each at 60 % of what one was found to serve, three times.

In each round one server is asked as fast as it answers; then both are started anew one after the other, while
dashboards, polls and submits go on at that share of it. It says what failed, and whether every task that somebody was
told of stands in the ledger once: scripts/rolling. Ends with 1 where a request failed or a write is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

from scripts.benchmarks.world import Visitor, World
from scripts.growth.people import Balancer, People, Tally, percentile, while_looking
from scripts.growth.served import Served

MIX = {"poll": 6, "dashboard": 2, "submit": 2}
SHARE = 0.6
DRAIN_SECONDS = 10.0  # as deploy/aws/service.yaml has it: some of the balancer's looks
AROUND_SECONDS = 4.0  # of load before the first server stops and after the last has started
AT_ONCE = 8  # customers of the measurement: a worker has as many requests at work
LONGEST_ROUND = 600.0
CUSTOMERS = 200  # so many that hardly one asks for several things at once
COLUMNS = (
    *("round", "one worker, a second", "seconds", "requests", "submits", "no answer", "refused", "writes lost"),
    *("p50 ms", "p95", "p99"),
)


@dataclass
class Round:
    tally: Tally
    lost: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        return not self.tally.failed and not self.tally.refused and not self.lost


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def capacity(port: int, visitors: list[Visitor], seconds: float) -> float:
    """Requests of the mix that one server of one worker answers a second."""
    balancer = Balancer([port])
    people = People(visitors, balancer)
    await people.as_fast_as_answered(MIX, AT_ONCE, min(3.0, seconds))
    found = await people.as_fast_as_answered(MIX, AT_ONCE, seconds)
    balancer.forget()
    if found.failed or found.refused:
        raise RuntimeError(f"{found.refused} were refused and {len(found.failed)} not answered: {found.failed[:3]}")
    return found.done / seconds


async def a_round(world: World, servers: list[Served], visitors: list[Visitor], rate: float) -> Round:
    balancer = Balancer([server.port for server in servers])
    people = People(visitors, balancer)
    before, over = spends(world), asyncio.Event()

    async def release() -> None:
        await asyncio.sleep(AROUND_SECONDS)
        for server in servers:
            server.stop()
            await asyncio.to_thread(server.wait)
            balancer.ready[server.port] = False  # in again once a look has found it so
            server.begin()
            await asyncio.to_thread(server.until_ready)
            while not balancer.ready[server.port]:
                await asyncio.sleep(0.1)
        await asyncio.sleep(AROUND_SECONDS)
        over.set()

    loop = asyncio.get_running_loop()
    begun = loop.time()
    releasing = asyncio.create_task(release())
    wanted = people.at_random(MIX, rate, LONGEST_ROUND)
    tally = await while_looking(balancer, people.at_a_rate(wanted, until=over.is_set))
    await releasing
    balancer.forget()
    stand = spends(world) - before
    lost = sum((tally.submitted - stand).values()) + sum((stand - tally.submitted).values())
    return Round(tally, lost, loop.time() - begun)


def spends(world: World) -> Counter[str]:
    return Counter(entry.user_email for entry in world.store.ledger.every() if entry.type == "spend")


def row(name: str, found: Round) -> str:
    took = [each for of_kind in found.tally.took.values() for each in of_kind]
    times = " | ".join(f"{percentile(took, share):,.0f}" for share in (0.5, 0.95, 0.99))
    submits = sum(found.tally.submitted.values())
    failed = f"{len(found.tally.failed)} | {found.tally.refused} | {found.lost}"
    return f"| {name} | {found.seconds:.0f} | {found.tally.done:,} | {submits:,} | {failed} | {times} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/rolling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of measuring what one server serves")
    options = parser.parse_args()
    rounds = []
    with World() as world, ExitStack() as stack:
        visitors = [world.account(f"rolling{number}@example.com", credits=1_000_000) for number in range(CUSTOMERS)]
        servers = [stack.enter_context(Served(world, workers=1, drain=DRAIN_SECONDS)) for _ in range(2)]
        mix = " ".join(f"{kind} {part}" for kind, part in MIX.items())
        print(f"{mix}; {os.cpu_count()} cores, load average before {os.getloadavg()[0]:.1f}\n")
        print(f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}", flush=True)
        for number in range(options.rounds):
            say(f"What one worker serves, and round {number + 1} ...")  # anew: the local store gets slower as it fills
            most = asyncio.run(capacity(servers[0].port, visitors, options.seconds))
            rounds.append(asyncio.run(a_round(world, servers, visitors, most * SHARE)))
            print(row(f"{number + 1} | {most:.0f}", rounds[-1]), flush=True)
            for line in rounds[-1].tally.failed[:5]:
                print(f"  no answer: {line}")
            for kind, statuses in sorted(rounds[-1].tally.statuses.items()):
                if refused := {status: times for status, times in sorted(statuses.items()) if status >= 400}:
                    print(f"  refused: {kind} {refused} of {statuses.total():,}")
    return 0 if all(found.is_clean for found in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
