"""Lists: newest first, each row once, whatever the filter and the cursor."""

from __future__ import annotations

import base64
import json
from datetime import date, timedelta
from unittest.mock import patch

import pytest

from app.data import base
from app.data.base import Base
from app.data.tables import TASK_INDEX, TASKS
from app.data.tasks import TASK
from app.domain.credits import PROMO, LedgerEntry, post, spend_entry
from app.domain.errors import BadCursor, NotFound
from app.domain.paging import write_cursor
from app.domain.tasks import new_task
from tests.support import NOW, make_account


def add_tasks(store, account, count: int, words: str = "Task"):
    for number in range(count):
        moment = NOW + timedelta(seconds=number)
        task = new_task(account.email, f"{words} {number}", f"{words}-{number}", moment)
        posted, after = post(account, spend_entry(task), moment)
        with store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.tasks.add(task)
            tx.accounts.move_balance(account, after)
        account = after
    return account


def add_unpaid(store, account, count: int, words: str = "Task") -> None:
    """Rows of tasks alone, many at a time: for what depends on how many there are."""
    for first in range(0, count, 50):
        with store.transaction() as tx:
            for number in range(first, min(first + 50, count)):
                moment = NOW + timedelta(seconds=number)
                tx.tasks.add(new_task(account.email, f"{words} {number}", f"{words}-{number}", moment))


def walk(read, **filters) -> list:
    rows, cursor = [], None
    while True:
        page = read(cursor=cursor, **filters)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 100])
def test_pages_hold_each_task_once_newest_first(any_store, limit):
    account = make_account(any_store, credits=60)
    add_tasks(any_store, account, 6)

    rows = walk(lambda **kw: any_store.tasks.page(account.email, limit=limit, **kw))

    assert [task.description for task in rows] == [f"Task {number}" for number in range(5, -1, -1)]


def test_last_page_has_no_next_one_when_it_is_exactly_full(any_store):
    account = make_account(any_store, credits=60)
    add_tasks(any_store, account, 4)

    assert any_store.tasks.page(account.email, limit=4).next_cursor is None


def test_tasks_of_one_instant_are_all_there(any_store):
    account = make_account(any_store, credits=60)
    for number in range(5):
        account = add_tasks(any_store, account, 1, f"Same instant {number}")

    rows = walk(lambda **kw: any_store.tasks.page(account.email, limit=2, **kw))

    assert len({task.task_id for task in rows}) == len(rows) == 5


def test_search_and_status_narrow_the_list(any_store):
    account = make_account(any_store, credits=100)
    account = add_tasks(any_store, account, 3, "Translate")
    add_tasks(any_store, account, 3, "Summarise")

    found = walk(lambda **kw: any_store.tasks.page(account.email, limit=2, **kw), search="TRANSL")
    pending = walk(lambda **kw: any_store.tasks.page(account.email, limit=4, **kw), status="pending")
    both = walk(lambda **kw: any_store.tasks.page(account.email, limit=4, **kw), status="pending", search="sum")

    assert [len(found), len(pending), len(both)] == [3, 6, 3]
    assert any_store.tasks.page(account.email, limit=4, status="completed").items == []


def test_search_looks_at_a_bounded_number_of_rows_and_says_where_it_stopped(any_store, monkeypatch):
    monkeypatch.setattr(base, "SEARCH_CHUNK", 2)
    monkeypatch.setattr(base, "SEARCH_BUDGET", 4)
    account = make_account(any_store, credits=100)
    add_tasks(any_store, account, 9)

    first = any_store.tasks.page(account.email, limit=5, search="Task 0")

    assert (first.items, first.next_cursor is not None) == ([], True)
    found = walk(lambda **kw: any_store.tasks.page(account.email, limit=5, **kw), search="Task 0")
    assert [task.description for task in found] == ["Task 0"]


@pytest.fixture
def answers(monkeypatch) -> list[list[dict]]:
    """The items of each answer to a Query."""
    found: list[list[dict]] = []
    ask = Base._query_from

    def noted(self, query, **more):
        answer = ask(self, query, **more)
        found.append(answer["Items"])
        return answer

    monkeypatch.setattr(Base, "_query_from", noted)
    return found


def bytes_of(answers: list[list[dict]]) -> int:
    return sum(len(json.dumps(items, ensure_ascii=False).encode()) for items in answers)


@pytest.mark.parametrize("filters", [{"search": "needle"}, {"search": "needle", "status": "pending"}])
def test_a_page_of_a_search_reads_no_more_than_its_bytes_and_skips_nothing(empty_store, answers, filters):
    """A task of 5,000 characters of four bytes: as many rows as a short search looks at would be 40 MB."""
    account = make_account(empty_store)
    add_unpaid(empty_store, account, 1, "Needle")
    add_unpaid(empty_store, account, 120, "\U0001f40b" * 4_980)
    pages, cursor, found = 0, None, []

    while True:
        answers.clear()
        page = empty_store.tasks.page(account.email, limit=20, cursor=cursor, **filters)
        assert bytes_of(answers) <= 1_100_000
        assert len(answers) <= 5
        found += [task.description for task in page.items]
        pages, cursor = pages + 1, page.next_cursor
        if cursor is None:
            break

    assert found == ["Needle 0"]
    assert pages == 3  # 121 rows of 20 KB


def test_a_search_among_short_texts_looks_at_as_many_rows_as_ever_in_few_calls(empty_store, answers):
    account = make_account(empty_store)
    add_unpaid(empty_store, account, 600)

    page = empty_store.tasks.page(account.email, limit=20, search="nothing of that kind")

    assert (page.items, page.next_cursor) == ([], None)
    assert [len(items) for items in answers] == [25, 100, 475]


def test_a_search_that_is_soon_full_stops_there_and_reads_whole_what_it_shows_alone(empty_store, answers):
    account = make_account(empty_store)
    add_unpaid(empty_store, account, 300)

    with patch.object(TASK, "record", side_effect=TASK.record) as read:
        page = empty_store.tasks.page(account.email, limit=20, search="task 29")

    assert [task.description for task in page.items] == [f"Task {number}" for number in (*range(299, 289, -1), 29)]
    assert [len(items) for items in answers] == [25, 100, 175]
    assert read.call_count == 11
    answers.clear()
    assert len(empty_store.tasks.page(account.email, limit=20, search="task").items) == 20
    assert [len(items) for items in answers] == [25]


def test_long_rows_after_short_ones_end_a_search_with_the_next_call(empty_store, answers, monkeypatch):
    monkeypatch.setattr(base, "SEARCH_CHUNK", 30)
    account = make_account(empty_store)
    add_unpaid(empty_store, account, 60, "\U0001f40b" * 4_980)
    add_unpaid(empty_store, account, 25, "Short")

    walk(lambda **kw: empty_store.tasks.page(account.email, limit=5, **kw), search="whales")

    assert sum(map(len, answers)) == 85
    assert bytes_of(answers[:2]) <= 1_000_000


def test_a_page_of_long_rows_reads_on_for_what_is_missing_alone(empty_store, answers):
    """A Query's answer ends at 1 MB, with the marker of where to go on."""
    account = make_account(empty_store)
    add_unpaid(empty_store, account, 80, "\U0001f40b" * 4_980)

    page = empty_store.tasks.page(account.email, limit=70)

    assert len(page.items) == 70
    assert sum(map(len, answers)) == 71


def test_each_customer_sees_only_their_own(any_store):
    ada = make_account(any_store, credits=20)
    bob = make_account(any_store, "bob@example.com", credits=20)
    add_tasks(any_store, ada, 2, "Ada")
    add_tasks(any_store, bob, 2, "Bob")
    cursor = any_store.tasks.page(ada.email, limit=1).next_cursor

    with pytest.raises(BadCursor):
        any_store.tasks.page(bob.email, limit=10, cursor=cursor)
    task_id = any_store.tasks.page(ada.email, limit=1).items[0].task_id
    with pytest.raises(NotFound):
        any_store.tasks.get(task_id, owner=bob.email)


def test_ledger_is_filtered_by_month_and_type(any_store):
    account = make_account(any_store)
    for number, moment in enumerate([NOW - timedelta(days=40), NOW - timedelta(days=1), NOW]):
        entry = LedgerEntry(f"promo#{number}", account.email, PROMO, 100, "A gift")
        posted, after = post(account, entry, moment)
        with any_store.transaction() as tx:
            tx.ledger.append_once(posted)
            tx.accounts.move_balance(account, after)
        account = after
    add_tasks(any_store, account, 1)

    def amounts(**filters):
        return [
            entry.amount for entry in walk(lambda **kw: any_store.ledger.page(account.email, limit=2, **kw, **filters))
        ]

    assert amounts() == [-10, 100, 100, 100]
    assert amounts(month="2026-11") == [-10, 100, 100]
    assert amounts(month="2026-10") == [100]
    assert amounts(month="2026-09") == []
    assert amounts(type="spend") == [-10]
    assert amounts(type="promo", month="2026-11") == [100, 100]
    assert [entry.amount for entry in any_store.ledger.every_of(account.email)] == [-10, 100, 100, 100]


NARROWED = [
    {"status": "pending"},
    {"search": "one"},
    {"since": date(2026, 11, 1)},
    {"until": date(2026, 12, 1)},
    {"oldest_first": True},
]


@pytest.mark.parametrize("narrowed", NARROWED, ids=str)
def test_a_cursor_opens_the_list_alone_that_handed_it_out(any_store, narrowed):
    ada = make_account(any_store, credits=30)
    add_tasks(any_store, ada, 3, "One")

    def page(**more):
        return any_store.tasks.page(ada.email, limit=2, **more)

    whole, other = page().next_cursor, page(**narrowed).next_cursor

    assert len(page(cursor=whole).items) == len(page(cursor=other, **narrowed).items) == 1
    for cursor, asked in ((whole, narrowed), (other, {})):
        with pytest.raises(BadCursor):
            page(cursor=cursor, **asked)


def test_a_cursor_of_the_release_before_is_refused(any_store):
    """It says a place and not of which list: the next page could leave rows out without a word."""
    before = base64.urlsafe_b64encode(b'["2026-11-22T12:00:00.000000Z","task_a"]').decode().rstrip("=")

    with pytest.raises(BadCursor, match="Start again from the first page"):
        any_store.tasks.page("ada@example.com", limit=5, cursor=before)


def test_nothing_is_narrowed_without_a_name(any_store):
    with pytest.raises(TypeError, match="nothing says by what"):
        any_store._page("T", "", ("a", "b"), key_names=("c",), make=dict, limit=1, keep=bool)


@pytest.mark.parametrize("place", [["", "x"], [1, 2], ["a"], ["a", "b", "c"], ["x" * 2_000, "y"], [None, None]])
def test_refused_when_a_place_was_made_up(any_store, place):
    of = (TASKS.suffix, TASK_INDEX, "ada@example.com", "newest", "", "", "")

    with pytest.raises(BadCursor):
        any_store.tasks.page("ada@example.com", limit=5, cursor=write_cursor(place, of))


@pytest.mark.parametrize("cursor", ["x", "W10", "bnVsbA", "WyIiLCJ4Il0", "WzEsMl0", "WyJhIiwiYiIsImMiXQ", "é", "W1tb"])
def test_refused_when_a_cursor_was_made_up(any_store, cursor):
    with pytest.raises(BadCursor):
        any_store.tasks.page("ada@example.com", limit=5, cursor=cursor)


def test_many_rows_of_several_tables_are_read_in_one_call(any_store):
    ada = make_account(any_store)

    rows = any_store._get_many(
        [
            ("Users", {"email": ada.email}),
            ("Payments", {"payment_id": "none"}),
            ("Users", {"email": "nobody"}),
            ("Users", {"email": ada.email}),
        ]
    )

    assert [row and row["email"] for row in rows] == [ada.email, None, None, ada.email]


def test_nothing_lies_between_a_later_and_an_earlier_day(any_store, monkeypatch):
    """DynamoDB refuses such a range as our own fault; the emulators do not."""
    account = make_account(any_store, credits=20)
    add_tasks(any_store, account, 1)
    monkeypatch.setattr(any_store, "_query", lambda *args: pytest.fail("the store was asked"))

    page = any_store.tasks.page(account.email, limit=5, since=date(2026, 11, 23), until=date(2026, 11, 22))

    assert (page.items, page.next_cursor) == ([], None)
