"""Several tasks at once, and the question before one is paid for twice."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.duplicates import may_repeat, remember
from app.domain.errors import IdempotencyKeyReused, InsufficientCredits, InvalidInput
from app.domain.text import shows
from app.forms.tables import as_lines, read_pasted
from app.forms.tasks import read_batch
from app.services import queue, tasks
from tests.routes.browser import soup
from tests.support import NOW, every_task, ledger, make_account

TEXT = "Summarise the quarterly report in five points for the board"


def words(response):
    return " ".join(soup(response).select_one("main").get_text(" ").split())


def hidden(response):
    """The fields of the preview's form, as a browser would send them."""
    form = soup(response).select_one("form[action='/tasks/batch']")
    fields = {field["name"]: field["value"] for field in form.select("input[type=hidden]")}
    return fields | {"description": [area.get_text().removeprefix("\n") for area in form.select("textarea")]}


def test_a_batch_is_submitted_once_when_it_is_confirmed(store, ada):
    preview = ada.post("/tasks/batch", {"lines": "One thing\r\n\r\n  Another thing  \r\nA third"})
    assert "30 credits , leaves 70" in words(preview)
    assert every_task(store) == []

    fields = hidden(preview)
    for _ in range(2):  # a double click
        assert ada.post("/tasks/batch", fields).status_code == 303

    assert sorted(task["description"] for task in every_task(store)) == ["A third", "Another thing", "One thing"]
    account = store.accounts.get("ada@example.com")
    assert (account.credits_balance, account.open_tasks) == (70, 3)
    listed = store.tasks.page("ada@example.com", limit=5, oldest_first=True).items
    assert [task.description for task in listed] == ["One thing", "Another thing", "A third"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (b"description\nOne\nTwo\n", ["One", "Two"]),
        (b'\xef\xbb\xbfid,Description\n1,One\n2,"Two\nlines, really"\n', ["One", "Two\nlines, really"]),
        (b"One\nTwo\n", ["One", "Two"]),
    ],
)
def test_a_csv_file_becomes_a_batch_when_it_is_chosen(ada, table, expected):
    preview = ada.post("/tasks/batch", {"lines": "", "table": (io.BytesIO(table), "tasks.csv")})

    assert hidden(preview)["description"] == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"lines": " \r\n "},
        {"lines": "\n".join(f"Task {n}" for n in range(31))},
        {"lines": "x" * 5001},
        {"lines": "", "table": (io.BytesIO(b"\xff\xfe\x00"), "tasks.csv")},
        {"description": ["ok", " "], "confirmed": "yes", "request_id": "r-1"},
    ],
)
def test_a_batch_is_refused_in_its_form_when_it_cannot_be_one(store, ada, fields):
    answer = ada.post("/tasks/batch", fields)

    assert answer.status_code == 422
    assert soup(answer).select_one("#batch-error")
    assert every_task(store) == []


def test_nothing_is_charged_when_a_batch_costs_more_than_there_is(store, ada):
    lines = "\n".join(f"Task {number}" for number in range(11))
    preview = ada.post("/tasks/batch", {"lines": lines})
    assert "You have 100 credits" in words(preview)

    answer = ada.post("/tasks/batch", hidden(preview))

    assert answer.status_code == 402
    assert "Task 10" in answer.text  # what was typed is still there
    assert every_task(store) == []
    assert store.accounts.get("ada@example.com").credits_balance == 100


def lines_of(response):
    return soup(response).select_one("textarea[name=lines]").get_text().removeprefix("\n")


def test_tasks_of_many_lines_stay_as_they_are_when_there_are_too_few_credits(store, ada):
    texts = ["One line\nand its second", 'With "quotes"; and a\ttab', "  around  ", "sep=;", "Task", "a,b"] * 2

    answer = ada.post("/tasks/batch", {"description": texts, "confirmed": "yes", "request_id": "r-1"})

    assert answer.status_code == 402
    assert "You have 100 credits, these tasks cost 120." in words(answer)
    again = ada.post("/tasks/batch", {"lines": lines_of(answer).replace("\n", "\r\n")})
    assert hidden(again)["description"] == texts


def test_tasks_of_many_lines_stay_as_they_are_when_one_of_them_is_too_long(ada):
    texts = ["One\nDue: tomorrow", "x" * 5001 + "\nDue: today"]

    answer = ada.post("/tasks/batch", {"description": texts})

    assert answer.status_code == 422
    assert list(read_pasted(lines_of(answer)).texts) == texts


@given(st.lists(st.text("ab ;,|\t\"\n'=:", min_size=1, max_size=12).filter(shows), min_size=1, max_size=5))
@example(["description"])
@example(['"'])
@example(["a\n\nb", "Task;x"])
def test_any_tasks_are_the_same_when_they_went_through_the_field(texts):
    assert list(read_batch(as_lines(texts), b"")) == texts


def test_a_batch_is_all_or_nothing_when_it_races_others(store):
    account = make_account(store, credits=100)

    def submit(number: int) -> str:
        try:
            tasks.submit_batch(store, account, ["a", "b", "c"], now=NOW, idempotency_key=f"r-{number}")
        except InsufficientCredits as refusal:
            return f"refused for want of {refusal.details()['required']}"
        return "done"

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(submit, range(8)))

    assert got.count("done") == 3
    assert got.count("refused for want of 30") == 5
    assert store.accounts.get(account.email).credits_balance == 10
    assert len(every_task(store)) == 9


@pytest.mark.threat(7)
@pytest.mark.parametrize("credits", [30, 100], ids=["drained", "affordable"])
@pytest.mark.parametrize("texts", [["a", "b", "c", "d"], ["a", "b"], ["a"], ["b", "a", "c"]])
def test_a_batch_is_refused_when_its_request_was_sent_with_other_lines(store, credits, texts):
    account = make_account(store, credits=credits)
    tasks.submit_batch(store, account, ["a", "b", "c"], now=NOW, idempotency_key="r-1")

    with pytest.raises(IdempotencyKeyReused):
        tasks.submit_batch(store, store.accounts.get(account.email), texts, now=NOW, idempotency_key="r-1")

    assert store.accounts.get(account.email).credits_balance == credits - 30
    assert len(every_task(store)) == 3


def test_a_batch_is_itself_when_it_is_repeated_on_a_drained_balance(store):
    account = make_account(store, credits=30)
    first, _ = tasks.submit_batch(store, account, ["a", "b", "c"], now=NOW, idempotency_key="r-1")

    again, after = tasks.submit_batch(store, account, ["a", "b", "c"], now=NOW, idempotency_key="r-1")
    with pytest.raises(IdempotencyKeyReused):
        tasks.submit_batch(store, account, ["a", "b", "d"], now=NOW, idempotency_key="r-1")

    assert [task.task_id for task in again] == [task.task_id for task in first]
    assert after.credits_balance == 0
    assert len(ledger(store, account.email)) == 4


@pytest.mark.parametrize("texts", [[], ["x"] * 31, ["ok", ""]])
def test_a_batch_is_refused_when_it_is_no_batch(store, texts):
    account = make_account(store, credits=1000)

    with pytest.raises(InvalidInput):
        tasks.submit_batch(store, account, texts, now=NOW, idempotency_key="r-1")


def test_the_largest_batch_fits_one_transaction(store):
    account = make_account(store, credits=310, low_balance_threshold=100)

    tasks.submit_batch(store, account, [f"Task {n}" for n in range(30)], now=NOW, idempotency_key="r-1")

    assert store.accounts.get(account.email).credits_balance == 10


# --- Near duplicates ---


@pytest.mark.parametrize(
    "again",
    [
        TEXT,
        TEXT.upper() + "!!",
        f"  {TEXT}\n",
        TEXT.replace("the board", "the whole board"),
        TEXT + ".",
    ],
)
def test_a_question_comes_first_when_a_text_says_nearly_the_same(store, ada, again):
    ada.post("/tasks", ada.composer() | {"description": TEXT})
    fields = ada.composer() | {"description": again}

    asked = ada.post("/tasks", fields)

    assert asked.status_code == 422
    assert "You submitted nearly the same" in words(asked)
    assert store.accounts.get("ada@example.com").credits_balance == 90
    assert ada.post("/tasks", fields | {"confirmed": "yes"}).status_code == 303
    assert store.accounts.get("ada@example.com").credits_balance == 80


@pytest.mark.parametrize(
    "other",
    [
        "Summarise the annual report in ten points for the press",
        TEXT.replace("board", "staff"),
        f"{TEXT} 2",
        "Test",
        "Translate it",
    ],
)
def test_no_question_comes_when_a_text_says_something_else_or_too_little(store, ada, other):
    for text in (TEXT, "Test"):
        ada.post("/tasks", ada.composer() | {"description": text})

    assert ada.post("/tasks", ada.composer() | {"description": other}).status_code == 303


def test_a_double_click_is_one_task_and_no_question(store, ada):
    fields = ada.composer() | {"description": TEXT}

    answers = [ada.post("/tasks", fields) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert len(every_task(store)) == 1


def test_no_question_comes_when_the_earlier_one_was_called_off_or_is_submitted_again(store, ada):
    first = ada.post("/tasks", ada.composer() | {"description": TEXT}).headers["Location"].rpartition("/")[2]
    page = ada.page(f"/dashboard?again={first}")
    assert page.select_one("#composer input[name=confirmed]")

    queue.cancel(store, store.accounts.get("ada@example.com"), first, now=NOW)

    assert ada.post("/tasks", ada.composer() | {"description": TEXT}).status_code == 303


def test_a_batch_tells_what_looks_familiar_when_it_is_previewed(store, ada):
    ada.post("/tasks", ada.composer() | {"description": TEXT})

    preview = words(ada.post("/tasks/batch", {"lines": f"{TEXT}\nSomething new here today\nsomething NEW here, today"}))

    assert preview.count("Nearly the same as") == 1
    assert preview.count("A repeat within this list") == 1


def test_the_marks_of_an_account_stay_short_when_it_submits_for_ever():
    recent = ""
    for number in range(500):
        recent = remember(recent, f"Task number {number} of very many")

    assert len(recent) < 400
    assert may_repeat(recent, "task NUMBER 499 of very many")
    assert not may_repeat(recent, "task number 12345 of something else")


def test_the_history_filters_by_day_and_sorts_when_the_address_says_so(store, ada):
    for day in (1, 2, 3):
        account = store.accounts.get("ada@example.com")
        tasks.submit(store, account, f"Day {day}", now=NOW.replace(day=day))

    def shown(query):
        return [link.get_text() for link in ada.page(f"/dashboard{query}").select("#task-rows a")]

    assert shown("") == ["Day 3", "Day 2", "Day 1"]
    assert shown("?sort=oldest") == ["Day 1", "Day 2", "Day 3"]
    assert shown("?since=2026-11-02") == ["Day 3", "Day 2"]
    assert shown("?until=2026-11-02&status=pending&sort=oldest") == ["Day 1", "Day 2"]
    assert shown("?since=2026-11-02&until=2026-11-02&q=day") == ["Day 2"]
    older = ada.page("/dashboard?sort=oldest&limit=2&until=2026-11-03").select_one("nav.pager a")
    assert older.get_text() == "Newer"
    assert "sort=oldest" in older["href"]
    backwards = ada.page("/dashboard?since=2026-11-03&until=2026-11-01")
    assert "From is a later day than Until" in backwards.select_one("#history").get_text()
    assert [backwards.select_one(f"#{name}")["value"] for name in ("since", "until")] == ["2026-11-03", "2026-11-01"]
    for bad in ("?since=yesterday", "?until=2026-13-01", "?sort=random"):
        assert ada.get(f"/dashboard{bad}").status_code == 400
