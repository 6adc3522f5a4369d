"""One machine whose clock is years off, beside one that is right, on one store: nothing that it stores is out of time.

The wrong machine is a server under libfaketime; the store and the other server are on the real time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup

from app.data import Store
from app.data.codec import decode_item
from app.data.table_setup import create_tables
from app.domain.clock import from_iso, utcnow
from tests.conftest import PREFIX
from tests.http.faked_clock import Clock
from tests.http.server import Server
from tests.support import PASSWORD, make_account

EMAIL = "ada@example.com"
YEARS = 3650  # days
LONGEST = timedelta(days=181)  # what is kept longest, and dated so when it is written
SOON = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Wrong:
    """The server whose clock is so many days off from its start on."""

    server: Server
    clock: Clock
    days: int


@pytest.fixture(scope="module", params=[YEARS, -YEARS], ids=["ahead", "behind"])
def wrong(request, library, dynamodb_url, dynamodb, tmp_path_factory) -> Iterator[Wrong]:
    create_tables(dynamodb, PREFIX)  # or it would not be healthy
    folder = tmp_path_factory.mktemp("years")
    clock = Clock(folder / "clock")
    clock.set(days=request.param)
    with Server(dynamodb_url, folder / "server.log", workers=1, **clock.settings(library)) as server:
        yield Wrong(server, clock, request.param)
        log = server.log()
        assert "unexpected error" not in log, log[-5000:]


class Program:
    """A program of a customer's, with a token that one machine gave it."""

    def __init__(self, server: Server):
        body = {"email": EMAIL, "password": PASSWORD}
        answer = httpx.post(f"{server.url}/api/auth/login", json=body, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        self._headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    def get(self, server: Server, path: str) -> Any:
        answer = httpx.get(server.url + path, headers=self._headers, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, server: Server, text: str) -> dict[str, Any]:
        address = f"{server.url}/api/tasks"
        answer = httpx.post(address, json={"description": text}, headers=self._headers, timeout=60, trust_env=False)
        assert answer.status_code == 201, answer.text
        return answer.json()


def moments(store: Store) -> dict[str, datetime]:
    """Every time that stands anywhere in the store, by where it stands."""
    found = {}

    def look(where: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                look(f"{where}.{name}", part)
        elif where.endswith(".expires_at"):
            found[where] = datetime.fromtimestamp(value, utcnow().tzinfo)
        elif isinstance(value, str) and len(value) == 27 and value.endswith("Z"):
            found[where] = from_iso(value)

    for name in store.client.list_tables()["TableNames"]:
        for page in store.client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
            for number, item in enumerate(page["Items"]):
                look(f"{name} {number}", decode_item(item))
    return found


@pytest.mark.threat(112)
def test_whatever_a_machine_years_off_stores_has_the_time_of_the_store(wrong, server, store):
    began = utcnow()
    make_account(store, credits=100)
    before = moments(store)
    program = Program(wrong.server)

    spent = [program.submit(of, f"Task {place}") for place, of in enumerate([wrong.server, server] * 2)]

    assert all(began - SOON <= from_iso(task["created_at"]) <= utcnow() + SOON for task in spent)
    new = {where: moment for where, moment in moments(store).items() if moment not in before.values()}
    assert len(new) > 12
    for where, moment in new.items():
        assert began - SOON <= moment <= utcnow() + (LONGEST if where.endswith(".expires_at") else SOON), where
    health = httpx.get(f"{wrong.server.url}/healthz", timeout=60, trust_env=False).json()
    assert (health["status"], health["clock"]) == ("degraded", "off")  # and its alert stays what it was


@pytest.mark.threat(112)
def test_sessions_and_tokens_of_a_machine_years_off_are_good_everywhere(wrong, server, store):
    make_account(store)
    given_out = [Program(wrong.server), Program(server)]

    for program in given_out:
        for machine in (wrong.server, server):
            assert program.get(machine, "/api/user")["email"] == EMAIL


@pytest.mark.threat(112)
def test_a_browser_goes_from_one_machine_to_the_other(wrong, server, store):
    make_account(store)
    for first, second in ((wrong.server, server), (server, wrong.server)):
        with httpx.Client(timeout=60, trust_env=False) as browser:  # cookies count for a host, whatever the port
            page = browser.get(f"{first.url}/login").text
            token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
            form = {"csrf_token": token, "email": EMAIL, "password": PASSWORD}
            assert browser.post(f"{first.url}/login", data=form).status_code == 303
            assert [browser.get(f"{of.url}/dashboard").status_code for of in (first, second)] == [200, 200]


@pytest.mark.threat(112)
def test_a_clock_that_jumps_while_a_machine_serves_moves_nothing(wrong, store):
    began = utcnow()
    make_account(store, credits=100)
    program = Program(wrong.server)
    try:
        for days in (0, YEARS, -YEARS, 400, 0):
            wrong.clock.set(days=days)
            at = from_iso(program.submit(wrong.server, f"Task {days}")["created_at"])
            assert began - SOON <= at <= utcnow() + SOON, days
    finally:
        wrong.clock.set(days=wrong.days)


@pytest.mark.threat(112)
def test_statements_add_up_after_rows_that_a_machine_has_dated_years_ahead(
    library, dynamodb_url, server, store, tmp_path
):
    """As an earlier version wrote them, or one whose store tells no time."""
    make_account(store, credits=100)
    month = f"{utcnow():%Y-%m}"
    clock = Clock(tmp_path / "clock")
    clock.set(days=YEARS)
    settings = clock.settings(library) | {"CLOCK_TOLERANCE_SECONDS": "0"}
    with Server(dynamodb_url, tmp_path / "server.log", workers=1, **settings) as ahead:
        program = Program(ahead)
        for text in ("First", "Second"):
            assert from_iso(program.submit(ahead, text)["created_at"]) > utcnow() + timedelta(days=YEARS - 1)

    program, began = Program(server), utcnow()
    for text in ("Third", "Fourth"):
        program.submit(server, text)

    found = program.get(server, "/api/transactions")["transactions"]
    assert [row["sequence"] for row in found] == [5, 4, 3, 2, 1]
    assert [row["balance_after"] for row in found] == [60, 70, 80, 90, 100]
    times = [from_iso(row["timestamp"]) for row in found]
    assert all(began - SOON <= moment <= utcnow() + SOON for moment in times[:2])  # the others as they were written
    of_month = program.get(server, f"/api/transactions?month={month}&type=spend")["transactions"]
    assert [row["sequence"] for row in of_month] == [5, 4, 3, 2]
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as browser:
        token = browser.get("/login").text.partition('name="csrf_token" value="')[2].partition('"')[0]
        browser.post("/login", data={"csrf_token": token, "email": EMAIL, "password": PASSWORD})
        page = BeautifulSoup(browser.get(f"/transactions/statement/{month}").text, "html.parser")
    statement = " ".join(page.get_text(" ").split())
    assert "Went out −40" in statement
    assert "Closing balance 60" in statement
    assert f"{utcnow().year + 10}" not in statement
