"""Through the real server: what was typed is there after the session has ended, at any length that a field takes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup

from app.domain.clock import utcnow
from app.domain.tasks import MAX_DESCRIPTION, MAX_RESULT
from app.services import queue, tasks
from tests.http.server import Server
from tests.support import PASSWORD, every_task, make_account

OPERATOR = "olga@example.com"


class Tab:
    """A browser at the server, its cookies checked to stay small."""

    def __init__(self, server: Server, email: str):
        self.web = httpx.Client(base_url=server.url, trust_env=False, timeout=60)
        self.email = email
        self.sign_in()

    def page(self, path: str) -> BeautifulSoup:
        return BeautifulSoup(self.web.get(path, follow_redirects=True).text, "html5lib")

    def token(self, path: str = "/login") -> str:
        field = self.page(path).select_one("input[name=csrf_token]")
        assert field
        return str(field["value"])

    def sign_in(self) -> None:
        form = {"csrf_token": self.token(), "email": self.email, "password": PASSWORD}
        assert self.web.post("/login", data=form).status_code == 303

    def send_again(self, page: BeautifulSoup, path: str) -> tuple[dict[str, Any], httpx.Response]:
        form = page.select_one(f'form[action="{path}"]')
        assert form
        fields: dict[str, Any] = {}
        for field in form.select("input[name]:not([type=file]), textarea[name]"):
            value = field.text.removeprefix("\n") if field.name == "textarea" else str(field["value"])
            fields.setdefault(str(field["name"]), []).append(value)
        return fields, self.web.post(str(form["action"]), data=fields)


@pytest.mark.threat(101)
def test_each_long_text_is_kept_and_sent_once_when_the_session_had_ended(server, store):
    ada = make_account(store, credits=1000)
    make_account(store, OPERATOR, role="admin")
    task = tasks.submit(store, ada, "Answer me", now=utcnow(), idempotency_key="first").task
    queue.claim(store, OPERATOR, task.task_id, now=utcnow())
    customer, operator = Tab(server, ada.email), Tab(server, OPERATOR)
    token, description, answer = customer.token("/dashboard"), "请" * MAX_DESCRIPTION, "结" * MAX_RESULT
    lines = "\n".join(f"{number} " + "行" * 2000 for number in range(30))
    answering = {"csrf_token": operator.token("/admin"), "result": answer}
    for email in (ada.email, OPERATOR):
        store.updates.accounts.end_sessions(store.accounts.get(email))

    sent = [
        customer.web.post("/tasks", data={"csrf_token": token, "description": description, "request_id": "long"}),
        customer.web.post("/tasks/batch", data={"csrf_token": token}, files={"table": ("a.csv", lines.encode())}),
        operator.web.post(
            f"/admin/tasks/{task.task_id}/complete", data=answering, files={"files": ("a.pdf", b"%PDF" * 500_000)}
        ),
    ]

    assert [response.status_code for response in sent] == [303, 303, 303]
    assert all(len(response.headers.get("set-cookie", "")) < 1000 for response in sent)
    for tab in (customer, operator):
        tab.sign_in()
    fields, response = customer.send_again(customer.page("/unsent"), "/tasks")
    assert (fields["description"], response.status_code) == ([description], 303)
    fields, response = customer.send_again(customer.page("/unsent"), "/tasks/batch")
    assert (fields["description"], response.status_code) == (lines.split("\n"), 200)
    preview = BeautifulSoup(response.text, "html5lib")
    fields, response = customer.send_again(preview, "/tasks/batch")
    assert (fields["description"], response.status_code) == (lines.split("\n"), 303)
    assert customer.page("/unsent").select("form:has(input[name=unsent])") == []
    fields, response = operator.send_again(operator.page("/unsent"), f"/admin/tasks/{task.task_id}/complete")
    assert (fields["result"], response.status_code) == ([answer], 303)
    assert store.tasks.get_with_result(task.task_id)[1].text == answer
    assert sorted(len(row["description"]) for row in every_task(store))[-2:] == [2003, MAX_DESCRIPTION]
    assert len(every_task(store)) == 32


@pytest.mark.threat(66)
def test_an_open_page_is_told_when_its_session_has_ended(server, store):
    """What nothing is new for is read at half price; the store of these tests is never late."""
    ada = make_account(store, credits=100)
    tasks.submit(store, ada, "Answer me", now=utcnow(), idempotency_key="first")
    tab = Tab(server, ada.email)
    asks = tab.page("/dashboard").select_one("#live")
    assert asks
    address, poll = str(asks["data-hx-get"]), {"HX-Request": "true", "HX-PTag": str(asks["data-hx-ptag"])}

    same, news = tab.web.get(address, headers=poll), tab.web.get(address, headers=poll | {"HX-PTag": "0"})
    store.updates.accounts.end_sessions(store.accounts.get(ada.email))

    assert (same.status_code, same.content) == (304, b"")
    assert (news.status_code, "Answer me" in news.text) == (200, True)
    assert tab.web.get(address, headers=poll).status_code == 401
