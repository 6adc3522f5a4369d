"""The account page: password, sessions, settings, one's own data, and the end of the account."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from app.data import Store
from app.domain.accounts import Session, session_key
from app.domain.clock import to_iso, utcnow
from app.domain.errors import NotSignedIn
from app.services import accounts, payments, queue, tasks
from app.services.passwords import Passwords
from app.web import deps
from tests.routes.browser import Browser, Program, soup
from tests.support import NOW, PASSWORD, all_mails, every_task, ledger, make_account, session_event

NEW = "a much longer passphrase"


def change(browser: Browser, current: str = PASSWORD, new: str = NEW):
    return browser.post("/account/password", {"current_password": current, "new_password": new})


@pytest.mark.threat(67)
def test_a_new_password_ends_every_other_session_and_token(app, store):
    make_account(store)
    here, elsewhere = Browser(app), Browser(app)
    here.sign_in(), elsewhere.sign_in()
    program = Program(app)
    old_cookie = here.cookie()

    assert change(here).status_code == 303

    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 303
    assert program.get("/api/user").status_code == 401
    thief = Browser(app)
    thief.client.set_cookie("session", old_cookie)
    assert thief.get("/account").status_code == 303
    assert Browser(app).sign_in().status_code == 401
    assert Browser(app).sign_in(password=NEW).status_code == 303
    assert [mail.kind for mail in all_mails(store)] == ["security"]


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong", NEW, "current_password"),
        ("", NEW, "current_password"),
        (PASSWORD, "short", "new_password"),
        (PASSWORD, "password123", "new_password"),
        (PASSWORD, "x" * 73, "new_password"),
        (PASSWORD, PASSWORD, "new_password"),
        ("ü\x00" * 40, NEW, "current_password"),
    ],
)
def test_the_password_stays_when_the_change_is_refused(app, store, browser, current, new, field):
    before = make_account(store).password_hash
    browser.sign_in()

    response = change(browser, current, new)

    assert response.status_code == 422
    assert soup(response).select_one(f"#{field}-error")
    assert store.accounts.get("ada@example.com").password_hash == before


def test_guessing_the_current_password_in_a_borrowed_session_is_throttled(app, store, browser):
    make_account(store)
    browser.sign_in()

    answers = [change(browser, f"guess {number}").status_code for number in range(12)]

    assert answers[:10] == [422] * 10
    assert answers[10:] == [429] * 2
    assert browser.get("/account").status_code == 200


def test_a_sign_in_in_flight_opens_nothing_when_the_password_is_replaced_meanwhile(store):
    """bcrypt takes a quarter of a second: what it checked must still be the password when the session is written."""
    make_account(store)

    class Slow(Passwords):
        def matches(self, password, stored):
            matched = super().matches(password, stored)
            store.updates.accounts.change(
                store.accounts.get("ada@example.com"), password_hash=self.hash(NEW), sessions={}
            )
            return matched

    with pytest.raises(accounts.BadCredentials):
        accounts.sign_in(store, Slow(4), "ada@example.com", PASSWORD, now=NOW, kind="browser")

    account = store.accounts.get("ada@example.com")
    assert account.sessions == {}
    assert Passwords(4).matches(NEW, account.password_hash)


def test_an_old_password_does_not_come_back_when_its_hash_is_renewed_at_sign_in(store):
    make_account(store)

    class Slow(Passwords):  # another cost: the sign-in wants to store a new hash of the password that it checked
        def matches(self, password, stored):
            matched = super().matches(password, stored)
            store.updates.accounts.change(
                store.accounts.get("ada@example.com"), password_hash=None, sessions={}
            )  # an outside payment ended it
            return matched

    with pytest.raises(accounts.BadCredentials):
        accounts.sign_in(store, Slow(5), "ada@example.com", PASSWORD, now=NOW, kind="browser")

    assert store.accounts.get("ada@example.com").password_hash is None


@pytest.mark.threat(45)
def test_a_request_in_flight_spends_nothing_of_a_payment_that_ended_its_password(store):
    """Signed up by a stranger, credited for the owner: an old read of the account must not decide the spend."""
    stranger = make_account(store, credits=10, confirmed_at=None)
    read_before = store.accounts.get(stranger.email)
    payments.handle_event(store, session_event(stranger.email), livemode=False, now=NOW)

    with pytest.raises(NotSignedIn):
        tasks.submit(store, read_before, "Spend it", now=NOW, idempotency_key="r-1")

    assert every_task(store) == []
    assert store.accounts.get(stranger.email).credits_balance == 1010


def test_the_list_names_sessions_and_signs_one_out(app, store, browser):
    make_account(store)
    browser.sign_in()
    other = Browser(app)
    agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
    page = other.get("/login")
    token = soup(page).select_one("input[name=csrf_token]")["value"]
    form = {"csrf_token": token, "email": "ada@example.com", "password": PASSWORD}
    other.client.post("/login", data=form, headers={"User-Agent": agent})

    listed = browser.page("/account").select_one("#sessions")
    key = listed.select_one("input[name=key]")["value"]
    assert "Chrome on Linux" in listed.text
    assert len(listed.select("li")) == 2

    assert browser.post("/account/sign-out", {"key": key}).status_code == 303

    assert other.get("/account").status_code == 303
    assert browser.get("/account").status_code == 200


@pytest.mark.parametrize("key", ["", "nobody", "a.b", "#x", "\x00", "x" * 3000])
def test_nothing_ends_when_the_session_to_end_is_unknown(store, browser, key):
    make_account(store)
    browser.sign_in()

    assert browser.post("/account/sign-out", {"key": key}).status_code == 303
    assert browser.get("/account").status_code == 200


@pytest.mark.threat(66)
def test_sign_out_everywhere_ends_all_of_them(app, store, browser):
    make_account(store)
    other, program = Browser(app), Program(app)
    browser.sign_in(), other.sign_in()

    browser.post("/account/sign-out-everywhere", {})

    assert [b.get("/account").status_code for b in (browser, other)] == [303, 303]
    assert program.get("/api/user").status_code == 401


def test_settings_are_kept(store, browser):
    make_account(store)
    browser.sign_in()

    answer = browser.post("/account/settings", {"low_balance_threshold": "250", "theme": "dark"})

    assert answer.status_code == 303
    account = store.accounts.get("ada@example.com")
    assert (account.low_balance_threshold, account.theme, account.shortcuts) == (250, "dark", False)
    page = browser.page("/account")
    assert page.html["data-theme"] == "dark"
    assert page.body["data-shortcuts"] == "off"
    browser.post("/account/settings", {"low_balance_threshold": "0", "theme": "system", "shortcuts": "on"})
    assert store.accounts.get("ada@example.com").shortcuts is True


def test_the_index_leads_to_every_section_in_their_order(store, browser):
    make_account(store)
    browser.sign_in()

    page = browser.page("/account")

    links = page.select("nav.index a")
    assert [link["href"] for link in links] == [f"#{section['id']}" for section in page.select("main .section")]
    assert [link.text for link in links] == [section.h2.text for section in page.select("main .section")]


@pytest.mark.parametrize(
    "form",
    [
        {"low_balance_threshold": "-1"},
        {"low_balance_threshold": "1e3"},
        {"low_balance_threshold": "½"},
        {"low_balance_threshold": ""},
        {"low_balance_threshold": "9" * 400},
        {"low_balance_threshold": "5000000"},
        {"theme": "neon"},
        {"theme": '"><script>'},
    ],
)
def test_settings_stay_when_they_make_no_sense(store, browser, form):
    before = make_account(store)
    browser.sign_in()

    response = browser.post("/account/settings", {"low_balance_threshold": "50", "theme": "system"} | form)

    assert response.status_code == 422
    after = store.accounts.get("ada@example.com")
    assert (after.low_balance_threshold, after.theme) == (before.low_balance_threshold, before.theme)


def test_a_threshold_is_read_in_the_digits_of_any_script(store, browser):
    make_account(store)
    browser.sign_in()

    browser.post("/account/settings", {"low_balance_threshold": "٣٠", "theme": "system"})

    assert store.accounts.get("ada@example.com").low_balance_threshold == 30


@pytest.mark.threat(87)
def test_settings_that_nobody_offered_are_ignored(store, browser):
    make_account(store)
    browser.sign_in()

    form = {"low_balance_threshold": "50", "theme": "light", "role": "admin", "credits_balance": "999"}
    browser.post("/account/settings", form)

    account = store.accounts.get("ada@example.com")
    assert (account.role, account.credits_balance) == ("customer", 0)


def test_the_export_holds_what_is_kept_and_no_secret(app, store, browser):
    make_account(store, credits=100)
    browser.sign_in()
    tasks.submit(
        store, store.accounts.get("ada@example.com"), 'Say "hello" \u2028 ☃', now=utcnow(), idempotency_key="r-1"
    )
    make_account(store, "bob@example.com", credits=50)

    response = browser.get("/account/export.json")

    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["Cache-Control"] == "no-store"
    data = json.loads(response.data)
    assert data["tasks"][0]["description"] == 'Say "hello" \u2028 ☃'
    assert [row["amount"] for row in data["ledger"]] == [-10, 100]
    account = store.accounts.get("ada@example.com")
    text = response.data.decode()
    assert account.password_hash not in text
    assert not any(key in text for key in account.sessions)
    assert "bob@" not in text


def test_deleting_leaves_a_tombstone_that_the_books_can_be_checked_by(app, store, browser):
    make_account(store, credits=100, stripe_customer_id="cus_1", theme="dark")
    browser.sign_in()
    program = Program(app)
    tasks.submit(store, store.accounts.get("ada@example.com"), "My secret plan", now=utcnow(), idempotency_key="r-1")
    task = every_task(store)[0]
    settle_task(store, task["task_id"])

    answer = browser.post("/account/delete", {"password": PASSWORD})

    assert answer.status_code == 303
    account = store.accounts.get("ada@example.com")
    assert account.deleted_at is not None
    assert (account.credits_balance, account.can_spend) == (90, False)
    assert (account.password_hash, account.sessions, account.stripe_customer_id) == (None, {}, None)
    assert [entry.amount for entry in ledger(store, "ada@example.com")] == [100, -10]
    assert every_task(store)[0]["description"] == "(erased)"
    assert "secret plan" not in json.dumps(every_task(store))
    assert browser.get("/account").status_code == 303
    assert program.get("/api/user").status_code == 401
    assert Browser(app).sign_in().status_code == 401


def test_nothing_is_deleted_when_the_password_is_wrong_or_tasks_are_open(app, store, browser):
    make_account(store, credits=100)
    browser.sign_in()
    assert browser.post("/account/delete", {"password": "wrong"}).status_code == 422
    assert browser.post("/account/delete", {}).status_code == 422
    tasks.submit(store, store.accounts.get("ada@example.com"), "Still open", now=utcnow(), idempotency_key="r-1")

    answer = browser.post("/account/delete", {"password": PASSWORD})

    assert answer.status_code == 409
    assert store.accounts.get("ada@example.com").deleted_at is None
    assert browser.get("/account").status_code == 200


def test_who_confirms_the_address_again_has_the_account_again(app, store, browser):
    make_account(store, credits=100)
    browser.sign_in()
    browser.post("/account/delete", {"password": PASSWORD})

    refused = Browser(app).post("/signup", {"email": "ada@example.com", "password": NEW})

    assert refused.status_code == 409
    account = store.accounts.get("ada@example.com")
    with app.app_context():
        link = deps.get().links.url(account, "set_password")
    path = link.removeprefix("http://dashboard.test")
    assert browser.set_by_link(path, NEW).status_code == 303
    account = store.accounts.get("ada@example.com")
    assert account.deleted_at is None
    assert account.credits_balance == 100


def answered_task(app, store: Store, text: str, request_id: str) -> str:
    """A task of ada's that came back with a file; returns its id."""
    task = tasks.submit(
        store, store.accounts.get("ada@example.com"), text, now=utcnow(), idempotency_key=request_id
    ).task
    with app.app_context():
        deps.get().files.create_bucket()
        stored = deps.get().files.put(task.task_id, "answer.txt", b"the answer")
    queue.claim(store, "op@example.com", task.task_id, now=utcnow(), minutes=60)
    queue.complete(store, "op@example.com", task.task_id, "", files=[stored], now=utcnow())
    return task.task_id


def files_of(app, task_id: str) -> int:
    with app.app_context():
        found = deps.get().files._call("list_objects_v2", Bucket="impacteragi-results", Prefix=f"results/{task_id}/")
    return found["KeyCount"]


def test_words_and_files_are_erased_by_the_command_when_the_request_left_them(app, store, browser, monkeypatch):
    make_account(store, credits=100)
    browser.sign_in()
    task_id = answered_task(app, store, "My secret plan", "r-1")
    monkeypatch.setattr(accounts, "ERASED_AT_ONCE", 0)
    browser.post("/account/delete", {"password": PASSWORD})
    assert [email for email, _ in store.accounts.every_to_erase()] == ["ada@example.com"]

    result = app.test_cli_runner().invoke(args=["accounts", "erase"])

    assert result.exit_code == 0, result.output
    assert every_task(store)[0]["description"] == "(erased)"
    assert files_of(app, task_id) == 0
    assert list(store.accounts.every_to_erase()) == []


def test_what_came_later_is_kept_when_the_owner_is_back_before_the_command_ran(app, store, browser):
    make_account(store, credits=100)
    browser.sign_in()
    before = answered_task(app, store, "My secret plan", "r-1")
    browser.post("/account/delete", {"password": PASSWORD})
    store.updates.accounts.change(
        store.accounts.get("ada@example.com"), deleted_at=None
    )  # as proving the mailbox again does
    later = answered_task(app, store, "Another plan", "r-2")

    app.test_cli_runner().invoke(args=["accounts", "erase"])

    words = {task["task_id"]: task["description"] for task in every_task(store)}
    assert words == {before: "(erased)", later: "Another plan"}
    assert [files_of(app, task_id) for task_id in (before, later)] == [0, 1]


def test_an_account_stays_on_the_list_when_it_is_deleted_again_while_it_is_erased(store):
    make_account(store, deleted_at=NOW)
    store._update_row("Users", {"email": "ada@example.com"}, set={"erasure_due": to_iso(NOW)})

    store.updates.erasure.mark_erased("ada@example.com", NOW - timedelta(days=1))

    assert list(store.accounts.every_to_erase()) == [("ada@example.com", NOW)]


@pytest.mark.threat(59)
def test_forgot_does_the_same_work_whoever_is_asked_for(store):
    """Time tells: the store is called as often, in the same way, for every address, also the second time."""
    make_account(store, "known@example.com")
    make_account(store, "disabled@example.com", disabled_at=NOW)
    make_account(store, "unpaid@example.com", password_hash=None)
    kinds = set()
    for email in ("known@example.com", "disabled@example.com", "unpaid@example.com", "nobody@example.com"):
        recorder = Recorder(store.client)
        for _ in range(2):
            accounts.ask_for_link(Store(recorder, store.prefix, store.adopter), email, now=NOW)
        kinds.add(tuple(recorder.calls))

    assert kinds == {(("batch_get_item", 1), ("get_item", 1), ("transact_write_items", 2)) * 2}


class Recorder:
    """A client that notes each call and how many writes it carries."""

    def __init__(self, client):
        self.client, self.calls = client, []

    def __getattr__(self, name):
        def call(**request):
            self.calls.append((name, len(request.get("TransactItems", "1"))))
            return getattr(self.client, name)(**request)

        return call


def test_a_row_of_the_first_product_signs_in_and_gets_what_it_lacks(app, store, dynamodb):
    """The original stored five attributes: no account id, no map of sessions."""
    dynamodb.put_item(
        TableName=store.prefix + "Users",
        Item={
            "email": {"S": "old@example.com"},
            "password_hash": {"S": Passwords(4).hash(PASSWORD)},
            "credits_balance": {"N": "0"},
            "created_at": {"S": "2025-01-01T00:00:00.000000Z"},
        },
    )

    assert Browser(app).sign_in("old@example.com").status_code == 303

    account = store.accounts.get("old@example.com")
    assert account.account_id.startswith("acc_")
    accounts.ask_for_link(store, "old@example.com", now=utcnow())
    assert [mail.kind for mail in all_mails(store)] == ["reset"]


def settle_task(store, task_id: str) -> None:
    """As if an operator had finished it."""
    store.client.update_item(
        TableName=store.prefix + "Tasks",
        Key={"task_id": {"S": task_id}},
        UpdateExpression="SET #s = :s REMOVE queue_shard",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": {"S": "completed"}},
    )
    store.updates.accounts.change(store.accounts.get("ada@example.com"), open_tasks=0)


def test_half_a_sign_in_is_no_session_and_a_session_is_not_half_of_one(store):
    sessions = {}
    for kind in ("half", "browser", "api"):
        key = session_key(kind)
        sessions[key] = Session(key, kind, NOW, NOW)
    account = make_account(store, sessions=sessions)

    assert [kind for kind in ("half", "browser", "api") if account.live_session(kind, NOW)] == ["browser", "api"]
    assert [kind for kind in ("half", "browser", "api") if account.live_session(kind, NOW, half=True)] == ["half"]


@pytest.mark.threat(45)
def test_a_confirmation_proves_nothing_to_somebody_else(app, store):
    account = make_account(store, confirmed_at=None, link_nonces={"confirm": "n" * 22})
    with app.app_context():
        links = deps.get().links
    token = links.url(account, "confirm").rpartition("/")[2]

    with pytest.raises(accounts.LinkExpired):
        accounts.confirm_address(store, links, token, signed_in_as="eve@example.com", now=NOW)

    assert not store.accounts.get(account.email).confirmed
