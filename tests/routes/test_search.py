"""What people look for is found however either text was typed; what shows nothing is no task."""

import pytest

from app.domain.second_factor import recovery_hash
from app.services import codes, queue, tasks
from tests.routes.browser import Browser, Program, soup
from tests.support import NOW, PASSWORD, every_task, make_account

WORDS = [
    ("Menü", "Menu\u0308"),
    ("Menu\u0308", "Menü"),
    ("Müller", "MÜLLER"),
    ("İstanbul", "istanbul"),
    ("istanbul", "İSTANBUL"),
    ("Exposé", "expose\u0301"),
    ("Ex\u00adposé", "exposé"),
    ("Exposé", "\ufeffExposé\u200b"),
]
NOTHING = [
    "\u00ad\u00ad",
    "\U000e0041\U000e007f",
    "\ufeff",
    "\u3164",
    "\uffa0\u115f",
    "\u2800",
    "\u034f",
    "\u202e",
    "\u200b \u200d",
]


@pytest.fixture
def ada(store, browser) -> Browser:
    make_account(store, credits=1000)
    browser.enter()
    return browser


@pytest.fixture
def operator(app, store) -> Browser:
    make_account(store, "op@example.com", role="admin")
    found = Browser(app)
    found.enter("op@example.com")
    return found


def submitted(store, text):
    return tasks.submit(store, store.accounts.get("ada@example.com"), text, now=NOW).task


@pytest.mark.threat(111)
@pytest.mark.parametrize(("stored", "typed"), WORDS)
def test_a_task_is_found_by_its_owner_when_it_was_typed_otherwise(app, store, ada, stored, typed):
    task = submitted(store, f"The {stored} please")
    submitted(store, "Something else")

    rows = soup(ada.client.get("/dashboard", query_string={"q": typed})).select("#task-rows li")
    found = Program(app).get("/api/tasks", q=typed).get_json()["tasks"]

    assert [row["id"] for row in rows] == [f"task-{task.task_id}"]
    assert [each["task_id"] for each in found] == [task.task_id]


@pytest.mark.threat(111)
@pytest.mark.parametrize(("stored", "typed"), WORDS)
def test_a_task_is_found_by_operators_when_it_was_typed_otherwise(app, store, ada, operator, stored, typed):
    task = submitted(store, f"The {stored} please")
    submitted(store, "Something else")

    def looked_up(**query):
        listed = soup(operator.client.get("/admin", query_string={"q": typed} | query)).select("ol.queue li")
        asked = Program(app, "op@example.com").get("/api/admin/tasks", q=typed, **query).get_json()["tasks"]
        return [row["id"] for row in listed], [each["task_id"] for each in asked]

    assert looked_up() == ([f"row-{task.task_id}"], [task.task_id])
    queue.claim(store, "op@example.com", task.task_id, now=NOW, minutes=1)  # long over: listed apart
    assert looked_up()[0] == [f"row-{task.task_id}"]


@pytest.mark.threat(111)
@pytest.mark.parametrize("padding", ["\u200b", "\ufeff", "\u00a0", "\u202a", "\u00ad"])
def test_operators_find_what_they_paste_when_invisible_characters_came_along(store, ada, operator, padding):
    task = submitted(store, "A task")
    queue.claim(store, "op@example.com", task.task_id, now=NOW)

    def rows(path, **query):
        page = soup(operator.client.get(path, query_string={k: f"{padding}{v}{padding}" for k, v in query.items()}))
        return page.select("main tbody tr")

    assert len(rows("/admin/customers", q="Ada@Example.com")) == 1
    assert len(rows("/admin/customers", q="ADA@")) == 1
    assert len(rows("/admin/audit", subject=task.task_id)) == 1
    assert operator.client.get(
        "/admin/audit", query_string={"until": "2026-11-22", "actor": f"{padding}OP@example.com"}
    )


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", NOTHING)
def test_nothing_is_charged_when_a_task_shows_nothing(app, store, ada, text):
    fields = ada.composer()
    answers = [
        ada.post("/tasks", fields | {"description": text}),
        ada.post("/tasks/batch", {"confirmed": "yes", "request_id": "r-1", "description": ["Fine", text]}),
        ada.post("/tasks/batch", {"lines": f"{text}\r\n{text}"}),
        Program(app).submit({"description": text}),
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    assert every_task(store) == []
    assert store.accounts.get("ada@example.com").credits_balance == 1000


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", NOTHING)
def test_an_answer_a_reason_and_a_note_are_refused_when_they_show_nothing(app, store, ada, operator, text):
    task = submitted(store, "A task")
    queue.claim(store, "op@example.com", task.task_id, now=NOW.replace(year=2099))
    program = Program(app, "op@example.com")
    customer = f"/admin/customers/{store.accounts.get('ada@example.com').account_id}"
    answers = [
        operator.post(f"/admin/tasks/{task.task_id}/complete", {"result": text}),
        operator.post(f"/admin/tasks/{task.task_id}/reject", {"reason": text}),
        operator.post("/admin/bulk", {"act": "complete", "task_id": task.task_id, "result": text}),
        operator.post(f"{customer}/adjust", {"amount": "5", "reason": text, "request_id": "r"}),
        operator.post(f"{customer}/disable", {"reason": text}),
        program.post(f"/api/admin/tasks/{task.task_id}/complete", json={"result": text}),
        program.post(f"/api/admin/tasks/{task.task_id}/reject", json={"reason": text}),
        program.post("/api/admin/users/ada@example.com/adjust", json={"amount": 5, "reason": text}),
    ]

    assert [answer.status_code for answer in answers] == [422] * len(answers)
    assert store.accounts.get("ada@example.com").credits_balance == 990


@pytest.mark.threat(111)
def test_a_link_in_a_list_has_words_when_its_task_was_stored_without_any(store, ada, monkeypatch):
    monkeypatch.setattr("app.domain.tasks.shows", lambda text: True)  # as it was before the rule
    submitted(store, "\u00ad\u3164")
    submitted(store, "\u200b" * 900 + "hidden behind")
    monkeypatch.undo()

    for path in ("/dashboard", "/transactions"):
        links = [link.get_text().strip() for link in ada.page(path).select("main a[href*='/tasks/task_']")]
        assert all(any(char.isascii() and char.isalpha() for char in words) for words in links), (path, links)
    listed = ada.page("/dashboard").select("#task-rows a")
    assert sorted(link.get_text() for link in listed) == ["(without words)", "hidden behind"]


@pytest.mark.threat(111)
@pytest.mark.parametrize("padding", ["\u200b", "\ufeff", "\u00a0", "\u202a", "\u00ad"])
def test_an_address_and_a_code_work_when_they_were_pasted_with_what_nobody_sees(app, store, padding):
    account = make_account(store)
    codes.create(
        store,
        "FAIR-2099",
        credits_each=5,
        max_uses=9,
        expires_at=NOW.replace(year=2099),
        created_by="op",
        limit=50,
        now=NOW,
    )
    browser = Browser(app)

    assert browser.sign_in(f"{padding}ada@example.com{padding}").status_code == 303
    assert browser.post("/credits/redeem", {"code": f"{padding}fair-{padding}2099"}).status_code == 303
    assert store.accounts.get(account.email).credits_balance == 5
    new = {"email": f"{padding}new@example.com{padding}", "password": PASSWORD}
    assert Browser(app).post("/signup", new).status_code == 303
    assert store.accounts.find("new@example.com")
    assert Browser(app).post("/forgot", {"email": f"{padding}ada@example.com"}).status_code == 200
    assert recovery_hash(f"{padding}abcdef-ghijkl-mnopqr-stuvwx") == recovery_hash("abcdefghijklmnopqrstuvwx")
