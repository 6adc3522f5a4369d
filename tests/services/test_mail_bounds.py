"""What bounds each kind of mail: its cause is tried sixty times, and the mails are counted (docs/security.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyotp
import pytest

from app.data.client import Stale
from app.domain.accounts import BROWSER, Passkey, Session
from app.domain.api_keys import key_id_of
from app.domain.errors import AccountExists, DomainError, InvalidInput, RateLimited
from app.domain.webhooks import BY_GONE
from app.services import (
    account_notices,
    accounts,
    addresses,
    api_keys,
    customers,
    operators,
    payments,
    queue,
    second_factor,
    tasks,
    webhooks,
)
from app.services.links import Links
from app.services.mail import MailRoom
from app.services.passwords import Passwords
from app.services.sealing import Sealer
from app.services.webhook_sender import WebhookSender
from tests.services.test_webhooks import SEALER as HOOKS
from tests.services.test_webhooks import FakeReceivers
from tests.services.test_webhooks import make as make_endpoint
from tests.support import NOW, PASSWORD, all_mails, event, make_account, make_key, make_operators, session_event

pytestmark = pytest.mark.long

TIMES = 60


def kinds(store, email: str = "ada@example.com") -> Counter:
    return Counter(mail.kind for mail in all_mails(store) if mail.to == email)


def submit_and_cancel(store, now, idempotency_key: str | None = None):
    account = store.accounts.get("ada@example.com")
    task = tasks.submit(store, account, "Summarise the report", now=now, idempotency_key=idempotency_key).task
    queue.cancel(store, store.accounts.get(account.email), task.task_id, now=now)
    return task


def test_low_balance_is_told_once_a_day_however_often_it_is_crossed(store):
    make_account(store, credits=50)

    for number in range(TIMES):
        submit_and_cancel(store, NOW + timedelta(minutes=number))

    assert kinds(store)["low_balance"] == 1


def test_low_balance_that_was_held_back_is_told_the_day_after(store):
    make_account(store, credits=60)
    submit_and_cancel(store, NOW)  # 50, which is not below
    for hours in (1, 2):  # told at the first, held back at the second
        account = store.accounts.get("ada@example.com")
        one, two = [tasks.submit(store, account, f"{hours} {n}", now=NOW + timedelta(hours=hours)).task for n in (1, 2)]
        if hours == 1:
            for task in (one, two):
                queue.cancel(store, store.accounts.get(account.email), task.task_id, now=NOW + timedelta(hours=1))
    assert kinds(store)["low_balance"] == 1

    for hours in (25.5, 26, 60):  # still low: told once more, and not again while it stays so
        tasks.submit(store, store.accounts.get("ada@example.com"), f"{hours}", now=NOW + timedelta(hours=hours))

    assert kinds(store)["low_balance"] == 2


def test_a_purchase_makes_the_next_fall_news_but_not_within_the_day(store):
    make_account(store, credits=50)
    for day in (0, 0.5, 1.5):
        now = NOW + timedelta(days=day)
        account = store.accounts.get("ada@example.com")
        for number in range(account.credits_balance // 10):
            account = tasks.submit(store, account, f"{day} {number}", now=now + timedelta(minutes=number)).account
        payments.handle_event(store, session_event(), livemode=False, now=now + timedelta(hours=3))

    assert kinds(store)["low_balance"] == 2


def test_low_balance_is_told_once_when_two_spends_race(store, monkeypatch):
    account = make_account(store, credits=50)
    real, raced = store.transaction, []

    def transaction():
        if not raced:
            raced.append(True)
            tasks.submit(store, store.accounts.get(account.email), "The rival", now=NOW)
        return real()

    monkeypatch.setattr(store, "transaction", transaction)
    tasks.submit(store, account, "Summarise the report", now=NOW)

    assert store.accounts.get(account.email).credits_balance == 30
    assert kinds(store)["low_balance"] == 1


def test_a_link_that_anybody_may_ask_for_goes_out_seldom_and_one_always_works(store):
    make_account(store)
    sent_at = []
    for minute in range(24 * 60):
        now = NOW + timedelta(minutes=minute)
        nonce = store.accounts.get("ada@example.com").link_nonces.get("reset")
        accounts.ask_for_link(store, "ada@example.com", now=now)
        if store.accounts.get("ada@example.com").link_nonces["reset"] != nonce:
            sent_at.append(now)
        assert now - sent_at[-1] < timedelta(hours=1), "the newest link has not expired"
        if minute == TIMES:
            assert kinds(store)["reset"] == 3

    assert kinds(store)["reset"] == len(sent_at) <= 26
    assert all(later - earlier >= timedelta(minutes=5) for earlier, later in pairwise(sent_at))


def test_asking_for_nobodys_link_is_held_back_in_the_same_way(store):
    """Or the time of the answer would tell who has an account."""
    make_account(store)
    held_back = []
    for email in ("ada@example.com", "nobody@example.com"):
        mails = []
        for minute in range(0, 180, 3):
            now = NOW + timedelta(minutes=minute)
            before = _last_asked(store, email)
            accounts.ask_for_link(store, email, now=now)
            mails.append(_last_asked(store, email) != before)
        held_back.append(mails)

    assert held_back[0] == held_back[1]
    assert held_back[0].count(True) == 5


def _last_asked(store, email):
    account, pretence = store.accounts.find_or_pretence(email)
    return account.link_mails.get("reset") if account else pretence


@pytest.mark.parametrize("most", [8])
def test_a_confirmation_is_sent_again_a_few_times_a_day(store, most):
    make_account(store, confirmed_at=None)
    for number in range(0, 24 * 60, 24):
        accounts.resend_confirmation(store, store.accounts.get("ada@example.com"), now=NOW + timedelta(minutes=number))

    assert 3 <= kinds(store)["confirm"] <= most


def test_signing_up_with_somebodys_address_mails_them_once(store):
    for number in range(TIMES):
        with suppress(AccountExists):
            accounts.sign_up(
                store, Passwords(4), "ada@example.com", f"another {PASSWORD} {number}", now=NOW, kind="browser"
            )

    assert kinds(store) == {"confirm": 1}


def test_signing_up_for_an_account_that_was_paid_for_mails_seldom(store):
    payments.handle_event(store, session_event(), livemode=False, now=NOW)
    for number in range(TIMES):
        now = NOW + timedelta(minutes=number)
        with suppress(AccountExists):
            accounts.sign_up(store, Passwords(4), "ada@example.com", f"another {PASSWORD}", now=now, kind="browser")

    assert kinds(store) == {"welcome": 1, "set_password": 3}


@pytest.mark.parametrize("end", ["completed", "rejected"])
def test_the_end_of_a_task_is_told_once_however_often_it_is_given(store, end):
    make_account(store, credits=100)
    task = tasks.submit(store, store.accounts.get("ada@example.com"), "Summarise the report", now=NOW).task
    queue.claim(store, "op@example.com", task.task_id, now=NOW)

    for number in range(TIMES):
        with suppress(DomainError):
            if end == "completed":
                queue.complete(store, "op@example.com", task.task_id, f"Answer {number // 30}", now=NOW)
            else:
                queue.reject(store, "op@example.com", task.task_id, f"Reason {number}", now=NOW)

    assert kinds(store) == {f"task_{end}": 1}


def test_a_payment_is_told_once_however_often_stripe_delivers_it(store):
    told = session_event()
    refund = {"id": "re_1", "object": "refund", "amount": 250, "status": "succeeded", "currency": "usd"}
    refunded = event("refund.created", refund | {"payment_intent": told["data"]["object"]["payment_intent"]})
    for _ in range(TIMES):
        payments.handle_event(store, told, livemode=False, now=NOW)
        payments.handle_event(store, refunded, livemode=False, now=NOW)

    assert kinds(store) == {"welcome": 1, "payment_refunded": 1}


# Every kind of mail


ADA = "ada@example.com"
KEY = "k" * 32
LINKS = Links(("a secret of the tests",), "http://dashboard.test")
BCRYPT = Passwords(4)
KINDS = {path.name.removesuffix(".subject.txt") for path in Path("app/templates/emails").glob("*.subject.txt")}


@dataclass(frozen=True)
class Loop:
    """What brings a mail about, done TIMES times a minute apart; `most` mails come of it."""

    kind: str
    most: int
    begin: Callable[..., Any]
    again: Callable[..., Any]


def person(store, **attributes) -> None:
    session = Session(KEY, BROWSER, NOW, NOW, mfa_at=NOW)
    make_account(store, credits=1_000, sessions={KEY: session}, **attributes)


def ada(store):
    return store.accounts.get(ADA)


def authenticator(store, now) -> None:
    sealer = Sealer(("a secret of the tests",))
    second_factor.begin_totp(store, sealer, ada(store))
    secret = second_factor.pending_totp(sealer, ada(store)).secret
    second_factor.enable_totp(store, sealer, ada(store), pyotp.TOTP(secret).at(now), KEY, now=now)


class NoCeremony:
    """Passkeys, without a browser to make them."""

    def key_of(self, credential) -> str | None:
        return None

    def verify_registration(self, account, credential, name, now) -> Passkey:
        return Passkey("p" * 32, credential, "key", 0, name, now)


def passkey(store, number, now) -> None:
    second_factor.new_challenge(store, ada(store), "register", now=now)
    second_factor.add_passkey(store, NoCeremony(), ada(store), f"c-{number}", "Mine", KEY, now=now)
    second_factor.remove_passkey(store, ada(store), "p" * 32, now=now)


def password(store, number, now) -> None:
    old, new = (f"{PASSWORD} {n}" if n else PASSWORD for n in (number, number + 1))
    accounts.change_password(store, BCRYPT, ada(store), old, new, Session(KEY, BROWSER, now, now), now=now)


def grant(store, now) -> None:
    operators.grant(store, ADA, actor="command line", now=now)
    operators.revoke(store, ADA, actor="command line", now=now)


def dispute(number: int) -> dict[str, Any]:
    status = ("needs_response", "under_review", "won", "lost")[number % 4]
    about = {"id": "dp_1", "object": "dispute", "amount": 1000, "currency": "usd", "status": status}
    return event("charge.dispute.updated", about | {"payment_intent": "pi_cs_loop"})


def refund(number: int) -> dict[str, Any]:
    status = ("pending", "succeeded", "failed")[number % 3]
    about = {"id": "re_1", "object": "refund", "amount": 250, "status": status, "currency": "usd"}
    return event("refund.updated", about | {"payment_intent": "pi_cs_loop"})


def bought(store) -> None:
    stripe(store, session_event(session="cs_loop"), NOW)


def stripe(store, told, now) -> None:
    payments.handle_event(store, told, livemode=False, now=now)


def redone(store, number, now) -> None:
    """A task, asked for again and again, whose every redo is answered."""
    found = store.tasks.page(ADA, limit=10).items or [tasks.submit(store, ada(store), "Compare", now=now).task]
    for task in found:
        with suppress(DomainError):
            queue.claim(store, "op@example.com", task.task_id, now=now)
            queue.complete(store, "op@example.com", task.task_id, "Done", now=now)
        with suppress(DomainError):
            queue.request_redo(store, ada(store), task.task_id, f"Again {number}", now=now)


def rejected(store, now) -> None:
    task = store.tasks.page(ADA, limit=1).items or [tasks.submit(store, ada(store), "Compare", now=now).task]
    with suppress(DomainError):
        queue.claim(store, "op@example.com", task[0].task_id, now=now)
        queue.reject(store, "op@example.com", task[0].task_id, "Not possible", now=now)


def adjusted(store, number, now) -> None:
    """Also below the threshold and above it again, which is set anew in between."""
    accounts.change_settings(store, ada(store), low_balance_threshold=800 + number % 2, theme="dark", shortcuts=True)
    amount = 300 if number % 2 else -300
    more = {"idempotency_key": f"r-{number}", "limit": 10**7, "now": now}
    customers.adjust(store, "op@example.com", ADA, amount, "A loop", **more)
    tasks.submit(store, ada(store), f"Number {number}", now=now)


def address(store, number, now, *, agreed: bool = False) -> None:
    """Asked for, and agreed to, again and again: there and back."""
    to = f"lovelace{number % 2}@example.org"
    with suppress(RateLimited, InvalidInput):  # it is the address already, once no more are asked for
        change = addresses.ask(store, ada(store), to, label="", now=now)
        for nonce in (change.to_nonce, change.from_nonce) if agreed else ():
            token = LINKS.change_url(ada(store), nonce, to).rpartition("/")[2]
            session = Session(KEY, BROWSER, now, now)
            addresses.agree(store, LINKS, token, signed_in_as=ada(store), session=session, now=now)


def key_that_runs_out(store) -> None:
    person(store)
    make_key(store, days=8, now=NOW - timedelta(days=6))


def key_and_its_end(store, number, now) -> None:
    made = make_key(store, name=f"Key {number}", now=now)
    api_keys.revoke(store, ada(store), key_id_of(made), now=now)


def use_of_key(store, now) -> None:
    (key,) = api_keys.named(store, ada(store))
    api_keys.note_used(store, ada(store), replace(key, warned_at=None), now=now)  # as another worker has read it


def pausing(store, now) -> None:
    sender = WebhookSender(store, HOOKS, FakeReceivers(), lambda: now)
    (endpoint,) = webhooks.alive(store, ada(store))
    sender._pause(endpoint, BY_GONE)
    webhooks.resume(store, ada(store), endpoint.endpoint_id, now=now)


LOOPS = {
    "an endpoint that is gone, and resumed": Loop(
        "webhook_paused",
        1,
        lambda s: (person(s, confirmed_at=NOW), make_endpoint(s, FakeReceivers(), ada(s))),
        lambda s, n, t: pausing(s, t),
    ),
    "another address asked for, its mailbox": Loop("address_new", 5, person, address),
    "another address asked for, the present one": Loop("address_present", 5, person, address),
    "another address": Loop("address_changed", 10, person, lambda s, n, t: address(s, n, t, agreed=True)),
    "confirmation asked for": Loop(
        "confirm",
        3,
        lambda s: person(s, confirmed_at=None),
        lambda s, n, t: accounts.resend_confirmation(s, ada(s), now=t),
    ),
    "reset asked for": Loop("reset", 3, person, lambda s, n, t: accounts.ask_for_link(s, ADA, now=t)),
    "first password asked for": Loop("set_password", 3, bought, lambda s, n, t: accounts.ask_for_link(s, ADA, now=t)),
    "guest's payment": Loop("welcome", 1, lambda s: None, lambda s, n, t: stripe(s, session_event(session="cs_1"), t)),
    "customer's payment": Loop("receipt", 1, person, lambda s, n, t: stripe(s, session_event(session="cs_1"), t)),
    "refund back and forth": Loop("payment_refunded", 1, bought, lambda s, n, t: stripe(s, refund(n), t)),
    "refund that fails": Loop("credits_restored", 1, bought, lambda s, n, t: stripe(s, refund(n), t)),
    "dispute back and forth": Loop("dispute_opened", 1, bought, lambda s, n, t: stripe(s, dispute(n), t)),
    "dispute that is won": Loop("credits_restored", 1, bought, lambda s, n, t: stripe(s, dispute(n), t)),
    "adjustments": Loop("low_balance", 1, person, adjusted),
    "redo": Loop("task_completed", 2, person, redone),  # the task and its one redo
    "rejection": Loop("task_rejected", 1, person, lambda s, n, t: rejected(s, t)),
    "an API key in use": Loop("key_runs_out", 1, key_that_runs_out, lambda s, n, t: use_of_key(s, t)),
    "API keys": Loop("security", 10, person, lambda s, n, t: key_and_its_end(s, n, t)),
    "passkeys": Loop("security", 10, person, passkey),
    "authenticator": Loop(
        "security",
        10,
        person,
        lambda s, n, t: (authenticator(s, t), second_factor.remove_totp(s, ada(s), now=t)),
    ),
    "recovery codes": Loop(
        "security",
        10,
        lambda s: person(s, totp="sealed"),
        lambda s, n, t: second_factor.renew_recovery_codes(s, ada(s), now=t),
    ),
    "support": Loop(
        "security",
        10,
        lambda s: person(s, totp="sealed"),
        lambda s, n, t: second_factor.remove_all(s, ada(s), actor="op@example.com", now=t),
    ),
    "password": Loop("security", 10, person, password),
    "operator": Loop("security", 10, person, lambda s, n, t: grant(s, t)),
}


def test_every_kind_of_mail_has_its_loop():
    assert {loop.kind for loop in LOOPS.values()} == KINDS


@pytest.mark.parametrize("name", LOOPS)
def test_whatever_brings_a_mail_about_is_bounded(store, name):
    loop = LOOPS[name]
    make_operators(store)
    loop.begin(store)
    for number in range(TIMES):
        loop.again(store, number, NOW + timedelta(minutes=number))

    assert Counter(mail.kind for mail in all_mails(store))[loop.kind] == loop.most


def test_the_last_notice_of_a_day_says_that_there_may_be_more_and_the_next_day_begins_anew(store, config):
    person(store, totp="sealed")
    for number in range(TIMES):
        second_factor.renew_recovery_codes(store, ada(store), now=NOW + timedelta(minutes=number))

    told = sorted((mail for mail in all_mails(store)), key=lambda mail: mail.created_at)
    room = MailRoom(Links(config.jwt_secrets, config.app_url), config.app_url)
    texts = [room.render(mail, ada(store)) for mail in told]
    assert told[0].created_at == NOW  # the first at once
    assert ["Later ones of today" in each.text and "Later ones of today" in each.html for each in texts] == [
        *[False] * 9,
        True,
    ]

    second_factor.renew_recovery_codes(store, ada(store), now=NOW + timedelta(days=1))
    assert kinds(store)["security"] == 11


def test_notices_are_counted_one_by_one_when_changes_race(store):
    person(store, totp="sealed")

    def change(number: int) -> None:
        for _ in range(20):
            with suppress(Stale):
                second_factor.renew_recovery_codes(store, ada(store), now=NOW + timedelta(seconds=number))
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(TIMES)))

    assert kinds(store)["security"] == account_notices.MOST
