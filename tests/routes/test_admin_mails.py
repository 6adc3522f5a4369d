"""Operators see why no mail goes out, and send again all that failed in a time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.clock import utcnow
from app.domain.mails import Mail, MailTrouble
from tests.routes.browser import Browser, soup
from tests.support import make_account


@pytest.fixture
def op(store, app) -> Browser:
    make_account(store, "op@example.com", role="admin")
    browser = Browser(app)
    browser.enter("op@example.com")
    return browser


def words(page) -> str:
    return " ".join(page.select_one("main").get_text(" ").split())


def fail(store, mail_id: str, when) -> None:
    with store.transaction() as tx:
        tx.mails.enqueue(Mail(mail_id, "security", "ada@example.com", when, {"what": "Something."}))
    store.updates.mails.mark_unsent(store.mails.find(mail_id), "MessageRejected: Why <it> is", when, give_up=True)


@pytest.mark.threat(113)
def test_pages_say_in_the_words_of_ses_why_no_mail_goes_out(store, op):
    now = utcnow()
    assert "No mail goes out" not in words(op.page("/admin/overview")) + words(op.page("/admin/mails"))
    reason = "TooManyRequestsException: Daily message quota exceeded."
    store.updates.mails.note_trouble(MailTrouble(reason, now - timedelta(hours=3), now + timedelta(hours=1), 9))

    overview = op.page("/admin/overview")
    assert "No mail goes out. It began 3 hours ago" in words(overview)
    for path in (overview.select_one("main [role=alert] a")["href"], "/admin/mails"):
        assert reason in words(op.page(path))


@pytest.mark.threat(113)
def test_all_that_failed_in_a_time_is_sent_again_after_it_was_shown(store, op):
    now = utcnow()
    fail(store, "yesterday", now - timedelta(days=1))
    fail(store, "long-ago", now - timedelta(days=9))
    form = op.page("/admin/mails").select_one("main form.filter")
    since = f"{now - timedelta(days=2):%Y-%m-%dT%H:%M}"  # as the browser's field sends it

    confirm = op.page(f"{form['action']}?since={since}&until=")
    assert "Send 1 again?" in words(confirm)
    assert "MessageRejected: Why <it> is" in words(confirm)
    assert len(store.mails.list_failed(limit=5).items) == 2, "nothing is sent by looking"
    send = confirm.select_one("main form[method=post]")
    data = {field["name"]: field["value"] for field in send.select("input[type=hidden]")}
    for _ in range(2):  # a double click
        assert op.post(send["action"], data).status_code == 303

    assert [mail.mail_id for mail in store.mails.list_failed(limit=5).items] == ["long-ago"]
    assert [row.action for row in store.audit.every_of("ada@example.com")] == ["mail.resend"]
    assert "No mail failed in this time." in words(op.page(f"{form['action']}?since={since}"))


def test_a_time_that_is_none_is_refused_and_a_customer_sends_nothing(store, app, op):
    fail(store, "m-1", utcnow())
    bob = make_account(store, "bob@example.com")
    browser = Browser(app)
    browser.sign_in(bob.email)

    assert op.get("/admin/mails/resend-failed?since=yesterday").status_code == 400
    assert "begin after its end" in words(soup(op.get("/admin/mails/resend-failed?since=2999-01-01&until=2020-01-01")))
    assert browser.get("/admin/mails/resend-failed").status_code == 403
    assert browser.post("/admin/mails/resend-failed", {"since": "2020-01-01"}).status_code == 403

    assert len(store.mails.list_failed(limit=5).items) == 1


@pytest.mark.threat(115)
def test_a_mail_that_was_put_off_is_listed_with_its_next_try_and_why(store, op):
    """Those that SES refuses were on no list but in the seconds in which they were due."""
    now = utcnow()
    with store.transaction() as tx:
        tx.mails.enqueue(Mail("m-1", "security", "ada@example.com", now - timedelta(hours=3), {"what": "Something."}))
    why = "MessageRejected: For a reason of ours"
    store.updates.mails.mark_unsent(store.mails.find("m-1"), why, now + timedelta(minutes=50), give_up=False)

    due = words(op.page("/admin/mails?view=due"))

    assert why in due
    assert "1 attempt, next" in due or "0 attempts, next" in due
    assert "The oldest mail was to go out 3 hours ago" in due
    assert "The oldest mail was to go out" in words(op.page("/admin/mails"))
