"""A server without a free slot gives back what was typed, and the same form goes out once there is one again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from bs4 import BeautifulSoup

from app.data.table_setup import create_tables
from app.domain.tasks import MAX_DESCRIPTION, MAX_RESULT
from tests.conftest import PREFIX
from tests.http.server import Server
from tests.http.test_ended_session import OPERATOR, Tab
from tests.support import every_task, make_account


@pytest.fixture(scope="module")
def full(dynamodb_url, dynamodb, tmp_path_factory) -> Iterator[Server]:
    create_tables(dynamodb, PREFIX)
    log = tmp_path_factory.mktemp("full") / "server.log"
    with Server(dynamodb_url, log, workers=1, target="tests.http.full_server:app") as server:
        yield server
        assert "unexpected error" not in server.log()


def at(server: Server, tab: Tab) -> httpx.Client:
    """The same browser at another server: the cookies are of the host."""
    return httpx.Client(base_url=server.url, trust_env=False, timeout=60, cookies=tab.web.cookies)


@pytest.mark.threat(101, 40)
def test_a_full_server_gives_every_long_text_back_to_be_sent_again(server, full, store):
    ada, task = make_account(store, credits=1000), "/admin/tasks/a/complete"
    make_account(store, OPERATOR, role="admin")
    customer, operator = Tab(server, ada.email), Tab(server, OPERATOR)
    texts = {"/tasks": ("description", "请" * MAX_DESCRIPTION), task: ("result", "结" * MAX_RESULT)}
    texts["/tasks/batch"] = ("lines", "\n".join(f"{number} " + "行" * 2000 for number in range(30)))
    pages = {}
    for path, (field, text) in texts.items():
        tab = operator if path == task else customer
        form = {"csrf_token": tab.token("/dashboard"), field: text, "request_id": "the-key"}
        files = {"files": ("a.pdf", b"%PDF" * 100_000)} if path == task else None

        answer = at(full, tab).post(path, data=form, files=files)

        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "Nothing was charged" in answer.text
        pages[path] = BeautifulSoup(answer.text, "html5lib")
        assert pages[path].select_one(f"form textarea[name={field}]").text.removeprefix("\n") == text
    assert "Files have to be chosen again" in pages[task].text

    for _ in range(2):
        fields, sent = customer.send_again(pages["/tasks"], "/tasks")
        assert (fields["request_id"], sent.status_code) == (["the-key"], 303)
    assert [row["description"] for row in every_task(store)] == ["请" * MAX_DESCRIPTION]


@pytest.mark.threat(40)
@pytest.mark.parametrize(
    ("method", "path", "headers", "kind", "words"),
    [
        ("GET", "/dashboard", {}, "text/html; charset=utf-8", "<h1>"),
        ("POST", "/tasks", {"HX-Request": "true"}, "text/html; charset=utf-8", 'id="toasts"'),
        ("POST", "/api/tasks", {}, "application/json", '"code":"busy"'),
        ("POST", "/api/stripe/webhook", {}, "application/json", '"code":"busy"'),
        ("HEAD", "/login", {}, "text/html; charset=utf-8", ""),
    ],
)
def test_each_kind_of_client_of_a_full_server_is_told_in_its_own_way(full, method, path, headers, kind, words):
    data = {"description": "x"} if method == "POST" else None
    with httpx.Client(base_url=full.url, trust_env=False, timeout=60) as client:
        answer = client.request(method, path, headers=headers, data=data)

    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["Content-Type"]) == (503, "5", kind)
    assert answer.headers["Cache-Control"] == "no-store"
    assert words in answer.text
    assert method == "HEAD" or "Nothing was charged" in answer.text


@pytest.mark.threat(40)
def test_files_and_health_are_answered_beside_a_hundred_refusals(full):
    def post(number: int) -> str:
        form = {"description": f"Words {number}", "csrf_token": "any"}
        return httpx.post(f"{full.url}/tasks", data=form, trust_env=False, timeout=120).text

    with ThreadPoolExecutor(50) as pool:
        answers = pool.map(post, range(100))
        free = [httpx.get(f"{full.url}{path}", trust_env=False, timeout=60) for path in ("/healthz", "/static/app.css")]

    assert [answer.status_code for answer in free] == [200, 200]
    assert all(f"Words {number}<" in text for number, text in enumerate(answers))
