"""The dashboard and the composer: pages, fragments, and what each of them costs in calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from bs4 import BeautifulSoup

from app.data.direct import DirectClient
from app.data.threads import THREADS, Readers
from app.domain.clock import utcnow
from app.domain.errors import StoreUnavailable
from app.services import tasks
from tests.routes.browser import Browser, soup
from tests.support import NOW, every_task, ledger, make_account, post_webhook, session_event


def submit(browser: Browser, text: str = "Summarise the report", *, fragment: bool = True, **fields: str):
    return browser.post("/tasks", {"description": text, "request_id": "r-1"} | fields, fragment=fragment)


def balance(store) -> int:
    return store.accounts.get("ada@example.com").credits_balance


# The page


def test_dashboard_shows_balance_composer_and_history(ada, store):
    submit(ada)

    page = ada.page("/dashboard")

    assert page.select_one("#balance .sum b").text == "90"
    assert page.select_one("#balance-chip b").text == "90"
    assert page.select_one("#submit-task").text == "Submit task (10 credits)"
    assert [row.select_one("a").text for row in page.select("#task-rows li")] == ["Summarise the report"]
    assert page.select_one("#task-rows .pill").text == "Pending"


def test_a_first_task_can_begin_with_an_example(ada, store):
    links = [link["href"] for link in ada.page("/dashboard").select("#history .empty a")]
    assert len(links) == 3

    filled = [ada.page(link).select_one("#composer textarea").text.strip() for link in links]
    odd = [
        ada.page(f"/dashboard?example={odd}").select_one("#composer textarea").text.strip() for odd in ("0", "4", "x")
    ]
    assert [len(set(filled)), all(filled), odd] == [3, True, ["", "", ""]]

    submit(ada, filled[1])
    assert [task["description"] for task in every_task(store)] == [filled[1]]
    assert not ada.page("/dashboard").select("#history .empty")


def test_an_example_takes_nobodys_words_away(ada):
    ada.post("/drafts", {"draft": "/tasks page01", "number": 1, "description": "Half a thought"}, fragment=True)

    page = ada.page("/dashboard?example=1")

    assert page.select_one("#composer textarea").text.strip() == "Half a thought"
    assert "Your draft" in page.select_one("#composer [data-draft-line]").text


def test_composer_has_a_fresh_key_each_time(ada):
    assert ada.composer()["request_id"] != ada.composer()["request_id"]


def test_nothing_is_polled_when_no_task_is_open(ada):
    live = ada.page("/dashboard").select_one("#live")

    assert not [name for name in live.attrs if name.startswith("data-hx")]


def test_page_polls_while_a_task_is_open(ada, store):
    submit(ada)

    live = ada.page("/dashboard").select_one("#live")

    assert live["data-hx-get"] == "/dashboard/live"
    assert live["data-hx-trigger"] == "every 3s"
    assert live["data-hx-ptag"] == str(store.accounts.get("ada@example.com").version)


def test_way_to_buy_is_shown_when_there_are_no_credits(browser, store):
    make_account(store)
    browser.sign_in()

    page = browser.page("/dashboard")

    assert "0 credits left" in page.select_one("#notices").text
    assert page.select_one("#notices a").text == "Buy credits"
    assert page.select_one("#composer .note button").text == "Buy credits and keep this text"


@pytest.mark.threat(78)
def test_a_frozen_account_is_told_so_before_anything_is_typed(ada, store):
    store.updates.accounts.change(store.accounts.get("ada@example.com"), visible=False, frozen_at=NOW)

    page = ada.page("/dashboard")

    assert "Spending is paused" in page.select_one("#notices").get_text()
    assert page.select_one("#submit-task").has_attr("disabled")
    assert "Spending is paused" in ada.page("/credits").select_one("main .note.bad").get_text()


def test_markup_in_a_task_is_shown_as_text(ada):
    text = "<img src=x onerror=alert(1)><script>alert(1)</script>{{ 7*7 }}"

    fragment = submit(ada, text)

    page = ada.page("/dashboard")
    assert page.select_one("#task-rows a").text == text
    assert page.select("#task-rows img, #task-rows script") == []
    assert BeautifulSoup(fragment.text, "html5lib").select("img") == []


@pytest.mark.threat(21)
@pytest.mark.parametrize(
    "text", ["\u202eright to left", "emoji 👩‍🚀", "line\u2028separator", "\x1b[31mred", "x" * 5000]
)
def test_page_stands_whatever_text_was_submitted(ada, text):
    assert submit(ada, text).status_code == 200

    assert len(ada.page("/dashboard").select("#task-rows li")) == 1


# Submitting


@pytest.mark.threat(22)
def test_fragment_answer_brings_composer_row_and_balance(ada, store):
    answer = submit(ada)

    assert answer.status_code == 200
    assert "HX-Request" in answer.headers["Vary"]
    parts = soup(answer)
    composer = parts.select_one("form#composer")
    assert composer.select_one("textarea").text.strip() == ""
    assert composer.select_one("#request_id")["value"] not in ("", "r-1")
    assert "Submitted" in composer.select_one("[role=status]").text
    for out_of_band in ("#balance", "#balance-chip", "#live", "#notices"):
        assert parts.select_one(out_of_band)["data-hx-swap-oob"] == "outerMorph"
    assert parts.select_one("#balance .sum b").text == "90"
    (partial,) = parts.select("hx-partial")
    assert partial["data-hx-target"] == "#task-rows"
    (task,) = every_task(store)
    assert partial.select_one("li")["id"] == f"task-{task['task_id']}"
    assert parts.select_one("#live")["data-hx-trigger"] == "every 3s"
    assert balance(store) == 90


def test_page_without_javascript_goes_on_to_the_task(ada, store):
    answer = submit(ada, fragment=False)

    (task,) = every_task(store)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/tasks/{task['task_id']}")
    page = ada.page(answer.headers["Location"])
    assert "Summarise the report" in page.select_one("main").text


@pytest.mark.threat(1)
def test_one_charge_when_a_form_is_sent_twice(ada, store):
    answers = [submit(ada, fragment=False) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert balance(store) == 90


@pytest.mark.threat(1)
def test_one_charge_when_a_form_is_sent_twice_at_once(app, ada, store):
    def send(_):
        browser = Browser(app)
        browser.client.set_cookie("session", ada.cookie())
        return submit(browser).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))

    assert set(answers) <= {200, 409}
    assert 200 in answers
    assert balance(store) == 90


@pytest.mark.threat(19)
@pytest.mark.parametrize("fragment", [True, False])
@pytest.mark.parametrize("text", ["", " \r\n ", "x" * 5001])
def test_422_beside_the_field_keeps_what_was_typed(ada, store, text, fragment):
    answer = submit(ada, text, fragment=fragment)

    page = soup(answer)
    area = page.select_one("textarea#description")
    assert answer.status_code == 422
    assert area["aria-invalid"] == "true"
    assert page.select_one("#description-error").text.strip()
    assert area.text.strip() == text.strip()
    assert page.select_one("#request_id")["value"]
    assert (page.select_one("nav") is None) is fragment
    assert balance(store) == 100


@pytest.mark.threat(12)
@pytest.mark.parametrize("fragment", [True, False])
def test_402_keeps_the_text_and_offers_to_buy(browser, store, fragment):
    make_account(store, credits=9)
    browser.sign_in()

    answer = submit(browser, "Precious words", fragment=fragment)

    page = soup(answer)
    assert answer.status_code == 402
    assert page.select_one("textarea").text.strip() == "Precious words"
    alert = page.select_one("#composer [role=alert]")
    assert "You have 9 credits, a task costs 10." in " ".join(alert.text.split())
    assert alert.select_one("button")["formaction"]
    assert (page.select_one("nav") is None) is fragment
    assert balance(store) == 9
    assert every_task(store) == []


def test_newlines_are_stored_as_they_were_typed(ada, store):
    submit(ada, "one\r\ntwo")

    assert every_task(store)[0]["description"] == "one\ntwo"


def test_same_task_when_browser_and_no_javascript_send_one_form(ada, store):
    first, second = submit(ada, "one\r\ntwo"), submit(ada, "one\ntwo", fragment=False)

    assert (first.status_code, second.status_code) == (200, 303)
    assert balance(store) == 90


def test_409_brings_a_fresh_key_when_the_text_was_changed(ada, store):
    submit(ada, "One thing")

    answer = submit(ada, "Another thing")

    parts = soup(answer)
    assert answer.status_code == 409
    assert "idempotency" in parts.select_one("#toasts").text
    key = parts.select_one("#request_id")
    assert key["data-hx-swap-oob"] == "true"
    assert key["value"] not in ("", "r-1")
    assert submit(ada, "Another thing", request_id=key["value"]).status_code == 200
    assert balance(store) == 80


@pytest.mark.parametrize("request_id", ["x" * 256, "schlüssel"])
def test_refused_when_the_forms_key_was_tampered_with(ada, store, request_id):
    answer = submit(ada, request_id=request_id)

    assert 400 <= answer.status_code < 500
    assert balance(store) == 100


@pytest.mark.threat(18)
def test_what_a_form_may_not_set_is_ignored(ada, store):
    submit(ada, credits_spent="0", status="completed", user_email="bob@example.com", price="0")

    (task,) = every_task(store)
    assert (task["credits_spent"], task["status"], task["user_email"]) == (10, "pending", "ada@example.com")
    assert balance(store) == 90


@pytest.mark.threat(20)
def test_413_when_the_body_is_huge(ada, store):
    answer = ada.client.post("/tasks", data={"description": "x" * 3_000_000})

    assert answer.status_code == 413
    assert balance(store) == 100


# The poll


def test_304_when_nothing_has_changed(ada, store):
    submit(ada)
    tag = ada.page("/dashboard").select_one("#live")["data-hx-ptag"]

    answer = ada.get("/dashboard/live", fragment=True, HX_PTag=tag)

    assert (answer.status_code, answer.data) == (304, b"")


def test_poll_brings_history_and_balance_when_something_changed(ada, store):
    submit(ada)
    tag = ada.page("/dashboard").select_one("#live")["data-hx-ptag"]
    post_webhook(ada.client, session_event(session="cs_1"))

    answer = ada.get("/dashboard/live", fragment=True, HX_PTag=tag)

    parts = soup(answer)
    assert answer.status_code == 200
    assert parts.select_one("#history") is not None
    assert "data-hx-swap-oob" not in parts.select_one("#history").attrs
    assert parts.select_one("#balance .sum b").text == "1,090"
    assert parts.select_one("#balance-chip b").text == "1,090"
    assert parts.select_one("#live")["data-hx-ptag"] != tag
    assert parts.select_one("form#composer") is None


def test_first_poll_after_a_submit_fetches(ada):
    live = soup(submit(ada)).select_one("#live")

    assert ada.get("/dashboard/live", fragment=True, HX_PTag=live["data-hx-ptag"]).status_code == 200


def test_poll_keeps_filter_and_page(ada):
    submit(ada, "Translate the letter", request_id="r-1")
    submit(ada, "Summarise the report", request_id="r-2")

    parts = soup(ada.get("/dashboard/live?q=letter", fragment=True))

    assert [row.select_one("a").text for row in parts.select("#task-rows li")] == ["Translate the letter"]
    assert parts.select_one("#q")["value"] == "letter"


# History


def test_history_alone_answers_a_filter(ada):
    submit(ada, "Translate the letter", request_id="r-1")
    submit(ada, "Summarise the report", request_id="r-2")

    answer = ada.get("/dashboard?q=letter&status=pending", fragment=True)

    parts = soup(answer)
    assert parts.select_one("nav[aria-label=Main]") is None
    assert len(parts.select("#task-rows li")) == 1
    assert parts.select_one("option[selected]")["value"] == "pending"


def test_pages_of_the_history_show_each_task_once(ada, store):
    account = store.accounts.get("ada@example.com")
    made = [tasks.submit(store, account, f"Task {n}", now=NOW).task.task_id for n in range(5)]

    seen, path = [], "/dashboard?limit=2"
    while path:
        page = ada.page(path)
        seen += [row["id"].removeprefix("task-") for row in page.select("#task-rows li")]
        older = [link["href"] for link in page.select(".pager a") if link.text == "Older"]
        onward = [link["href"] for link in page.select(".pager a[rel=next]")]
        assert onward == older  # "Newest" leads back, and its arrow says so
        path = older[0] + "&limit=2" if older else None

    assert sorted(seen) == sorted(made)


@pytest.mark.threat(86)
@pytest.mark.parametrize("query", ["cursor=x", "status=done", "limit=x"])
def test_400_page_when_the_address_was_tampered_with(ada, query):
    assert ada.get(f"/dashboard?{query}").status_code == 400
    assert ada.get(f"/dashboard?{query}", fragment=True).status_code == 400


@pytest.mark.threat(85)
def test_404_when_a_task_is_somebody_elses(app, ada, store):
    submit(ada)
    (task,) = every_task(store)
    make_account(store, "bob@example.com")
    bob = Browser(app)
    bob.sign_in("bob@example.com")

    assert bob.get(f"/tasks/{task['task_id']}").status_code == 404
    assert bob.get("/tasks/task_none").status_code == 404
    assert ada.get(f"/tasks/{task['task_id']}").status_code == 200


@pytest.mark.threat(85)
def test_history_of_another_customer_is_never_shown(app, ada, store):
    submit(ada)
    make_account(store, "bob@example.com")
    bob = Browser(app)
    bob.sign_in("bob@example.com")

    page = bob.page("/dashboard?user_email=ada@example.com&email=ada@example.com")

    assert page.select("#task-rows li") == []


# What was written before the session ended


def test_text_survives_a_session_that_ended(ada, store):
    fields = ada.composer()
    store.updates.accounts.change(store.accounts.get("ada@example.com"), sessions={})

    ended = ada.client.post("/tasks", data=fields | {"description": "Precious words"})
    ada.sign_in()

    assert ended.status_code == 303
    assert "Precious words" in [field.text.strip() for field in ada.page("/unsent").select("textarea")]
    assert every_task(store) == []


# What it costs: counted, not timed


def test_dashboard_costs_three_reads(ada, calls):
    submit(ada)

    with calls() as made:
        ada.page("/dashboard")

    assert sorted(made) == ["GetItem", "GetItem", "Query"]


def usually_waits(monkeypatch, seconds: float | None) -> None:
    """However soon the store of the tests answers."""
    monkeypatch.setattr(DirectClient, "usual_wait", seconds)


@pytest.mark.parametrize(("wait", "threads"), [(None, 1), (0.004, 1), (0.0005, 0)])
def test_history_has_a_thread_where_the_store_lets_one_wait(ada, monkeypatch, wait, threads):
    usually_waits(monkeypatch, wait)
    begin, begun = Readers.begin, []
    monkeypatch.setattr(Readers, "begin", lambda readers, read: begun.append(read) or begin(readers, read))

    assert ada.get("/dashboard").status_code == 200
    assert len(begun) == threads


def test_dashboard_makes_its_two_reads_side_by_side(ada, store, monkeypatch):
    """Each of them waits for the other to have begun: one after the other, the first would wait in vain."""
    usually_waits(monkeypatch, 0.004)
    both_begun = Barrier(2, timeout=10)
    for part, name in ((store.accounts, "find"), (store.tasks, "lines")):
        read = getattr(part, name)
        monkeypatch.setattr(part, name, lambda *a, _read=read, **k: (both_begun.wait(), _read(*a, **k))[1])

    assert ada.get("/dashboard").status_code == 200


def test_nothing_of_the_history_is_shown_when_the_session_has_ended_meanwhile(ada, store):
    submit(ada, text="Only for Ada")
    store.updates.accounts.change(store.accounts.get("ada@example.com"), sessions={})

    answer = ada.get("/dashboard")

    assert answer.status_code == 303
    assert "Only for Ada" not in answer.text


def test_dead_sessions_keep_no_reader_waiting(app, ada, store, monkeypatch):
    """A cookie that was signed out still names an address: what is begun for it must not pile up."""
    usually_waits(monkeypatch, 0.004)
    hold, begun = Event(), []
    read = store.tasks.page

    def held(*args, **kwargs):
        begun.append(args)
        hold.wait(30)
        return read(*args, **kwargs)

    live = Browser(app)
    live.sign_in()
    cookie = ada.cookie()
    ada.post("/logout", {})
    monkeypatch.setattr(store.tasks, "lines", held)
    monkeypatch.setattr(store.tasks, "page", held)

    try:
        for address in [*["/dashboard"] * (THREADS + 5), *["/dashboard?q=anything"] * 3]:
            ada.client.set_cookie("session", cookie)
            assert ada.get(address).status_code == 303
        assert len(begun) == THREADS
        monkeypatch.setattr(store.tasks, "lines", read)
        assert live.get("/dashboard").status_code == 200
    finally:
        hold.set()


def test_dead_session_comes_before_a_wrong_address(ada, store):
    store.updates.accounts.change(store.accounts.get("ada@example.com"), sessions={})

    assert ada.get("/dashboard?limit=many").status_code == 303


def test_lost_history_is_a_503_and_no_empty_list(ada, store, monkeypatch):
    def fail(*_, **__):
        raise StoreUnavailable

    monkeypatch.setattr(store.tasks, "lines", fail)

    assert ada.get("/dashboard").status_code == 503


def test_unchanged_poll_costs_one_read(ada, store, calls):  # half a unit: tests/routes/test_late_reads.py
    submit(ada)
    tag = str(store.accounts.get("ada@example.com").version)

    with calls() as made:
        assert ada.get("/dashboard/live", fragment=True, HX_PTag=tag).status_code == 304

    assert made == ["GetItem"]


def test_changed_poll_costs_two_reads_and_the_one_that_saw_it(ada, calls):
    with calls(consistent=True) as made:
        ada.get("/dashboard/live", fragment=True, HX_PTag="0")

    assert made == [("GetItem", False), ("GetItem", True), ("Query", False)]


@pytest.mark.parametrize("fragment", [True, False])
def test_submit_costs_one_read_and_one_transaction(ada, calls, fragment):
    fields = ada.composer() | {"description": "Summarise"}
    headers = {"HX-Request": "true"} if fragment else {}

    with calls() as made:
        ada.client.post("/tasks", data=fields, headers=headers)

    assert made == ["GetItem", "TransactWriteItems"]


def test_submit_over_the_api_costs_one_read_and_one_transaction(app, store, calls):
    from tests.routes.browser import Program

    make_account(store, credits=100)
    program = Program(app)

    with calls() as made:
        program.submit({"description": "Summarise"})

    assert made == ["GetItem", "TransactWriteItems"]


@pytest.fixture
def delivery_noted(monkeypatch):
    """Once a minute a worker notes that Stripe reached it, in a write of its own: here it has just done so."""
    monkeypatch.setattr("app.services.heartbeats._noted_at", utcnow())


@pytest.mark.usefixtures("delivery_noted")
@pytest.mark.parametrize("known", [True, False])
def test_webhook_costs_one_read_and_one_transaction(client, store, calls, known):
    if known:
        make_account(store)

    with calls() as made:
        post_webhook(client, session_event(session="cs_1"))

    assert made == ["BatchGetItem", "TransactWriteItems"]


@pytest.mark.usefixtures("delivery_noted")
def test_repeated_webhook_costs_one_read(client, store, calls):
    event = session_event(session="cs_1")
    post_webhook(client, event)

    with calls() as made:
        post_webhook(client, event)

    assert made == ["BatchGetItem"]


def test_reads_that_decide_are_consistent(ada, calls):
    with calls(consistent=True) as made:
        ada.page("/dashboard")

    assert sorted(made) == [("GetItem", True), ("GetItem", True), ("Query", False)]  # account, draft; tasks


@pytest.mark.threat(23)
def test_ledger_agrees_after_all_of_it(ada, store):
    for number in range(3):
        submit(ada, request_id=f"r-{number}")

    assert [row.balance_after for row in ledger(store, "ada@example.com")] == [100, 90, 80, 70]
