"""What an open page asks by itself is read at half price, maybe a moment late: it shows nothing and decides nothing.

The store here answers late on purpose: whoever does not ask for a consistent read gets the account as it was before.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from app.domain.clock import utcnow
from app.services import accounts, queue, tasks
from tests.routes.browser import Browser
from tests.support import NOW, make_account

EMAIL = "ada@example.com"


@pytest.fixture
def task(store, ada):
    return tasks.submit(store, store.accounts.get(EMAIL), "Summarise the report", now=utcnow()).task


@pytest.fixture
def late(store, monkeypatch):
    """`with late():` eventual reads of accounts answer what stood when the block began."""
    get_item = store.client.get_item

    @contextmanager
    def late():
        before = {}
        for row in store.client.scan(TableName=f"{store.prefix}Users", ConsistentRead=True)["Items"]:
            before[row["email"]["S"]] = row

        def answer(**asked):
            if asked["TableName"] != f"{store.prefix}Users" or asked.get("ConsistentRead"):
                return get_item(**asked)
            row = before.get(asked["Key"]["email"]["S"])
            return {"Item": row} if row else {}

        with monkeypatch.context() as patched:
            patched.setattr(store.client, "get_item", answer)
            yield

    return late


def polls(page: Browser, task) -> dict[str, str]:
    """By path of what an open page asks: the tag that it has."""
    return {
        "/dashboard/live": page.page("/dashboard").select_one("#live")["data-hx-ptag"],
        f"/tasks/{task.task_id}": page.page(f"/tasks/{task.task_id}").select_one("#task")["data-hx-ptag"],
    }


def poll(page: Browser, path: str, tag: str, **headers: str):
    return page.get(path, fragment=True, HX_PTag=tag, **headers)


def in_this_slice(monkeypatch) -> None:
    """The tag of a task's page holds the time, too: here it stands still."""
    at = utcnow()
    monkeypatch.setattr("app.routes.tasks.utcnow", lambda: at)


def test_a_poll_without_news_is_one_read_of_half_a_unit(ada, task, calls, monkeypatch):
    in_this_slice(monkeypatch)
    for path, tag in polls(ada, task).items():
        with calls(consistent=True) as made:
            answer = poll(ada, path, tag)

        assert (answer.status_code, answer.data, made) == (304, b"", [("GetItem", False)])


def test_whatever_a_poll_is_told_is_read_consistently(ada, task, calls):
    for path in polls(ada, task):
        with calls(consistent=True) as made:
            assert poll(ada, path, "0").status_code == 200

        assert made[:2] == [("GetItem", False), ("GetItem", True)]


def test_a_page_without_a_tag_is_asked_nothing_late(ada, task, calls):
    for path in polls(ada, task):
        for asked in ({}, {"HX_Request": "true"}, {"HX_Request": "true", "HX_PTag": ""}):
            with calls(consistent=True) as made:
                assert ada.get(path, **asked).status_code == 200

            assert made[0] == ("GetItem", True)


def test_news_that_the_replica_does_not_have_comes_with_the_next_poll(store, ada, task, late, monkeypatch):
    in_this_slice(monkeypatch)
    tags = polls(ada, task)
    with late():
        queue.claim(store, "op@example.com", task.task_id, now=utcnow())
        assert [poll(ada, path, tag).status_code for path, tag in tags.items()] == [304, 304]

    assert [poll(ada, path, tag).status_code for path, tag in tags.items()] == [200, 200]


def test_a_page_that_is_ahead_of_the_replica_is_told_nothing_old(store, ada, task, late, monkeypatch):
    in_this_slice(monkeypatch)
    with late():
        queue.claim(store, "op@example.com", task.task_id, now=utcnow())
        assert [poll(ada, path, tag).status_code for path, tag in polls(ada, task).items()] == [304, 304]


def test_a_session_that_the_replica_does_not_know_yet_is_alive(app, store, ada, task, late, monkeypatch):
    in_this_slice(monkeypatch)
    with late():
        new = Browser(app)
        new.sign_in()
        assert [poll(new, path, tag).status_code for path, tag in polls(new, task).items()] == [304, 304]


def sign_out(store, account, session_id):
    accounts.sign_out(store, account, session_id)


def end_all(store, account, session_id):
    accounts.sign_out_everywhere(store, account)


def disable(store, account, session_id):
    store.updates.accounts.change(account, disabled_at=NOW)


def set_a_new_password(store, account, session_id):
    nobody = replace(account, sessions={})
    store.updates.accounts.set_password(nobody, "another hash", used=(), nonce=("reset", "of the mail"), now=utcnow())


@pytest.mark.threat(66, 67, 68)
@pytest.mark.parametrize("end", [sign_out, end_all, disable, set_a_new_password])
def test_who_is_out_is_out_though_the_replica_does_not_know_it(store, ada, task, late, monkeypatch, end):
    in_this_slice(monkeypatch)
    store.updates.accounts.change(store.accounts.get(EMAIL), link_nonces={"reset": "of the mail"})
    tags, cookie = polls(ada, task), ada.cookie()
    with ada.client.session_transaction() as session:
        session_id = session["sid"]
    with late():
        end(store, store.accounts.get(EMAIL), session_id)
        for path, tag in tags.items():
            ada.client.set_cookie("session", cookie)
            same = poll(ada, path, tag)
            assert (same.status_code, same.data, "Set-Cookie" in same.headers) == (304, b"", False)
            assert poll(ada, path, "0").status_code == 401
            assert poll(ada, path, "").status_code == 401
        ada.client.set_cookie("session", cookie)
        for path in ("/dashboard", f"/tasks/{task.task_id}", "/account", "/transactions"):
            assert ada.get(path, HX_PTag=tags["/dashboard/live"]).status_code == 303
            ada.client.set_cookie("session", cookie)

    assert [poll(ada, path, tag).status_code for path, tag in tags.items()] == [401, 401]


@pytest.mark.threat(90)
def test_a_demoted_operator_is_out_though_the_replica_does_not_know_it(store, browser, late):
    make_account(store, "op@example.com", role="admin")
    browser.sign_in("op@example.com")
    tag = browser.page("/admin").select_one("#queue-live")["data-hx-ptag"]
    with late():
        store.updates.accounts.change(store.accounts.get("op@example.com"), role="customer")

        assert browser.get("/admin").status_code == 403
        assert browser.get("/admin", fragment=True, HX_PTag=tag).status_code == 403


def test_what_was_read_late_is_never_shown_though_the_tag_has_moved_on_meanwhile(store, ada, task, late, monkeypatch):
    """The tag of a task's page holds the time: it may change between the look and the answer."""
    tags = iter(["the page's", "the next"])
    monkeypatch.setattr("app.routes.tasks.tag_of", lambda account: next(tags))
    with late():
        accounts.sign_out_everywhere(store, store.accounts.get(EMAIL))
        answer = poll(ada, f"/tasks/{task.task_id}", "the page's")

    assert (answer.status_code, answer.data) == (304, b"")


def test_a_page_of_another_account_is_refused_however_alike_the_tags(ada, task, monkeypatch):
    in_this_slice(monkeypatch)
    for path, tag in polls(ada, task).items():
        assert poll(ada, path, tag, X_Opened_By="acc_of_bob").status_code == 401
