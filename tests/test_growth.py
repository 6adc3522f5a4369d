"""What docs/scaling.md rests on: units by DynamoDB's rules, a month from them, and customers who note each failure."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.data import Store
from app.domain.mails import Mail
from scripts.growth import overload, people, simulate
from scripts.growth.acts import Act, Measured, measure
from scripts.growth.meter import Meter
from scripts.growth.people import Answer, Balancer, People, Tally
from scripts.growth.rolling import Round
from tests.loops import run
from tests.support import NOW

SCALING = Path(__file__).parents[1] / "docs/scaling.md"


@pytest.fixture
def metered(moto_store) -> Store:
    return Store(Meter(moto_store.client, moto_store.prefix), moto_store.prefix)


def mail(words: int) -> Mail:
    return Mail("m-1", "security", "ada@example.com", NOW, {"what": "x" * words})


def test_units_are_those_of_dynamodbs_rules(metered):
    """A transaction writes a row twice and its index entries once; what stays as it was costs an index nothing."""
    with metered.client.act() as short, metered.transaction() as tx:
        tx.mails.enqueue(mail(10))
    with metered.client.act() as long, metered.transaction() as tx:
        tx.mails.enqueue(mail(1_500))
    with metered.client.act() as moved:
        assert metered.updates.mails.lease(metered.mails.find("m-1"), NOW.replace(year=2027))

    assert short.write == 2 + 3, "the row, and its entries by shard, by the one key and by address"
    assert long.write == 2 * 2 + 2 + 2, "the entry of keys alone is as it was"
    assert long.write_at["Outbox", "m-1"] == 4
    assert moved.read == 1
    assert moved.write == 2 + 1 + 1 + 2 + 2 + 2, "an entry whose key changes is removed and put"


def test_reads_are_counted_by_the_size_of_what_was_read(metered):
    with metered.transaction() as tx:
        tx.mails.enqueue(mail(9_000))
    with metered.client.act() as strong:
        metered.mails.find("m-1")
    with metered.client.act() as nothing:
        metered.mails.find("m-2")
    with metered.client.act() as listed:
        metered.mails.list_to("ada@example.com", limit=5)

    assert (strong.read, nothing.read, listed.read) == (3, 1, 1.5)
    assert (strong.write, listed.read_at["Outbox, to-created_at-index", "ada@example.com"]) == (0, 1.5)


def test_the_acts_cost_what_the_document_says():
    """`scripts/scaling` prints it anew."""
    acts = measure(alone=False).acts

    _, _, section = SCALING.read_text().partition("## Acts")
    told = re.findall(r"^\| ([a-z, ]+) \| ([\d.]+ \| [\d.]+) \| [\d.]+ \| ([\d.]+) \|", section, re.M)
    assert told == [
        (name, f"{act.read:g} | {act.write:g}", f"{simulate.usd_for_1000(act):.4f}") for name, act in acts.items()
    ]


def test_a_thousand_acts_cost_what_their_units_do():
    assert round(simulate.usd_for_1000(Act(2, 0)), 6) == 0.00025
    assert round(simulate.usd_for_1000(Act(1, 14)), 6) == 0.008875


def test_a_month_is_what_its_acts_and_rows_add_up_to():
    acts = {name: Act(0, 0) for name in measured_names()} | {"submit a task": Act(2, 10)}
    names = ("Users", "Tasks", "Results", "Transactions", "Audit", "Payments", "SearchKeys", "Outbox")
    rows = {name: (1, {"": 0.0}) for name in names} | {"Tasks": (1, {"": 500.0, "by-owner": 500.0})}

    month = simulate.a_month(simulate.Size("one", 0, 24_000_000_000), Measured(acts, rows))

    assert month.tasks_a_second == pytest.approx(1e9 / simulate.MONTH_SECONDS)
    assert (month.writes, month.gigabytes) == (1e10, 24_000)
    assert month.usd["writes"] == pytest.approx(6_250)
    assert month.usd["storage"] == pytest.approx((24_000 - 25) * 0.25)
    assert month.partitions == 1_200


def measured_names() -> list[str]:
    return list(simulate.SIZES[0].acts())


def test_a_key_breaks_where_one_of_its_shards_is_full():
    acts = {name: Act(0, 0) for name in (*measured_names(), "sign up", "sign in")}
    acts["submit a task"] = Act(0, 0, {}, {("Tasks, queue", "pending#n"): 2.0, ("Audit, day", "today"): 4.0})

    first, second = simulate.hot_keys(acts)

    assert (first.key, first.breaks_at, first.share(50)) == ("today", 250, 0.2)
    assert (second.key, second.breaks_at) == ("pending#n", 2_000)


# Customers


def test_a_server_is_out_after_two_looks_in_a_row_that_found_it_not_ready(monkeypatch):
    found = iter([True, False, True, False, False, False, True])
    seen: list[bool] = []
    balancer = Balancer([1])

    async def is_ready(_port: int) -> bool:
        return next(found)

    async def sleep(_seconds: float) -> None:
        seen.append(balancer.ready[1])
        if len(seen) == 7:
            raise asyncio.CancelledError

    monkeypatch.setattr(balancer, "_is_ready", is_ready)
    monkeypatch.setattr(people.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        run(balancer.keep_looking(1))

    assert seen == [True, True, True, True, False, False, True]


async def _served(answers: list[bytes], ask: Any) -> tuple[Any, int]:
    """What `ask` returns of a server that gives these answers, and how many connections it was asked by."""
    connections = 0

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while answers and await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(answers.pop(0))
            if not answers:
                break
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        found = await ask(server.sockets[0].getsockname()[1])
    return found, connections


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSES = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


def test_a_balancer_keeps_a_connection_until_the_server_ends_it():
    async def ask(port: int) -> list[int]:
        balancer = Balancer([port])
        found = [(await balancer.ask(b"GET / HTTP/1.1\r\n\r\n")).status for _ in range(4)]
        balancer.forget()
        return found

    statuses, connections = run(_served([FINE, CLOSES, FINE, FINE], ask))

    assert (statuses, connections) == ([200] * 4, 2)


def test_a_request_that_nobody_answers_is_noted_and_none_is_tried_again(monkeypatch):
    monkeypatch.setattr(people, "_bytes", lambda *_: b"GET / HTTP/1.1\r\n\r\n")
    ada = SimpleNamespace(account=SimpleNamespace(email="ada", version=1), headers=lambda **_: {}, csrf="")

    async def ask(port: int) -> Tally:
        balancer = Balancer([port])
        customers = People([ada], balancer)  # type: ignore[list-item]
        wanted = [(0.0, "poll", ada), (0.0, "submit", ada)]
        found = await customers.at_a_rate(wanted)  # type: ignore[arg-type]
        balancer.ready[port] = False
        await customers.ask("poll", ada, 0.0)  # type: ignore[arg-type]
        balancer.forget()
        return found

    tally, _ = run(_served([b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200"], ask))

    assert (tally.done, tally.refused, len(tally.failed)) == (1, 1, 2)
    assert sum(tally.submitted.values()) == 0
    assert not Round(tally, 0, 1.0).is_clean
    assert not Round(Tally(), 1, 1.0).is_clean
    assert Round(Tally(), 0, 1.0).is_clean


def steady() -> dict[str, Tally]:
    """Twice as much as can be done, as it should be: half of it served, polls sent away before dashboards."""
    runs = {name: Tally() for name in overload.RUNS}
    away = {"poll": 8, "dashboard": 4, "submit": 0}
    for kind, number in away.items():
        for turn in range(10):
            refused = turn < number
            answer = Answer(503 if refused else 200, {"retry-after": "5"} if refused else {}, b"")
            runs["twice"].answered(kind, answer, 0.01 if refused else 0.9)
            for name in ("after", "beside"):
                runs[name].answered(kind, Answer(200, {}, b""), 0.05)
    return runs


def test_what_is_steady_under_twice_the_load_has_no_fault_and_each_fault_is_a_sentence():
    assert overload.faults(steady()) == []
    assert "| twice as much | poll | 2 | 900, 900 | 8 | 10, 10 |" in overload.table(steady())

    def told(run: str, kind: str, status: int, headers: dict[str, str], seconds: float) -> list[str]:
        runs = steady()
        runs[run].answered(kind, Answer(status, headers, b""), seconds)
        return overload.faults(runs)

    again = {"retry-after": "5"}
    assert told("twice", "submit", 200, {}, 1.2) == [
        "twice as much: of each submit served 5 in 100 took 1,200 ms or more."
    ]
    assert told("twice", "poll", 503, again, 8.0) == [
        "twice as much: of each poll sent away 5 in 100 took 8,000 ms or more."
    ]
    for status, headers in ((503, {}), (500, again)):
        assert told("twice", "poll", status, headers, 0.1) == [
            "twice as much: 1 were refused otherwise than by 503 with Retry-After."
        ]
    assert told("after", "dashboard", 503, again, 0.1) == [
        "half, two seconds later: 1 dashboards and submits were sent away."
    ]
    assert told("beside", "submit", 503, again, 0.1) == [
        "a quarter, beside a flood: 1 dashboards and submits were sent away."
    ]
    assert told("beside", "dashboard", 200, {}, 1.2) == [
        "a quarter, beside a flood: of each dashboard served 5 in 100 took 1,200 ms or more."
    ]
    assert told("flood", "dashboard", 503, again, 9.0) == []
    assert told("after", "poll", 503, again, 0.1) == []
    runs = steady()
    for _ in range(90):
        runs["twice"].answered("submit", Answer(503, again, b""), 0.01)
    assert overload.faults(runs) == ["It was not polls that were sent away first, then dashboards, then submits."]
    runs = steady()
    runs["twice"].failed.append("poll: TimeoutError")
    assert overload.faults(runs) == ["twice as much: 1 got no answer (poll: TimeoutError)."]
