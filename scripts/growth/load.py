"""Open dashboards that poll, and submits, on this machine: latency, CPU, units, what was refused: scripts/load.

The customers, the servers and the store that stands in for DynamoDB share the machine, so this says what they take
together, and what the servers take of it. Units are those that DynamoDB would charge (scripts/growth/acts.py).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.domain.accounts import Address
from app.domain.mails import Mail
from app.services.links import Links
from app.services.mail import MailRoom, deliver_due
from scripts.benchmarks.world import SECRET, Visitor, World
from scripts.growth.acts import Act, measure
from scripts.growth.people import Balancer, People, Tally, percentile
from scripts.growth.served import Served
from scripts.local.cpu_seconds import spent

POLL_SECONDS = 3.0  # as app/templates/dashboard/show.html has it
SES_SECONDS = 0.1  # of one answer, for the mail sender
KINDS = {"poll": "a poll", "submit": "a submit"}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def plan(visitors: list[Visitor], submits: float, seconds: float) -> list[tuple[float, str, Visitor]]:
    """Each dashboard polls every POLL_SECONDS from a moment of its own; submits come at moments of chance."""
    found: list[tuple[float, str, Visitor]] = []
    for visitor in visitors:
        moment = random.uniform(0, POLL_SECONDS)  # noqa: S311 - a load, no secret
        while moment < seconds:
            found.append((moment, "poll", visitor))
            moment += POLL_SECONDS
    moment = 0.0
    while submits and (moment := moment + random.expovariate(submits)) < seconds:
        found.append((moment, "submit", random.choice(visitors)))  # noqa: S311 - a load, no secret
    return sorted(found, key=lambda each: each[0])


def dashboards(options: argparse.Namespace) -> None:
    acts = measured_acts()
    with World() as world:
        say(f"Making {options.dashboards:,} customers ...")
        visitors = [
            world.account(f"load{number}@example.com", credits=1_000_000) for number in range(options.dashboards)
        ]
        with Served(world, workers=options.workers) as server:
            balancer = Balancer([server.port])
            people = People(visitors, balancer)
            say("Warming up ...")
            asyncio.run(one_run(people, balancer, plan(visitors[:50], 2, 5.0)))
            say(f"{options.seconds:g} seconds ...")
            load = os.getloadavg()
            before = [spent(server.pid), spent(world.aws.pid), time.process_time()]
            begun = time.perf_counter()
            asked = plan(visitors, options.submits, options.seconds)
            tally = asyncio.run(one_run(people, balancer, asked))
            seconds = time.perf_counter() - begun
            after = [spent(server.pid), spent(world.aws.pid), time.process_time()]
            spends = sum(1 for entry in world.store.ledger.every() if entry.type == "spend")
    told(options, tally, seconds, [one - other for one, other in zip(after, before, strict=True)], load, acts)
    answered = tally.statuses["submit"][200]
    print(f"\nledger: {spends:,} spends; {answered:,} submits were answered with a task, the others while warming up")


async def one_run(people: People, balancer: Balancer, asked: list[tuple[float, str, Visitor]]) -> Tally:
    try:
        return await people.at_a_rate(asked)
    finally:
        balancer.forget()


def measured_acts() -> Mapping[str, Act]:
    say("Counting the units of each act ...")
    return measure(alone=True).acts


def told(
    options: argparse.Namespace,
    tally: Tally,
    seconds: float,
    cpu: list[float],
    load: tuple[float, float, float],
    acts: Mapping[str, Act],
) -> None:
    print(
        f"{options.dashboards:,} dashboards, {options.submits:g} submits a second, {options.workers} workers, "
        f"{options.seconds:g} s (it took {seconds:.0f} s); {os.cpu_count()} cores, load average before {load[0]:.1f}\n"
    )
    print("| | asked a second | answered | p50 ms | p95 | p99 | refused | no answer |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind, name in KINDS.items():
        took, statuses = tally.took[kind], tally.statuses[kind]
        lost = sum(line.startswith(f"{kind}:") for line in tally.failed)
        times = " | ".join(f"{percentile(took, share):,.0f}" for share in (0.5, 0.95, 0.99))
        refused = sum(number for status, number in statuses.items() if status >= 400)
        asked = (len(took) + lost) / options.seconds
        print(f"| {name} | {asked:,.0f} | {len(took):,} | {times} | {refused:,} | {lost:,} |")
    servers, store, customers = (each / seconds for each in cpu)
    print(f"\nCPU, cores: servers {servers:.2f}, local store {store:.2f}, customers {customers:.2f}")
    polls, submits = tally.statuses["poll"], tally.statuses["submit"][200]
    news = acts["poll, something new"].read
    read = polls[304] * acts["poll, nothing new"].read + polls[200] * news + submits * acts["submit a task"].read
    write = submits * acts["submit a task"].write
    print(f"DynamoDB's units a second: {read / seconds:,.0f} RCU, {write / seconds:,.0f} WCU")
    answers = f"{dict(polls)} and {dict(tally.statuses['submit'])}"
    print(f"our own lateness: {tally.late * 1000:,.0f} ms at most; answers {answers}")
    for line in tally.failed[:3]:
        print(f"no answer: {line}")


class SlowSes:
    """Takes each mail after SES_SECONDS."""

    def send(self, *, to: str, subject: str, text: str, html: str, headers: Mapping[str, str]) -> str:
        time.sleep(SES_SECONDS)
        return "taken"


def mails(options: argparse.Namespace) -> None:
    """How many a second one sender hands over, where each answer of SES takes a while."""
    ses: Any = SlowSes()
    with World() as world:
        room = MailRoom(Links((SECRET,), "http://dashboard.test"), "http://dashboard.test")
        say(f"Promising {options.mails:,} mails ...")
        now = datetime.now(UTC)
        for number in range(options.mails):
            mail = Mail(f"m-{number}", "security", Address(f"load{number}@example.com"), now, {"what": "Something."})
            with world.store.transaction() as tx:
                tx.mails.enqueue(mail)
        load, cpu, begun, sent = os.getloadavg()[0], time.process_time(), time.perf_counter(), 0
        while done := deliver_due(world.store, room, ses, now=datetime.now(UTC))[0]:
            sent += done
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{sent:,} mails in {seconds:.1f} s: {sent / seconds:.0f} a second by one sender, SES answering after "
        f"{SES_SECONDS * 1000:.0f} ms; {cpu / sent * 1000:.1f} ms of CPU each; load average before {load:.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/load", description=__doc__)
    parser.add_argument("--dashboards", type=int, default=1_000, help="open ones; each polls every three seconds")
    parser.add_argument("--submits", type=float, default=50.0, help="a second, of all customers together")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--mails", type=int, default=0, help="instead: so many mails by one sender")
    options = parser.parse_args()
    (mails if options.mails else dashboards)(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
