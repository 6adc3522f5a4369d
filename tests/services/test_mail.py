"""The sender: at least once each, nothing lost when SES is down, every kind readable."""

from __future__ import annotations

import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import html5lib
import pytest
from bs4 import BeautifulSoup

import app
from app.data.client import make_client
from app.domain.mails import Mail
from app.gateways.ses import SesGateway, ascii_address
from app.services import mail as mail_service
from app.services import queue, tasks
from app.services.links import CONFIRM, RESET, SET_PASSWORD, Links
from app.services.mail import PATIENCE, MailRoom, deliver_due
from app.web.markdown import render_markdown
from tests.support import NOW, make_account

KINDS = sorted(
    path.name.split(".")[0] for path in (Path(app.__file__).parent / "templates/emails").glob("*.subject.txt")
)
CONTEXT = {
    "name": "Nightly",
    "expires_at": "2026-12-22T12:00:00.000000Z",
    "credits": 1000,
    "total_cents": 1000,
    "balance": 1010,
    "payment_id": "pi_1",
    "threshold": 50,
    "task_id": "task_1",
    "title": "Summarise <the> report & more",
    "reason": "Cannot be read",
    "words": "Your password was changed.",
    "what": "Your password was changed.",
    "when": "2026-11-22T12:00:00.000000Z",
    "redo": False,
    "files": [],
    "result": "**Birch**, for its <warranty>.",
    "cut": True,
    "account_id": "acc_1",
    "new": "lovelace@example.org",
    "present": "ada@example.com",
    "asked_at": "2026-11-22T12:00:00.000000Z",
    "label": "Firefox on Linux",
    "place": "example.com/hooks",
    "why": "It has answered 410 (Gone).",
    "since": "2026-11-22T12:00:00.000000Z",
}


@pytest.fixture
def room() -> MailRoom:
    return MailRoom(Links(("signing-key",), "http://dashboard.test"), "http://dashboard.test")


def promise(store, mail_id: str = "m-1", kind: str = "confirm", **context) -> None:
    with store.transaction() as tx:
        tx.mails.enqueue(Mail(mail_id, kind, "ada@example.com", NOW, context))


def deliver(store, room, sender, minutes: float = 0):
    return deliver_due(store, room, sender, now=NOW + timedelta(minutes=minutes))


def test_due_mail_is_sent_once(store, room, sender):
    make_account(store, link_nonces={CONFIRM: "nonce"})
    promise(store)

    assert [deliver(store, room, sender), deliver(store, room, sender, 5)] == [(1, 0), (0, 0)]

    (sent,) = sender.sent
    assert sent["to"] == "ada@example.com"
    assert "http://dashboard.test/confirm/" in sent["text"]
    assert store.mails.find("m-1").sent_at == NOW


def test_nothing_is_lost_while_ses_is_down(store, room, sender):
    make_account(store, link_nonces={CONFIRM: "nonce"})
    promise(store)
    sender.down = True

    assert deliver(store, room, sender) == (0, 1)
    assert store.mails.find("m-1").last_error == "ServiceUnavailable"
    assert deliver(store, room, sender) == (0, 0), "not before its time"
    sender.down = False

    assert deliver(store, room, sender, 5) == (1, 0)
    assert store.mails.find("m-1").last_error is None


@pytest.mark.long
def test_waits_grow_to_an_hour_and_end_after_two_weeks(store, room, sender, monkeypatch):
    monkeypatch.setattr(mail_service.random, "uniform", lambda low, high: 1)
    promise(store)
    sender.down = True
    now, waits = NOW, []

    while not store.mails.find("m-1").failed:
        assert deliver_due(store, room, sender, now=now) == (0, 1)
        due = store.mails.find("m-1").due_at
        waits.append((due - now).total_seconds())
        now = due

    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == 3600
    assert now - NOW >= PATIENCE
    assert deliver_due(store, room, sender, now=now + timedelta(days=1)) == (0, 0)


def test_crash_between_sending_and_noting_sends_again(store, room, sender, monkeypatch):
    promise(store)
    monkeypatch.setattr(store.updates.mails, "mark_sent", lambda *args: (_ for _ in ()).throw(SystemExit))

    with pytest.raises(SystemExit):
        deliver(store, room, sender)
    monkeypatch.undo()

    assert deliver(store, room, sender, 0.5) == (0, 0), "still leased"
    assert deliver(store, room, sender, 2) == (1, 0)
    assert len(sender.sent) == 2


def test_two_senders_at_once_send_each_mail_once(store, room, sender):
    for number in range(12):
        promise(store, f"m-{number}")

    with ThreadPoolExecutor(4) as pool:
        sent = sum(done for done, _ in pool.map(lambda _: deliver(store, room, sender), range(4)))

    assert sent == len(sender.sent) == 12


def test_mail_that_cannot_be_rendered_does_not_hold_up_the_next(store, room, sender):
    promise(store, "bad", kind="receipt")  # its context is missing
    promise(store, "good")

    sent, put_off = deliver(store, room, sender)

    assert (sent, put_off) == (1, 1)
    assert store.mails.find("bad").last_error == "UndefinedError"


def test_link_is_made_from_the_account_as_it_is_when_the_mail_is_sent(store, room, sender):
    make_account(store, link_nonces={RESET: "older"})
    promise(store, kind="reset")
    store.updates.accounts.change(store.accounts.get("ada@example.com"), link_nonces={RESET: "newer"})

    deliver(store, room, sender)

    token = re.search(r"/reset/(\S+)", sender.sent[0]["text"]).group(1)
    assert Links(("signing-key",), "").email_of(token, RESET) == ("ada@example.com", "newer")


def test_mail_without_a_live_link_is_still_worth_reading(room):
    rendered = room.render(Mail("m", "welcome", "ada@example.com", NOW, CONTEXT), None)

    assert "1,000 credits" in rendered.text
    assert "http://dashboard.test/dashboard" in rendered.text


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_readable_as_text_and_as_a_page(store, room, kind):
    account = make_account(store, link_nonces={CONFIRM: "c", RESET: "r", SET_PASSWORD: "s"})

    rendered = room.render(Mail("m", kind, account.email, NOW, CONTEXT), account)

    assert 5 < len(rendered.subject) < 120
    assert "\n" not in rendered.subject
    assert len(rendered.text) > 40
    assert "{" not in rendered.text
    assert "&amp;" not in rendered.text
    assert "<the>" not in rendered.html
    parser = html5lib.HTMLParser()
    parser.parse(rendered.html)
    assert [code for _, code, _ in parser.errors] == []
    assert "<script" not in rendered.html
    links = set(re.findall(r"https?://[^\s\"<>]+", rendered.text + rendered.html))
    assert all(link.startswith("http://dashboard.test") for link in links)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_one_look_and_is_dark_where_it_says_so(store, room, kind):
    html = room.render(Mail("m", kind, "ada@example.com", NOW, CONTEXT), make_account(store)).html

    page = BeautifulSoup(html, "html.parser")
    assert "prefers-color-scheme: dark" in page.style.get_text()
    assert page.title.get_text() == page.h1.get_text()
    dark = set(re.findall(r"^\.(\w+)", page.style.get_text().partition("prefers-color-scheme: dark")[2], re.M))
    for element in page.body.find_all(style=re.compile("#(?!14442f|f3eedd|e6cf92)")):  # the strip is the same in both
        assert dark & set(element["class"]), element
    for link in page.body.find_all("a", class_=False):
        assert link.find_parent(class_="result"), link


def test_the_result_is_in_the_mail_up_to_its_first_part(store, sender, room):
    account = make_account(store, credits=100)
    answer = "Birch, *without doubt*.\n\n" + "<b>Because</b> of its warranty. " * 60
    room = MailRoom(Links(("signing-key",), ""), "http://dashboard.test", as_html=render_markdown)
    task = tasks.submit(store, account, "Which quote?", now=NOW).task
    queue.claim(store, "op@example.com", task.task_id, now=NOW)
    queue.complete(store, "op@example.com", task.task_id, answer, now=NOW)

    deliver(store, room, sender)

    (mail,) = [mail for mail in sender.sent if mail["subject"].startswith("Done")]
    page = BeautifulSoup(mail["html"], "html.parser")
    assert page.select_one(".result em").get_text() == "without doubt"
    assert page.select(".result b") == []
    assert "<b>Because</b> of its warranty." in page.select_one(".result").get_text()
    assert answer[:600] in mail["text"]
    assert answer not in mail["text"]
    assert "(This is the first part of the result.)" in mail["text"]
    assert page.select_one("a.button")["href"] == f"http://dashboard.test/tasks/{task.task_id}"
    assert "Read all of it" in page.select_one("a.button").get_text()


def test_ses_takes_the_mail_and_keeps_text_and_page(config):
    make_client(config, "sesv2", config.dynamodb_endpoint_url).create_email_identity(
        EmailIdentity="hello@impacteragi.com"
    )
    gateway = SesGateway(replace(config, ses_endpoint_url=config.dynamodb_endpoint_url))

    message_id = gateway.send(
        to="ada@bücher.example", subject="Grüße", text="Text ünd so", html="<p>Page</p>", headers={}
    )

    assert message_id
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{config.dynamodb_endpoint_url}/_ministack/ses/messages") as answer:
        found = json.load(answer)
    newest = [message for of_account in found["messages"].values() for message in of_account][-1]
    assert (newest["Subject"], newest["BodyText"], newest["BodyHtml"]) == ("Grüße", "Text ünd so", "<p>Page</p>")
    assert newest["To"] == ["ada@xn--bcher-kva.example"]


def test_address_goes_out_in_ascii():
    assert ascii_address("ada@bücher.example") == "ada@xn--bcher-kva.example"
    assert ascii_address("ada+tag@example.com") == "ada+tag@example.com"
