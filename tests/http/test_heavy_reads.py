"""Searches and files have places of their own: however many are asked for at once, pages are answered beside them."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.data.table_setup import create_tables
from app.domain.errors import PlacesTaken
from app.services import tasks
from app.web.work_slots import PLACES, Places, Slots
from tests.conftest import PREFIX
from tests.http.server import Server
from tests.http.test_ended_session import Tab
from tests.support import NOW, make_account

AT_ONCE = 24


class Held:
    """Stops every read of more rows than a page has, until it is let go."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, operation: str, body: bytes) -> None:
        limit = re.search(rb'"Limit": ([0-9]+)', body)
        if operation == "Query" and limit and int(limit[1]) > 22:
            self.waiting.release()
            assert self.go_on.wait(60)


@pytest.mark.threat(40)
@pytest.mark.parametrize("path", ["/dashboard?q=needle", "/transactions.csv"])
def test_pages_are_answered_while_24_searches_or_files_wait_for_the_store(store, proxy, dynamodb, tmp_path, path):
    create_tables(dynamodb, PREFIX)
    people = [f"reader-{number}@example.com" for number in range(4)]
    for email in (*people, "ada@example.com"):
        account = make_account(store, email, credits=100)
        tasks.submit(store, account, "A needle in the hay", now=NOW)
    held = Held()
    with (
        Server(proxy.url, tmp_path / "server.log", workers=1, STORE_TIMEOUT_SECONDS="60") as server,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        readers = [Tab(server, email) for email in people]
        ada = Tab(server, "ada@example.com")
        proxy.before = held

        heavy = [pool.submit(readers[number % len(readers)].web.get, path) for number in range(AT_ONCE)]
        try:
            assert held.waiting.acquire(timeout=30)
            pages = [ada.web.get(page).status_code for page in ("/dashboard", "/credits", "/transactions") * 3]
        finally:
            held.go_on.set()
        answers = [each.result() for each in heavy]

    assert pages == [200] * 9
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert [answer.status_code for answer in answers].count(200) >= PLACES
    for answer in answers:
        if answer.status_code == 503:
            assert "busy" in answer.text
            assert answer.headers["Retry-After"] == "5"
        elif "q=" in path:
            assert "A needle in the hay" in answer.text


@pytest.mark.threat(40)
def test_all_of_24_searches_at_once_are_answered(server, store):
    account = make_account(store, credits=300)
    for number in range(25):
        account = tasks.submit(store, account, f"{number} " + "\U0001f40b" * 4_900, now=NOW).account
    ada = Tab(server, account.email)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: ada.web.get("/dashboard?q=needle").status_code, range(AT_ONCE)))

    assert answers == [200] * AT_ONCE


# The places themselves


def test_one_account_has_one_place_and_another_one_is_served_beside_it():
    places = Places(Slots(), patience_seconds=0.01)

    with places.held("ada", "Searching"):
        with pytest.raises(PlacesTaken, match="Searching is busy"), places.held("ada", "Searching"):
            pytest.fail("a second place")
        with places.held("bob", "Searching"), pytest.raises(PlacesTaken), places.held("eve", "Making files"):
            pytest.fail("a third place")

    with places.held("ada", "Searching"):
        pass  # it came free, also of what was refused


def test_who_waits_for_a_place_holds_no_slot():
    slots = Slots(1, patience_seconds=30)
    places = Places(slots, count=1, patience_seconds=30)
    inside, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with slots.held(), places.held("ada", "Searching"):
            inside.set()
            assert go_on.wait(30)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert inside.wait(30)

    with slots.held() as mine:
        assert mine

    go_on.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_place_comes_free_when_its_read_fails():
    places = Places(Slots(), count=1, patience_seconds=0.01)

    with pytest.raises(ZeroDivisionError), places.held("ada", "Searching"):
        raise ZeroDivisionError

    with places.held("bob", "Searching"):
        pass
