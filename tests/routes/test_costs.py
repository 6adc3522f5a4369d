"""What an account may ask for in a while: searches, files, cancelled tasks. Nothing is lost by asking for more."""

from __future__ import annotations

import pytest

from app.services import queue, tasks
from app.services.throttle import CANCEL_BY_ACCOUNT, CANCEL_BY_DAY, FILE_BY_ACCOUNT, SEARCH_BY_ACCOUNT
from app.web import deps
from tests.routes.browser import Browser, Program, soup
from tests.support import NOW, make_account

ADA = "ada@example.com"
pytestmark = pytest.mark.usefixtures("in_one_window")


@pytest.fixture
def ada(store, browser) -> Browser:
    make_account(store, credits=1000)
    browser.enter()
    return browser


def submitted(store, text="A task"):
    return tasks.submit(store, store.accounts.get(ADA), text, now=NOW).task


def use_up(app, limit, name, *, but: int = 0) -> None:
    with app.app_context():
        deps.get().throttle.hit(limit, name, ADA, count=limit.amount - but)


@pytest.mark.threat(40)
@pytest.mark.parametrize("way", ["page", "fragment", "api"])
def test_submit_and_cancel_has_an_end_and_the_task_stays(app, store, ada, way):
    def cancel(task):
        if way == "api":
            return Program(app).post(f"/api/tasks/{task.task_id}/cancel")
        return ada.post(f"/tasks/{task.task_id}/cancel", {}, fragment=way == "fragment")

    answers = [cancel(submitted(store, f"Task {number}")) for number in range(31)]

    assert {answer.status_code for answer in answers[:30]} <= {200, 303}
    refused = answers[30]
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "You have cancelled many tasks. This one stays as it is." in refused.text
    (stays,) = store.tasks.page(ADA, limit=50, status="pending").items
    assert stays.description == "Task 30"
    assert store.accounts.get(ADA).credits_balance == 990


def test_a_day_of_cancelling_has_an_end_too(app, store, ada):
    use_up(app, CANCEL_BY_DAY, "cancel-day")

    refused = ada.post(f"/tasks/{submitted(store).task_id}/cancel", {})

    assert refused.status_code == 429
    assert "hours" in refused.text


def test_what_was_not_cancelled_is_not_counted(app, store, ada):
    task = submitted(store)
    queue.claim(store, "op@example.com", task.task_id, now=NOW.replace(year=2099))
    use_up(app, CANCEL_BY_ACCOUNT, "cancel", but=1)

    tried = [ada.post(f"/tasks/{task.task_id}/cancel", {}).status_code for _ in range(3)]

    assert tried == [409] * 3
    assert ada.post(f"/tasks/{submitted(store, 'Another').task_id}/cancel", {}).status_code == 303


def test_operators_reject_as_many_as_there_are(app, store, ada):
    use_up(app, CANCEL_BY_ACCOUNT, "cancel")
    make_account(store, "op@example.com", role="admin")
    task = submitted(store)
    operator = Browser(app)
    operator.sign_in("op@example.com")
    queue.claim(store, "op@example.com", task.task_id, now=NOW.replace(year=2099))

    assert operator.post(f"/admin/tasks/{task.task_id}/reject", {"reason": "Not ours"}).status_code == 303


@pytest.mark.threat(40)
def test_searches_have_a_limit_an_account_and_what_was_typed_stays_in_the_field(app, store, ada):
    submitted(store, "A needle")
    program = Program(app)
    with_answers = [ada.get("/dashboard?q=needle", fragment=bool(number % 2)).status_code for number in range(60)]
    assert with_answers == [200] * 60

    page = ada.get("/dashboard?q=needle&status=pending")

    assert page.status_code == 429
    assert int(page.headers["Retry-After"]) > 0
    shown = soup(page)
    assert shown.select_one("#q")["value"] == "needle"
    assert shown.select_one("#status option[selected]")["value"] == "pending"
    assert "You have searched many times" in shown.select_one("#history [role=alert]").text
    assert not shown.select("#task-rows li")
    assert "No task matches" not in page.text
    fragment = ada.get("/dashboard?q=needle", fragment=True)
    assert (fragment.status_code, "You have searched many times" in fragment.text) == (429, True)
    api = program.get("/api/tasks", q="needle")
    assert (api.status_code, api.get_json()["code"]) == (429, "rate_limited")
    assert ada.get("/transactions?type=spend").status_code == 429
    assert program.get("/api/transactions", type="spend").status_code == 429


def test_who_has_searched_too_much_sees_every_list_as_ever(app, store, ada):
    submitted(store, "A needle")
    use_up(app, SEARCH_BY_ACCOUNT, "search")
    program = Program(app)

    for path in ("/dashboard", "/dashboard?status=pending", "/transactions", "/dashboard/live"):
        assert ada.get(path).status_code == 200
    assert program.get("/api/tasks").status_code == program.get("/api/transactions").status_code == 200
    assert ada.get("/dashboard/live?q=needle", fragment=True).status_code == 304  # the open page asks again


def test_a_search_of_somebody_else_is_not_counted(app, store, ada):
    use_up(app, SEARCH_BY_ACCOUNT, "search")
    make_account(store, "bob@example.com")
    bob = Browser(app)
    bob.sign_in("bob@example.com")

    assert bob.get("/dashboard?q=needle").status_code == 200


@pytest.mark.threat(40, 110)
def test_head_of_a_search_counts_nothing_and_reads_nothing(store, ada, calls):
    submitted(store, "A needle")
    with calls() as made:
        heads = {ada.client.head("/dashboard?q=needle").status_code for _ in range(70)}
        ahead = ada.get("/dashboard?q=needle", Sec_Purpose="prefetch").status_code

    assert (heads, ahead) == ({200}, 503)
    assert "Query" not in made
    assert ada.get("/dashboard?q=needle").status_code == 200


@pytest.mark.threat(40)
@pytest.mark.parametrize(
    "path", ["/transactions.csv", *(f"/transactions/statement/2026-11{end}" for end in ("", ".pdf"))]
)
def test_files_have_a_limit_an_account(app, ada, path):
    use_up(app, FILE_BY_ACCOUNT, "file", but=1)

    assert ada.get(path).status_code == 200
    refused = ada.get(path)

    assert refused.status_code == 429
    assert "You have fetched many files" in refused.text
    assert refused.headers["Retry-After"]


def test_a_search_that_finds_no_place_says_so_and_keeps_its_word(app, ada, monkeypatch):
    with app.app_context():
        places = deps.get().places
    monkeypatch.setattr(places, "_patience_seconds", 0.01)

    with places.held(ADA, "Searching"):
        page, file = ada.get("/dashboard?q=needle"), ada.get("/transactions.csv")
        api = Program(app).get("/api/tasks", q="needle")

    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert soup(page).select_one("#q")["value"] == "needle"
    assert "Searching is busy at the moment" in page.text
    assert (file.status_code, "Making files is busy" in file.text) == (503, True)
    assert (api.status_code, api.get_json()["code"]) == (503, "busy")


def test_a_page_that_ends_before_its_search_says_so(store, ada, monkeypatch):
    monkeypatch.setattr("app.data.base.SEARCH_BUDGET", 2)
    for number in range(4):
        submitted(store, f"Hay {number}")

    page = ada.page("/dashboard?q=needle")

    assert "No match among these yet" in page.text
    assert "No task matches" not in page.text
    assert page.select("#history nav a, #history .pager a")
