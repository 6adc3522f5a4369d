"""The operators' desk: what the queue shows and counts, acts on many tasks at once, and answers to HTMX and without."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.clock import utcnow
from app.domain.errors import StoreUnavailable
from app.services import queue, tasks
from tests.routes.browser import Browser, soup
from tests.support import all_mails, assert_books_agree, make_account

OP, TWO, ADA, BOB = "op@example.com", "two@example.com", "ada@example.com", "bob@example.org"


@pytest.fixture(autouse=True)
def accounts(store):
    make_account(store, ADA, credits=200)
    make_account(store, BOB, credits=200)
    make_account(store, OP, role="admin")


@pytest.fixture
def op(app) -> Browser:
    browser = Browser(app)
    browser.enter(OP)
    return browser


def submit(store, text="Summarise the report", *, email=ADA, hours=0.0):
    return tasks.submit(store, store.accounts.get(email), text, now=utcnow() - timedelta(hours=hours)).task


def claimed(store, text="Summarise the report", *, by=OP, minutes_ago=0, **more):
    task = submit(store, text, **more)
    return queue.claim(store, by, task.task_id, now=utcnow() - timedelta(minutes=minutes_ago))


def status(store, task):
    return store.tasks.find(task.task_id).status


def words(element) -> str:
    return " ".join(element.get_text(" ").split())


def tabs(page) -> list[str]:
    return [words(tab) for tab in page.select(".views a")]


def rows(page) -> list[str]:
    return [words(link) for link in page.select("#queue .queue li > a")]


def acts(store, task) -> list[str]:
    return [row.action for row in store.audit.page_of(task.task_id, limit=50).items]


# What the queue shows


def test_each_tab_says_how_many_there_are(store, op):
    submit(store, "One")
    submit(store, "Two")
    claimed(store, "Mine")
    claimed(store, "Hers", by=TWO)
    claimed(store, "Lapsed", by=TWO, minutes_ago=31)

    for view in ("waiting", "working", "mine"):
        assert tabs(op.page(f"/admin?view={view}&q=One")) == ["Waiting 3", "In progress 2", "Mine 1"]


def test_a_look_at_the_open_queue_keeps_the_minutes_that_were_chosen(op):
    page = soup(op.get("/admin?minutes=60", fragment=True))

    assert page.select_one("#next-minutes option[selected]")["value"] == "60"
    assert "#next-minutes" in page.select_one("#queue-live")["data-hx-include"]


def test_more_tasks_than_are_counted_say_so(store, op, monkeypatch):
    monkeypatch.setattr("app.domain.desk.MOST_COUNTED", 2)
    for number in range(3):
        submit(store, f"Task {number}")

    assert tabs(op.page("/admin"))[0] == "Waiting 2+"


def test_each_task_says_in_a_word_how_pressing_it_is(store, op):
    submit(store, "Old", hours=5)
    submit(store, "Older than an hour", hours=2)
    submit(store, "Fresh")

    assert [words(tag) for tag in op.page("/admin").select(".age")] == ["late", "due", "new"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=letter", ["Bob's letter", "Letter of Ada"]),
        ("customer=BOB@", ["Bob's letter", "Bob's table"]),
        ("hours=4", ["Bob's table"]),
        ("hours=1", ["Bob's table", "Bob's letter"]),
        ("q=letter&customer=ada&hours=1", []),
    ],
)
def test_the_queue_is_narrowed_by_words_customer_and_age(store, op, query, found):
    submit(store, "Bob's table", email=BOB, hours=5)
    submit(store, "Bob's letter", email=BOB, hours=2)
    submit(store, "Letter of Ada")

    page = op.page(f"/admin?{query}")

    assert sorted(rows(page)) == sorted(found)
    assert bool(page.select("#queue-filter a")) is True  # shows all again


def test_a_lapsed_task_is_narrowed_like_the_others(store, op):
    claimed(store, "Bob's table", by=TWO, email=BOB, minutes_ago=31)

    assert rows(op.page("/admin?customer=bob")) == ["Bob's table"]
    assert rows(op.page("/admin?customer=ada")) == []
    assert rows(op.page("/admin?hours=1")) == []


@pytest.mark.parametrize("query", ["view=odd", "hours=2", "hours=x", "cursor=nonsense"])
def test_a_filter_that_is_none_is_refused(op, query):
    assert op.get(f"/admin?{query}").status_code == 400


def test_the_filter_goes_along_with_pages_tasks_and_acts(store, op, monkeypatch):
    monkeypatch.setattr("app.services.desk.PAGE", 2)
    for number in range(3):
        submit(store, f"Letter {number}", hours=2)
    found = "q=letter&customer=ada&hours=1"

    page = op.page(f"/admin?{found}")
    first = page.select_one("#queue .queue li > a")["href"]
    older = page.select_one(".pager a")["href"]
    task = op.page(first)
    claim = task.select_one("#state form")["action"]
    op.post(claim, {})
    release = next(form["action"] for form in op.page(first).select("#state form") if "/release?" in form["action"])

    assert first.endswith(f"?{found}")
    assert all(part in older for part in found.split("&"))
    assert rows(op.page(older)) == ["Letter 2"]
    assert task.select_one(".crumbs a")["href"] == f"/admin?{found}"
    assert op.post(release, {}).location == f"/admin?{found}"
    assert op.post(f"/admin/bulk?{found}", {"act": "claim"}).location == f"/admin?{found}"  # nothing was ticked


def test_all_are_ticked_by_a_link(store, op):
    submit(store, "One")
    claimed(store, "Lapsed", by=TWO, minutes_ago=31)

    page = op.page("/admin")
    ticked = op.page(page.select_one("[data-tick-all]")["href"])

    assert len(page.select("[name=task_id][checked]")) == 0
    assert len(ticked.select("[name=task_id][checked]")) == 2


# Several at once


@pytest.mark.threat(25)
def test_ticked_tasks_are_rejected_with_one_reason_and_each_gives_its_credits_back(store, op):
    first, second = submit(store, "One"), claimed(store, "Two", email=BOB)
    ids = [first.task_id, second.task_id]

    asked = op.post("/admin/bulk", {"act": "refuse", "task_id": ids})
    answer = op.post("/admin/bulk?view=mine", {"act": "reject", "task_id": ids, "reason": "We do not book flights"})

    assert "20 credits go back" in asked.text
    assert asked.text.count("10 credits go back") == 2
    assert (answer.status_code, answer.location) == (303, "/admin?view=mine")
    assert "2 tasks rejected, and 20 credits given back." in words(op.page("/admin"))
    assert [status(store, task) for task in (first, second)] == ["rejected", "rejected"]
    assert [store.accounts.get(email).credits_balance for email in (ADA, BOB)] == [200, 200]
    assert [acts(store, task)[0] for task in (first, second)] == ["task.reject", "task.reject"]
    assert sorted(mail.to for mail in all_mails(store)) == [ADA, BOB]
    assert_books_agree(store)


@pytest.mark.threat(25)
def test_a_rejection_of_several_that_is_sent_again_gives_nothing_back_twice(store, op):
    task = submit(store)
    form = {"act": "reject", "task_id": [task.task_id], "reason": "No"}

    answers = [op.post("/admin/bulk", form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 409]
    assert "This task has been rejected already." in answers[1].text
    assert store.accounts.get(ADA).credits_balance == 200
    assert_books_agree(store)


def test_the_reason_stays_and_each_outcome_is_told_when_some_are_held_by_another(store, op):
    free, hers = submit(store, "Free"), claimed(store, "Hers", by=TWO)
    ids = [free.task_id, hers.task_id, "no-such-task"]

    answer = op.post("/admin/bulk", {"act": "reject", "task_id": ids, "reason": "We do not book flights"})

    page = soup(answer)
    assert answer.status_code == 409
    assert page.select_one("#reason")["value"] == "We do not book flights"
    assert [words(row) for row in page.select("section.card li")] == [
        "Free Rejected",
        f"Hers Not rejected: {TWO} is working on this task, not you.",
        "no-such-task Not rejected: There is no such task.",
    ]
    assert [box["value"] for box in page.select("form.card [name=task_id]")] == [hers.task_id]
    assert status(store, hers) == "in-progress"


def test_a_redo_is_rejected_and_nothing_goes_back(store, op):
    done = claimed(store)
    queue.complete(store, OP, done.task_id, "Done", now=utcnow())
    redo = queue.request_redo(store, store.accounts.get(ADA), done.task_id, "Once more", now=utcnow())

    asked = op.post("/admin/bulk", {"act": "refuse", "task_id": [redo.task_id]})
    op.post("/admin/bulk", {"act": "reject", "task_id": [redo.task_id], "reason": "No"})

    assert "free: nothing goes back" in asked.text
    assert store.accounts.get(ADA).credits_balance == 190


def test_a_release_of_several_tells_of_each_that_was_not_ones_own(store, op):
    mine, hers = claimed(store, "Mine"), claimed(store, "Hers", by=TWO)

    answer = op.post("/admin/bulk?view=working", {"act": "release", "task_id": [mine.task_id, hers.task_id]})

    assert answer.status_code == 200
    assert [words(row) for row in soup(answer).select("main > .card li")] == [
        "Mine Released",
        f"Hers Not released: {TWO} is working on this task, not you.",
    ]
    assert status(store, mine) == "pending"


def test_nothing_done_to_any_of_them_is_no_success(store, op):
    hers = claimed(store, by=TWO)

    assert op.post("/admin/bulk", {"act": "claim", "task_id": [hers.task_id]}).status_code == 409
    assert op.post("/admin/bulk", {"act": "odd", "task_id": [hers.task_id]}).status_code == 422


# In place of whole pages


def test_a_claim_brings_the_task_with_the_answer_in_focus(store, op):
    first = submit(store, "The <first> one")
    submit(store, "The second")

    answer = op.post("/admin/claim-next?view=mine", {"minutes": "60"}, fragment=True)

    page = soup(answer)
    assert answer.status_code == 200
    assert answer.headers["HX-Push-Url"] == f"/admin/tasks/{first.task_id}?view=mine"
    assert page.select_one("title").get_text() == "The <first> one · ImpacterAGI"
    assert page.select_one("#answer textarea[data-refocus]")
    assert page.select_one("nav.tabs [aria-current]").get_text() == "Queue"
    assert page.select_one("header") is None
    assert "Yours for 59 more minutes" in words(page.select_one("#state"))


def test_an_answer_brings_the_queue_with_what_was_done(store, op):
    task = claimed(store)

    answer = op.post(f"/admin/tasks/{task.task_id}/complete?view=mine", {"result": "Done"}, fragment=True)

    page = soup(answer)
    assert answer.headers["HX-Push-Url"] == "/admin?view=mine"
    assert page.select_one("#told").get_text() == "Completed. The customer has been told."
    assert page.select_one("h1[data-refocus]")
    assert tabs(page) == ["Waiting 0", "In progress 0", "Mine 0"]
    assert "Completed. The customer" not in op.get("/admin").text  # told once


@pytest.mark.parametrize("fragment", [True, False])
def test_an_answer_takes_the_oldest_that_nobody_has(store, op, fragment):
    task = claimed(store, "First")
    claimed(store, "Hers", by=TWO)
    second = submit(store, "Second")
    form = {"result": "Done", "then": "next"}

    answer = op.post(f"/admin/tasks/{task.task_id}/complete", form, fragment=fragment)

    leads_to = answer.headers["HX-Push-Url"] if fragment else answer.location
    assert leads_to == f"/admin/tasks/{second.task_id}"
    assert store.tasks.find(second.task_id).lease_owner == OP
    told = soup(answer) if fragment else op.page(leads_to)
    assert "This is the next one." in words(told)


@pytest.mark.parametrize("fragment", [True, False])
def test_an_answer_to_the_last_one_says_that_none_is_left(store, op, fragment):
    task = claimed(store)
    form = {"result": "Done", "then": "next"}

    answer = op.post(f"/admin/tasks/{task.task_id}/complete", form, fragment=fragment)

    told = soup(answer) if fragment else op.page(answer.location)
    assert "Nothing else is waiting: that was the last one." in words(told)


def test_an_answer_sent_twice_leads_to_the_same_next_task(store, op):
    task = claimed(store, "First")
    submit(store, "Second")
    submit(store, "Third")
    form = {"result": "Done", "then": "next"}

    leads = [op.post(f"/admin/tasks/{task.task_id}/complete", form).location for _ in range(2)]

    assert leads[0] == leads[1]
    assert tabs(op.page("/admin"))[2] == "Mine 1"


def test_an_answer_stands_when_the_next_task_cannot_be_claimed(store, op, monkeypatch):
    task = claimed(store)

    def away(*_, **__):
        raise StoreUnavailable

    monkeypatch.setattr("app.services.queue.claim_next", away)
    answer = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "Done", "then": "next"})

    assert answer.status_code == 303
    assert "Completed. The customer has been told. The next task could not be claimed" in words(op.page("/admin"))
    assert status(store, task) == "completed"


def test_an_act_is_told_as_done_when_the_list_after_it_cannot_be_read(store, op, monkeypatch):
    task = claimed(store)

    def away(*_, **__):
        raise StoreUnavailable

    monkeypatch.setattr("app.services.desk.look", away)
    answer = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "Done"}, fragment=True)

    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, "/admin")
    assert status(store, task) == "completed"


def test_nothing_to_claim_is_told_on_the_queue(op):
    answer = op.post("/admin/claim-next", {}, fragment=True)

    assert "Nothing is waiting." in soup(answer).select_one("#told").get_text()


@pytest.mark.parametrize(
    ("meanwhile", "said", "stands"),
    [
        ("lapsed", "Your lease has run out.", "The lease has run out: anybody may claim this task."),
        ("taken", f"{TWO} is working on this task, not you.", f"{TWO} is working on it, for 29 more minutes."),
        ("cancelled", "The customer has cancelled this task", "The customer has cancelled it"),
        ("completed", "This task has been completed already.", f"Completed by {TWO}"),
        ("rejected", "This task has been rejected already.", "Rejected"),
    ],
)
def test_an_open_page_is_told_what_happened_meanwhile_and_keeps_its_text(store, op, meanwhile, said, stands):
    task, now = claimed(store, minutes_ago=31), utcnow()
    if meanwhile == "cancelled":
        queue.cancel(store, store.accounts.get(ADA), task.task_id, now=now)
    elif meanwhile == "rejected":
        queue.reject(store, TWO, task.task_id, "No", now=now)
    elif meanwhile != "lapsed":
        queue.claim(store, TWO, task.task_id, now=now)
    if meanwhile == "completed":
        queue.complete(store, TWO, task.task_id, "Hers", now=now)

    answer = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "Mine"}, fragment=True)
    plain = op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "Mine"})

    page = soup(answer)
    assert answer.status_code == 409  # which HTMX does not swap: only what is marked goes in
    assert said in words(page.select_one("#toasts"))
    assert stands in words(page.select_one("#state[data-hx-swap-oob]"))
    assert page.select_one("#answer") is None
    assert plain.status_code == 409
    if meanwhile != "completed":  # then the result stands in its place
        assert soup(plain).select_one("#result").get_text().strip() == "Mine"
        assert soup(plain).select_one("#complete").has_attr("disabled")


def test_a_claim_of_what_another_was_quicker_to_claim_is_told(store, op):
    task = claimed(store, by=TWO)

    answer = op.post(f"/admin/tasks/{task.task_id}/claim", {}, fragment=True)

    assert answer.status_code == 409
    assert f"{TWO} is working on this task." in words(soup(answer).select_one("#toasts"))


@pytest.mark.parametrize("fragment", [True, False])
def test_what_was_typed_comes_along_when_a_lapsed_task_is_claimed_again(store, op, fragment):
    task = claimed(store, minutes_ago=31)
    refused = soup(op.post(f"/admin/tasks/{task.task_id}/complete", {"result": "A long answer"}))
    again = refused.select_one("#state button[form=answer]")["formaction"]

    answer = op.post(again, {"result": "A long answer"}, fragment=fragment)

    assert answer.status_code == 200
    assert soup(answer).select_one("#result").get_text().strip() == "A long answer"
    assert not soup(answer).select_one("#complete").has_attr("disabled")
    assert store.tasks.find(task.task_id).lease_owner == OP


# While one writes


@pytest.mark.parametrize("fragment", [True, False])
def test_a_preview_is_what_the_customer_would_read(store, op, fragment):
    task = claimed(store)
    text = "# Title\n\n**bold** <script>alert(1)</script>\n\n![x](https://example.com/x.png)"

    answer = op.post(f"/admin/tasks/{task.task_id}/preview", {"result": text}, fragment=fragment)

    shown = soup(answer).select_one("#preview .rich")
    assert shown.select_one("strong").get_text() == "bold"
    assert not shown.select("script, img")
    assert status(store, task) == "in-progress"
    assert acts(store, task) == ["task.claim"]
    if not fragment:
        assert soup(answer).select_one("#result").get_text().strip() == text


@pytest.mark.parametrize("fragment", [True, False])
def test_a_preview_says_what_is_wrong_and_keeps_the_text(store, op, fragment):
    task, text = claimed(store), "x" * 50_001

    answer = op.post(f"/admin/tasks/{task.task_id}/preview", {"result": text}, fragment=fragment)

    assert "The result has 50,001 characters; at most 50,000 fit." in answer.text
    if not fragment:
        assert answer.status_code == 422
        assert soup(answer).select_one("#result").get_text().strip() == text


@pytest.mark.parametrize(("minutes_ago", "acted"), [(10, ["task.claim"]), (16, ["task.renew", "task.claim"])])
def test_a_lease_is_renewed_while_one_types_once_half_of_it_is_over(store, op, minutes_ago, acted):
    task = claimed(store, minutes_ago=minutes_ago)

    answers = [op.post(f"/admin/tasks/{task.task_id}/renew", {"typing": "yes"}, fragment=True) for _ in range(3)]

    assert acts(store, task) == acted
    assert f"Yours for {29 if minutes_ago == 16 else 19} more minutes" in words(soup(answers[-1]))


@pytest.mark.parametrize("by_typing", [True, False])
def test_nobody_renews_a_lease_of_another_or_one_that_ran_out(store, op, by_typing):
    hers, lapsed = claimed(store, "Hers", by=TWO, minutes_ago=20), claimed(store, "Lapsed", minutes_ago=31)
    form = {"typing": "yes"} if by_typing else {}

    for task in (hers, lapsed):
        before = store.tasks.find(task.task_id)
        assert op.post(f"/admin/tasks/{task.task_id}/renew", form, fragment=True).status_code == 409
        assert store.tasks.find(task.task_id) == before


def test_a_lease_is_told_in_words(store, op):
    mine, hers = claimed(store, "Mine", minutes_ago=1), claimed(store, "Hers", by=TWO, minutes_ago=1)
    last = claimed(store, "Last", minutes_ago=29.5)

    assert "Yours for 28 more minutes" in words(op.page(f"/admin/tasks/{mine.task_id}"))
    assert f"{TWO} is working on it, for 28 more minutes." in words(op.page(f"/admin/tasks/{hers.task_id}"))
    assert "Yours for less than a minute" in words(op.page(f"/admin/tasks/{last.task_id}"))
    assert "you, 28 more minutes" in words(op.page("/admin?view=mine"))


def test_a_task_names_the_keys_that_do_something_there_and_no_others(store, op):
    waiting, hers, mine = submit(store, "Waits"), claimed(store, "Hers", by=TWO), claimed(store, "Mine")
    done = claimed(store, "Done")
    queue.complete(store, OP, done.task_id, "Words.", now=utcnow())

    assert named_keys(op, waiting) == "c claim r reject ? every key"
    assert named_keys(op, hers) == named_keys(op, done) == "? every key"
    assert named_keys(op, mine).startswith("e answer r reject ? every key Ctrl Enter complete")


def named_keys(op, task) -> str:
    return words(op.page(f"/admin/tasks/{task.task_id}").select_one(".keys-line"))


def test_the_keys_stand_on_the_page_unless_they_are_switched_off(store, op):
    task = submit(store)
    assert op.page("/admin").select_one(".keys-line kbd")

    store.updates.accounts.change(store.accounts.get(OP), shortcuts=False)

    assert not op.page("/admin").select(".keys-line")
    assert not op.page(f"/admin/tasks/{task.task_id}").select(".keys-line")
    assert op.page("/admin").select_one("body")["data-shortcuts"] == "off"
