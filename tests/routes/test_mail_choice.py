"""Which mails a customer gets: chosen on the account page, and by the link in the header of each optional mail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.accounts import Account, AddressChange
from app.domain.mails import OF_THE_CHANGE, OPTIONAL, Mail, context_of
from app.services import accounts
from app.services.mail import deliver_due
from tests.routes.browser import Browser, soup
from tests.services.test_mail import CONTEXT, KINDS
from tests.support import NOW, FakeSender, in_another_worker, make_account

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def promise(store, kind: str, mail_id: str = "m-1") -> None:
    account = store.accounts.get("ada@example.com")
    asked = account.address_change and context_of(account, account.address_change)
    with store.transaction() as tx:
        tx.mails.enqueue(Mail(mail_id, kind, account.address, NOW, asked if kind in OF_THE_CHANGE else CONTEXT))


def customer(store) -> Account:
    """Whom every kind of mail is for."""
    change = AddressChange("lovelace@example.org", NOW, "Firefox on Linux", "n-1", "n-2", 0)
    nonces = dict.fromkeys(("confirm", "reset", "set_password"), "n")
    return make_account(store, link_nonces=nonces, address_change=change)


def deliver(app, sender: FakeSender) -> dict:
    """The only mail that goes out."""
    found = app.extensions["impacteragi"]
    deliver_due(found.store, found.mail_room, sender, now=NOW + timedelta(minutes=len(sender.sent)))
    return sender.sent[-1] if sender.sent else {}


def way_out(app, mail) -> str:
    """The path of its link; programs find it in the header."""
    return mail["headers"]["List-Unsubscribe"].strip("<>").removeprefix(app.extensions["impacteragi"].config.app_url)


def unwanted(store) -> frozenset[str]:
    return store.accounts.get("ada@example.com").unwanted_mails


def test_what_is_chosen_is_kept_and_shown(store, browser):
    make_account(store)
    browser.sign_in()

    assert browser.post("/account/mails", {"receipt": "y", "low_balance": "y"}).status_code == 303

    assert unwanted(store) == {"task_completed", "task_rejected"}
    boxes = browser.page("/account").select("#mails input[type=checkbox]")
    assert {box["name"]: box.has_attr("checked") for box in boxes} == {
        "task_completed": False,
        "task_rejected": False,
        "low_balance": True,
        "receipt": True,
    }
    browser.post("/account/mails", dict.fromkeys(OPTIONAL, "y"))
    assert unwanted(store) == frozenset()


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_optional_can_be_switched_off_also_while_it_waits(app, store, kind):
    sender = FakeSender()
    account = customer(store)
    promise(store, kind)
    accounts.choose_mails(store, account, unwanted=frozenset(KINDS))

    deliver(app, sender)

    assert unwanted(store) == frozenset(OPTIONAL)
    assert bool(sender.sent) is (kind not in OPTIONAL)
    mail = store.mails.find("m-1")
    assert (mail.sent_at is None) is (kind in OPTIONAL)
    assert (mail.last_error or "").startswith("Not sent: the customer") is (kind in OPTIONAL)
    assert store.mails.list_due(NOW + timedelta(days=1)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_optional_mail_says_how_to_end_its_kind(app, store, kind):
    customer(store)
    promise(store, kind)

    mail = deliver(app, FakeSender())

    said = "/account#mails"
    assert (said in mail["text"], said in mail["html"]) == (kind in OPTIONAL, kind in OPTIONAL)
    assert mail["headers"].keys() == ({"List-Unsubscribe", "List-Unsubscribe-Post"} if kind in OPTIONAL else set())


def test_one_click_of_a_mail_program_ends_one_kind(app, store):
    make_account(store)
    promise(store, "receipt")
    mail = deliver(app, FakeSender())
    path, program = way_out(app, mail), app.test_client()
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "ada" not in path

    answers = [program.post(path, data=ONE_CLICK) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]  # no redirect: RFC 8058
    assert unwanted(store) == {"receipt"}


def test_a_person_who_opens_the_link_is_asked_first(app, store, browser):
    make_account(store)
    promise(store, "task_completed")
    path = way_out(app, deliver(app, FakeSender()))

    page = browser.page(path)
    browser.client.head(path)
    assert unwanted(store) == frozenset()
    assert "A task is done" in page.main.text

    answer = browser.client.post(path)

    assert unwanted(store) == {"task_completed"}
    assert "No more of these mails" in soup(answer).h1.text


@pytest.mark.parametrize("token", ["made-up", "a.b.c", "x" * 2000])
def test_a_link_that_is_not_ours_ends_nothing(store, browser, token):
    make_account(store)

    for answer in (browser.get(f"/unsubscribe/{token}"), browser.client.post(f"/unsubscribe/{token}", data=ONE_CLICK)):
        assert answer.status_code == 410
    assert unwanted(store) == frozenset()


def test_the_links_of_other_purposes_end_nothing(app, store, browser):
    account = make_account(store, link_nonces={"confirm": "n"})
    links = app.extensions["impacteragi"].links
    confirm = links.url(account, "confirm").rpartition("/")[2]
    security = links.unsubscribe_url(account.account_id, "security").rpartition("/")[2]

    assert [browser.get(f"/unsubscribe/{token}").status_code for token in (confirm, security)] == [410, 410]


def test_the_link_of_an_account_that_is_deleted_leaves_its_tombstone_alone(app, store):
    account = make_account(store)
    url = app.extensions["impacteragi"].links.unsubscribe_url(account.account_id, "receipt")
    with store.transaction() as tx:
        tx.accounts.erase(account, NOW)

    assert app.test_client().post("/unsubscribe/" + url.rpartition("/")[2], data=ONE_CLICK).status_code == 200
    assert unwanted(store) == frozenset()


def test_two_clicks_at_once_both_count(app, store, monkeypatch):
    account = make_account(store)
    links = app.extensions["impacteragi"].links
    tokens = [links.unsubscribe_url(account.account_id, kind).rpartition("/")[2] for kind in OPTIONAL]
    real, raced = store.transaction, []

    def transaction():
        if not raced:
            raced.append(True)
            accounts.unsubscribe(store, links, tokens[1])
        return real()

    in_another_worker(monkeypatch)
    monkeypatch.setattr(store, "transaction", transaction)
    accounts.unsubscribe(store, links, tokens[0])

    assert unwanted(store) == {OPTIONAL[0], OPTIONAL[1]}


def test_what_is_chosen_is_in_ones_own_data(store, browser):
    make_account(store)
    browser.sign_in()
    browser.post("/account/mails", {"receipt": "y"})

    assert browser.get("/account/export.json").get_json(force=True)["mails_wanted"] == {
        "task_completed": False,
        "task_rejected": False,
        "low_balance": False,
        "receipt": True,
    }


def test_who_is_signed_out_chooses_nothing(app, store):
    make_account(store)
    stranger = Browser(app)

    assert stranger.post("/account/mails", {}).status_code == 303
    assert unwanted(store) == frozenset()
