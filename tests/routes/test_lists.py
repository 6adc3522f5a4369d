"""What belongs to a list is swapped with it: links, files and paging say what the rows say."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.domain.clock import utcnow
from app.domain.payments import RefundFact
from app.services import payments, queue, tasks
from tests.routes.browser import Browser, soup
from tests.services.test_payments import paid, record
from tests.support import make_account

ADA, OP = "ada@example.com", "op@example.com"

# Every list of the app: its address, the element that HTMX swaps (none: the whole page comes), and filters of it.
LISTS = {
    "dashboard": ("/dashboard", "#history", ["q=first", "status=pending", "since=2026-01-01&sort=oldest", "limit=1"]),
    "transactions": (
        "/transactions",
        "#movements",
        ["type=spend", "month={month}", "type=spend&month={month}", "limit=1"],
    ),
    "queue": ("/admin", "#queue", ["q=first", "view=mine", "view=working&q=second", "limit=1"]),
    "audit": (
        "/admin/audit",
        "#log",
        ["action=task.", "actor=op@example.com", "subject={task}", "limit=1&action=task."],
    ),
    "customers": ("/admin/customers", None, ["q=ada@"]),
    "mails": ("/admin/mails", None, ["view=due"]),
    "corrections": ("/admin/corrections", None, ["limit=1"]),
    "parked": ("/admin/finance", None, ["limit=1"]),
    "codes": ("/admin/finance/codes", None, [""]),
}
FILES = {"transactions": "/transactions.csv", "audit": "/admin/audit.csv"}
CASES = [(name, query) for name, (_, _, queries) in LISTS.items() for query in queries]


@pytest.fixture
def world(app, store):
    """A customer and an operator with a few rows in every list; addresses are filled in by `at`."""
    make_account(store, credits=100)
    make_account(store, OP, role="admin")
    record(store, paid())
    made = [
        tasks.submit(store, store.accounts.get(ADA), f"The {word} task", now=utcnow()).task
        for word in ("first", "second", "third")
    ]
    # Now, as the rows before it: a row of before behind them says that their clock was ahead, and moves their month.
    payments.record_fact(store, RefundFact("pi_1", "re_1", 250, "succeeded"), now=utcnow())
    queue.claim(store, OP, made[1].task_id, now=utcnow())
    queue.reject(store, OP, made[0].task_id, "No", now=utcnow() - timedelta(seconds=1))
    people = {name: Browser(app) for name in ("customer", "operator")}
    people["customer"].sign_in()
    people["operator"].sign_in(OP)
    return people, {"month": f"{utcnow():%Y-%m}", "task": made[1].task_id}


def asked(world, name: str, query: str):
    people, values = world
    path, block, _ = LISTS[name]
    browser = people["operator" if path.startswith("/admin") else "customer"]
    return browser, f"{path}?{query.format(**values)}".rstrip("?"), block


def told(address: str) -> dict[str, str]:
    """The filter in an address, without what only says how it is shown."""
    return {k: v for k, v in parse_qsl(urlsplit(address).query) if v and k not in ("cursor", "limit", "for")}


def for_program(address: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}for=program"


def plain(element) -> str:
    """What it says, without the tokens of its forms: they hold the second in which they were made."""
    return re.sub(r'<input[^>]*name="csrf_token"[^>]*>', "", str(element))


@pytest.mark.parametrize("name", [name for name, (_, block, _) in LISTS.items() if block])
def test_nothing_outside_of_what_is_swapped_depends_on_the_filter(world, name):
    outside = set()
    for query in ["", *LISTS[name][2]]:
        browser, address, block = asked(world, name, query)
        page = soup(browser.get(address))
        page.select_one(block).extract()
        for form in page.select("#composer"):  # has a fresh idempotency key each time
            form.extract()
        outside.add(plain(page.select_one("main")))

    assert len(outside) == 1


@pytest.mark.parametrize(("name", "query"), CASES)
def test_the_fragment_and_the_page_are_the_same_list(world, name, query):
    browser, address, block = asked(world, name, query)
    if block is None:
        assert soup(browser.get(address, fragment=True)).select_one("main")  # the whole page, links and all
        return

    page, fragment = soup(browser.get(address)), soup(browser.get(address, fragment=True))

    wanted = page.select_one(block)
    assert plain(wanted) == plain(fragment.select_one(block))
    assert soup(browser.get(address, fragment=True, HX_Request_Type="full")).select_one("main")  # Back asks for all


@pytest.mark.parametrize(("name", "query"), CASES)
def test_paging_keeps_the_filter(world, name, query):
    browser, address, _ = asked(world, name, query)
    page = soup(browser.get(f"{address}{'&' if '?' in address else '?'}limit=1"))

    for link in page.select("nav.pager a"):
        same = told(link["href"])
        assert {k: v for k, v in same.items() if k != "until"} == told(address)
        assert link.get("data-hx-get", link["href"]) == link["href"]
        assert browser.get(link["href"]).status_code == 200


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["page", "fragment", "second page"])
def test_the_file_holds_the_rows_of_the_list_and_no_others(world, name, way):
    for query in ["", *LISTS[name][2]]:
        query = query.replace("limit=1", "limit=2").replace("&limit=2", "")
        browser, address, block = asked(world, name, query)
        shown = soup(browser.get(address, fragment=way == "fragment"))
        link = shown.select_one(f"{block} a[download]")
        assert link["href"].partition("?")[0] == FILES[name]
        if way == "second page" and (older := shown.select_one("nav.pager a")):
            shown = soup(browser.get(older["href"]))
            assert shown.select_one(f"{block} a[download]")["href"] == link["href"]
        filed = list(csv.DictReader(io.StringIO(browser.get(for_program(link["href"])).text)))
        every, more = [], address
        while more:
            page = soup(browser.get(more))
            every += page.select(f"{block} tbody tr")
            more = next((a["href"] for a in page.select("nav.pager a") if a.get_text() in ("Older", "Newer")), None)
        times = [row.select_one("time")["datetime"][:19] for row in every]
        assert [(row.get("date") or row["at"])[:19] for row in filed] == times, address
        assert filed or "mine" in query


def test_the_rows_of_one_task_are_the_rows_of_its_file(world):
    browser, address, block = asked(world, "transactions", "task={task}")

    page = soup(browser.get(address))
    link = page.select_one(f"{block} a[download]")["href"]

    assert len(page.select("tbody tr")) == 1
    assert browser.get(f"{link}&for=program").headers["X-Row-Count"] == "1"


def test_the_statement_is_of_the_month_that_the_list_shows(store, world):
    browser, _, block = asked(world, "transactions", "month={month}")
    store.updates.accounts.change(store.accounts.get(ADA), created_at=utcnow() - timedelta(days=90))
    for month in ("2026-09", world[1]["month"]):
        fragment = soup(browser.get(f"/transactions?month={month}", fragment=True))
        links = [a["href"] for a in fragment.select(f"{block} a") if "/statement/" in a["href"]]
        assert links == [f"/transactions/statement/{month}"]
