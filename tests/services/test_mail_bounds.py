"""What bounds each kind of mail: its cause is tried sixty times, and the mails are counted (docs/security.md)."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest

from app.domain.errors import AccountExists, DomainError
from app.services import accounts, payments, queue, tasks
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, all_mails, event, make_account, session_event

TIMES = 60


def kinds(store, email: str = "ada@example.com") -> Counter:
    return Counter(mail.kind for mail in all_mails(store) if mail.to == email)


def submit_and_cancel(store, now, request_id: str | None = None):
    account = store.get_account("ada@example.com")
    task = tasks.submit(store, account, "Summarise the report", now=now, request_id=request_id).task
    queue.cancel(store, store.get_account(account.email), task.task_id, now=now)
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
        account = store.get_account("ada@example.com")
        one, two = [tasks.submit(store, account, f"{hours} {n}", now=NOW + timedelta(hours=hours)).task for n in (1, 2)]
        if hours == 1:
            for task in (one, two):
                queue.cancel(store, store.get_account(account.email), task.task_id, now=NOW + timedelta(hours=1))
    assert kinds(store)["low_balance"] == 1

    for hours in (25.5, 26, 60):  # still low: told once more, and not again while it stays so
        tasks.submit(store, store.get_account("ada@example.com"), f"{hours}", now=NOW + timedelta(hours=hours))

    assert kinds(store)["low_balance"] == 2


def test_a_purchase_makes_the_next_fall_news_but_not_within_the_day(store):
    make_account(store, credits=50)
    for day in (0, 0.5, 1.5):
        now = NOW + timedelta(days=day)
        account = store.get_account("ada@example.com")
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
            tasks.submit(store, store.get_account(account.email), "The rival", now=NOW)
        return real()

    monkeypatch.setattr(store, "transaction", transaction)
    tasks.submit(store, account, "Summarise the report", now=NOW)

    assert store.get_account(account.email).credits_balance == 30
    assert kinds(store)["low_balance"] == 1


def test_a_link_that_anybody_may_ask_for_goes_out_seldom_and_one_always_works(store):
    make_account(store)
    sent_at = []
    for minute in range(24 * 60):
        now = NOW + timedelta(minutes=minute)
        nonce = store.get_account("ada@example.com").link_nonces.get("reset")
        accounts.ask_for_link(store, "ada@example.com", now=now)
        if store.get_account("ada@example.com").link_nonces["reset"] != nonce:
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
    account, pretence = store.find_account_or_pretence(email)
    return account.link_mails.get("reset") if account else pretence


@pytest.mark.parametrize("most", [8])
def test_a_confirmation_is_sent_again_a_few_times_a_day(store, most):
    make_account(store, confirmed_at=None)
    for number in range(0, 24 * 60, 24):
        accounts.resend_confirmation(store, store.get_account("ada@example.com"), now=NOW + timedelta(minutes=number))

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
    task = tasks.submit(store, store.get_account("ada@example.com"), "Summarise the report", now=NOW).task
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
