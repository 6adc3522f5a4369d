"""Requests that were let in before something ended: what they write afterwards. The rival act is put in between."""

from __future__ import annotations

from typing import Any

import pytest

from app.data.account_updates import AccountUpdates
from app.data.account_writes import AccountWrites
from app.data.second_factors import SecondFactorUpdates
from app.data.tasks import TaskReads
from app.data.typed_drafts import TypedDraftUpdates
from app.domain.clock import utcnow
from app.domain.errors import NotSignedIn, WrongState
from app.services import accounts, customers, queue, tasks, typed_drafts
from app.services.passwords import Passwords
from app.web import deps
from tests.routes.browser import Browser
from tests.security.test_second_factor import code, set_up
from tests.support import NOW, PASSWORD, every_task, make_account

ADA, OP = "ada@example.com", "op@example.com"
BCRYPT = Passwords(4)


def before(monkeypatch, part: type, name: str, rival) -> None:
    """Let `rival` happen once, just before the next call of this method of a repository."""
    write, done = getattr(part, name), []

    def late(self, *args: Any, **kwargs: Any) -> Any:
        if not done:
            done.append(1)
            rival()
        return write(self, *args, **kwargs)

    monkeypatch.setattr(part, name, late)


def delete(store) -> None:
    accounts.delete(store, BCRYPT, store.accounts.get(ADA), PASSWORD, now=utcnow())


def come_back(app, store) -> None:
    """The owner deletes the account and proves the mailbox again."""
    delete(store)
    with pytest.raises(accounts.AccountExists):
        accounts.sign_up(store, BCRYPT, ADA, "another long password", now=utcnow(), kind="browser")
    with app.app_context():
        links = deps.get().links
    token = links.url(store.accounts.get(ADA), "set_password").rpartition("/")[2]
    accounts.set_password(
        store, BCRYPT, links, token, "another long password", purpose="set_password", now=utcnow(), label=""
    )


def row(store) -> dict[str, Any]:
    return store._get("Users", {"email": ADA})


@pytest.fixture(params=["deleted", "come back"])
def ends(request, app, store):
    """What ends this life of the account while a request of it is on its way."""
    return (lambda: delete(store)) if request.param == "deleted" else (lambda: come_back(app, store))


@pytest.fixture
def signed_in(store, browser) -> Browser:
    make_account(store, credits=30)
    browser.sign_in()
    return browser


def test_a_draft_of_an_ended_life_is_not_kept(store, signed_in, monkeypatch, ends):
    before(monkeypatch, TypedDraftUpdates, "save", ends)

    signed_in.post("/credits/draft", {"description": "Words of a person who has left"})

    after = store.accounts.get("ada@example.com")
    assert typed_drafts.find_many(store, after, ["/tasks"], now=utcnow()) == [None]
    typed_drafts.erase(store, after)  # as every night
    assert list(store.typed_drafts.ids_of(after.account_id)) == []


def test_a_customer_at_stripe_of_an_ended_life_is_not_kept(store, signed_in, stripe, monkeypatch, ends):
    before(monkeypatch, AccountUpdates, "change", ends)

    answer = signed_in.post("/credits/checkout", {"pack": "pack-1000", "request_id": "r-1"})

    assert answer.location.startswith("/login")
    assert "stripe_customer_id" not in row(store)
    assert stripe.checkouts == []


def test_settings_of_an_ended_life_are_not_kept(store, signed_in, monkeypatch, ends):
    before(monkeypatch, AccountUpdates, "change", ends)

    signed_in.post("/account/settings", {"low_balance_threshold": "77", "theme": "dark", "shortcuts": "y"})

    assert store.accounts.get(ADA).theme == "system"
    assert store.accounts.get(ADA).low_balance_threshold == 50


def test_a_secret_of_an_ended_life_is_not_kept(store, signed_in, monkeypatch, ends):
    before(monkeypatch, SecondFactorUpdates, "put_pending_totp", ends)

    signed_in.post("/account/second-factor/totp", {"password": PASSWORD})

    assert "totp_pending" not in row(store)


def test_a_payment_after_the_deletion_is_credited_and_brings_no_customer_back(app, store, browser, client):
    from tests.support import post_webhook, session_event

    account = make_account(store, stripe_customer_id="cus_1")
    sold = {"account_id": account.account_id, "account_email": ADA, "credits": "1000", "price_cents": "1000"}
    delete(store)

    assert post_webhook(client, session_event(ADA, metadata=sold, customer="cus_1")).status_code == 200

    assert store.accounts.get(ADA).credits_balance == 1000
    assert "stripe_customer_id" not in row(store)


def completed_task(store) -> tuple[Any, str]:
    account = store.accounts.get(ADA)
    task_id = tasks.submit(store, account, "My plan", now=utcnow(), idempotency_key="r-1").task.task_id
    queue.claim(store, OP, task_id, now=utcnow())
    queue.complete(store, OP, task_id, "The answer", now=utcnow())
    return account, task_id


def test_a_redo_in_flight_opens_no_task_of_a_deleted_account(app, store, monkeypatch, ends):
    make_account(store, credits=30)
    account, task_id = completed_task(store)
    before(monkeypatch, TaskReads, "get", ends)
    monkeypatch.setattr(accounts, "ERASED_AT_ONCE", 0)

    with pytest.raises(NotSignedIn):
        queue.request_redo(store, account, task_id, "The second half is missing", now=utcnow())

    assert store.accounts.get(ADA).open_tasks == 0
    assert len(every_task(store)) == 1


def test_an_erased_task_is_not_done_again(app, store):
    make_account(store, credits=30)
    _, task_id = completed_task(store)
    come_back(app, store)

    with pytest.raises(WrongState, match="erased"):
        queue.request_redo(store, store.accounts.get(ADA), task_id, "The second half is missing", now=utcnow())


@pytest.mark.parametrize("end", ["signed out everywhere", "disabled", "disabled alone", "new password", "idle"])
def test_a_second_factor_does_not_finish_a_half_sign_in_that_has_ended(app, store, signed_in, monkeypatch, end):
    """The code is right and was checked: only then, before the write, does the half sign-in end."""
    secret, _ = set_up(signed_in)
    half = Browser(app)
    half.sign_in()
    account = store.accounts.get(ADA)
    (half_key,) = (session.key for session in account.sessions.values() if session.kind == "half")
    acts = {
        "signed out everywhere": lambda: accounts.sign_out_everywhere(store, store.accounts.get(ADA)),
        "disabled": lambda: customers.disable(store, OP, ADA, "A word", now=utcnow()),
        "disabled alone": lambda: store.updates.accounts.change(
            account, disabled_at=NOW
        ),  # whatever became of the sessions
        "new password": lambda: accounts.change_password(
            store, BCRYPT, account, PASSWORD, "another long password", next(iter(account.sessions.values())), now=NOW
        ),
        "idle": lambda: store.updates.accounts.remove_session(account, half_key),
    }
    before(monkeypatch, SecondFactorUpdates, "finish_sign_in", acts[end])

    answer = half.post("/login/second-factor", {"code": code(secret, 1)})

    assert answer.status_code in (401, 303)
    assert half.get("/dashboard").status_code == 303
    kinds = [session.kind for session in store.accounts.get(ADA).sessions.values() if session.kind != "half"]
    assert len(kinds) == {"signed out everywhere": 0, "disabled": 0}.get(end, 1)


@pytest.mark.parametrize("kind", ["browser", "program"])
def test_an_account_disabled_while_its_password_is_checked_is_not_signed_in(app, store, monkeypatch, kind):
    make_account(store)
    before(
        monkeypatch, AccountUpdates, "add_session", lambda: customers.disable(store, OP, ADA, "A word", now=utcnow())
    )

    if kind == "browser":
        assert Browser(app).sign_in().status_code == 401
    else:
        login = {"email": ADA, "password": PASSWORD}
        assert app.test_client().post("/api/auth/login", json=login).status_code == 401

    assert dict(store.accounts.get(ADA).sessions) == {}


def test_a_link_sets_no_password_of_an_account_disabled_meanwhile(app, store, monkeypatch):
    make_account(store, link_nonces={"reset": "n" * 22})
    with app.app_context():
        links = deps.get().links
    token = links.url(store.accounts.get(ADA), "reset").rpartition("/")[2]
    before(
        monkeypatch, AccountUpdates, "set_password", lambda: customers.disable(store, OP, ADA, "A word", now=utcnow())
    )

    with pytest.raises(accounts.LinkExpired):
        accounts.set_password(store, BCRYPT, links, token, "another long password", purpose="reset", now=utcnow())

    account = store.accounts.get(ADA)
    assert BCRYPT.matches(PASSWORD, account.password_hash)
    assert dict(account.sessions) == {}


def test_an_account_whose_task_comes_in_between_is_not_deleted(store, monkeypatch):
    """The task is submitted after the account was read and found without one."""

    account = make_account(store, credits=30)
    erase, done = AccountWrites.erase, []

    def late(tx, *args: Any) -> None:
        if not done:
            done.append(tasks.submit(store, store.accounts.get(ADA), "Just in time", now=utcnow()))
        erase(tx, *args)

    monkeypatch.setattr(AccountWrites, "erase", late)

    with pytest.raises(WrongState, match="open"):
        accounts.delete(store, BCRYPT, account, PASSWORD, now=utcnow())

    stands = store.accounts.get(ADA)
    assert (stands.deleted_at, stands.open_tasks, stands.credits_balance) == (None, 1, 20)
    assert every_task(store)[0]["description"] == "Just in time"


def test_a_sign_in_of_an_account_deleted_meanwhile_is_refused(app, store, monkeypatch, ends):
    make_account(store)
    before(monkeypatch, AccountUpdates, "add_session", ends)

    assert Browser(app).sign_in().status_code == 401

    assert len(store.accounts.get(ADA).sessions) <= 1  # the one of who came back by the link
