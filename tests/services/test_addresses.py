"""Changing the address: what both mailboxes have to do with it, who is found by which address, and what stays."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from app.data.account_rows import ACCOUNT, TABLE, WHOLE_ROW
from app.data.client import Stale
from app.domain.accounts import LinkMails, Session, normalise_email
from app.domain.aliases import Alias
from app.domain.errors import (
    AccountExists,
    AlreadyRecorded,
    BadCredentials,
    Forbidden,
    InvalidInput,
    LinkExpired,
    StoreBusy,
    WrongState,
)
from app.domain.mails import Mail
from app.domain.proposals import Proposal
from app.gateways.files import FileStore
from app.services import (
    accounts,
    addresses,
    books,
    by_hand,
    codes,
    customer_search,
    customers,
    operators,
    parked,
    payments,
    seed,
    tasks,
    timeline,
)
from app.services import mail as mail_service
from app.services.entrance import Caller, Entrance
from app.services.links import RESET, Links
from app.services.mail import MailRoom, deliver_due
from app.services.own_data import write_export
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, all_mails, ledger, make_account, make_operators, session_event

BCRYPT = Passwords(4)
FIRST, SECOND, THIRD = "ada@example.com", "lovelace@example.org", "countess@example.net"
LATER = NOW + timedelta(minutes=5)
LINKS = Links(("newest-signing-key",), "http://dashboard.test")
SESSION = Session("a" * 32, "browser", NOW, NOW, "Firefox on Linux")


def tokens(store, key: str = FIRST) -> tuple[str, str, str]:
    """Of the new mailbox, of the present one, and the present one's way to refuse."""
    account = store.accounts.get(key)
    change = account.address_change
    urls = (
        LINKS.change_url(account, change.to_nonce, change.to),
        LINKS.change_url(account, change.from_nonce, change.to),
        LINKS.change_url(account, change.from_nonce, change.to, refuse=True),
    )
    return tuple(url.rpartition("/")[2] for url in urls)


def ask(store, to: str = SECOND, key: str = FIRST, now=NOW):
    return addresses.ask(store, store.accounts.get(key), to, label="Firefox on Linux", now=now)


def agree(store, token: str, key: str = FIRST, now=LATER):
    account = store.accounts.get(key)
    return addresses.agree(store, LINKS, token, signed_in_as=account, session=SESSION, now=now)


def move(store, to: str = SECOND, key: str = FIRST, now=NOW):
    ask(store, to, key, now)
    new, present, _ = tokens(store, key)
    agree(store, present, key, now)
    return agree(store, new, key, now).account


def sign_in(store, email: str, password: str = PASSWORD):
    return accounts.sign_in(store, BCRYPT, email, password, now=LATER, kind="browser")


def pay(store, email: str | None, session: str = "cs_1", **fields) -> payments.Outcome:
    return payments.handle_event(store, session_event(email, session=session, **fields), livemode=False, now=LATER)


def make_code(store, maker: str) -> None:
    expires_at = NOW + timedelta(days=9)
    codes.create(
        store, "SPRING", credits_each=50, max_uses=5, expires_at=expires_at, created_by=maker, limit=5000, now=NOW
    )


def ask_and_get(store):
    ask(store, "ada@elsewhere.example", now=LATER)
    return store.accounts.get(FIRST)


def raw(store, address: str) -> dict | None:
    return store._get(TABLE, {"email": address})


# The way there


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_address_changes_once_both_mailboxes_have_agreed(store, order):
    before = make_account(store, FIRST, credits=30)
    signed_in = sign_in(store, FIRST)
    ask(store)
    links = tokens(store)

    assert agree(store, links[order[0]]) is None
    assert agree(store, links[order[0]]) is None  # sent again
    assert store.accounts.get(FIRST).address == FIRST
    done = agree(store, links[order[1]])

    after = store.accounts.get(FIRST)
    assert (after.address, after.email, after.account_id) == (SECOND, FIRST, before.account_id)
    assert after.credits_balance == 30
    assert [entry.user_email for entry in ledger(store, FIRST)] == [FIRST]
    assert after.address_change is None
    assert after.live_session(done.session_id, LATER)
    assert not after.live_session(signed_in.session_id, LATER)
    (act,) = store.audit.page_of(FIRST, limit=5).items
    assert (act.action, act.before, act.after) == ("account.change_address", {"address": FIRST}, {"address": SECOND})


def test_both_mailboxes_are_told_of_the_request_and_of_the_change(store):
    make_account(store, FIRST)
    move(store)

    told = [(mail.kind, mail.to) for mail in all_mails(store)]
    asked = [("address_new", SECOND), ("address_present", FIRST)]
    assert sorted(told) == sorted([*asked, ("address_changed", SECOND), ("address_changed", FIRST)])


def test_a_link_works_for_nobody_but_who_is_signed_in_to_the_account(store):
    make_account(store, FIRST)
    make_account(store, THIRD)
    ask(store)

    with pytest.raises(LinkExpired):
        addresses.agree(
            store, LINKS, tokens(store)[0], signed_in_as=store.accounts.get(THIRD), session=SESSION, now=LATER
        )
    assert store.accounts.get(FIRST).address_change.to_agreed_at is None


def test_a_newer_request_replaces_the_one_that_waits(store):
    make_account(store, FIRST)
    ask(store)
    old = tokens(store)
    agree(store, old[1])

    ask(store, THIRD, now=LATER)

    for token in old[:2]:
        with pytest.raises(LinkExpired):
            agree(store, token)
    with pytest.raises(LinkExpired):
        addresses.refuse(store, LINKS, old[2], now=LATER)
    change = store.accounts.get(FIRST).address_change
    assert (change.to, change.agreed, change.from_agreed_at) == (THIRD, False, None)


def _new_password(store):
    links = Links(("newest-signing-key",), "http://dashboard.test")
    accounts.ask_for_link(store, FIRST, now=NOW)
    token = links.url(store.accounts.get(FIRST), RESET).rpartition("/")[2]
    accounts.set_password(store, BCRYPT, links, token, "a wholly new passphrase", purpose=RESET, now=LATER)


ENDS = {
    "cancelled": lambda store: addresses.cancel(store, store.accounts.get(FIRST)),
    "signed out everywhere": lambda store: accounts.sign_out_everywhere(store, store.accounts.get(FIRST)),
    "a password by a mailed link": _new_password,
    "another password": lambda store: accounts.change_password(
        store, BCRYPT, store.accounts.get(FIRST), PASSWORD, "a wholly new passphrase", SESSION, now=LATER
    ),
    "refused": lambda store: addresses.refuse(store, LINKS, tokens(store)[2], now=LATER),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_request_ends(store, end):
    make_account(store, FIRST)
    ask(store)
    new, present, _ = tokens(store)
    agree(store, new)

    ENDS[end](store)

    with pytest.raises(LinkExpired):
        agree(store, present)
    assert store.accounts.get(FIRST).address == FIRST
    assert raw(store, SECOND) is None


def test_a_request_ends_after_a_day(store):
    make_account(store, FIRST)
    ask(store)
    new, present, _ = tokens(store)
    agree(store, new)

    with pytest.raises(LinkExpired):
        agree(store, present, now=NOW + timedelta(days=1))


def test_refusing_signs_everybody_out(store):
    make_account(store, FIRST)
    signed_in = sign_in(store, FIRST)
    ask(store)
    refuse = tokens(store)[2]

    addresses.refuse(store, LINKS, refuse, now=LATER)

    assert not store.accounts.get(FIRST).live_session(signed_in.session_id, LATER)
    with pytest.raises(LinkExpired):
        addresses.refuse(store, LINKS, refuse, now=LATER)


def test_the_new_mailbox_cannot_refuse(store):
    make_account(store, FIRST)
    ask(store)
    account = store.accounts.get(FIRST)
    change = account.address_change
    forged = LINKS.change_url(account, change.to_nonce, change.to, refuse=True).rpartition("/")[2]

    with pytest.raises(LinkExpired):
        addresses.refuse(store, LINKS, forged, now=LATER)


def test_the_link_of_the_new_mailbox_names_no_other_address(store):
    make_account(store, FIRST)
    ask(store)

    body = tokens(store)[0].split(".")[0]  # it is signed, and readable by whoever has the link
    assert FIRST.encode() not in base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def test_who_is_not_confirmed_confirms_first(store):
    make_account(store, FIRST, confirmed_at=None)

    with pytest.raises(WrongState, match="Confirm"):
        ask(store)
    assert all_mails(store) == []


@pytest.mark.parametrize("state", ["an account", "an alias", "a left address", "a tombstone"])
def test_a_taken_address_is_refused_as_at_sign_up(store, state):
    make_account(store, FIRST)
    make_account(store, THIRD)
    wanted = {"an account": THIRD, "an alias": SECOND, "a left address": THIRD, "a tombstone": THIRD}[state]
    if state in ("an alias", "a left address"):
        move(store, SECOND, key=THIRD)
    if state == "a tombstone":
        accounts.delete(store, BCRYPT, store.accounts.get(THIRD), PASSWORD, now=NOW)

    with pytest.raises(AccountExists):
        ask(store, wanted)
    with pytest.raises(AccountExists):
        accounts.sign_up(store, BCRYPT, wanted, PASSWORD, now=LATER, kind="browser")


def test_of_two_who_ask_for_one_address_one_gets_it(store):
    for key in (FIRST, THIRD):
        make_account(store, key, credits=10)
        ask(store, SECOND, key)
        agree(store, tokens(store, key)[0], key)

    def last(key: str) -> str:
        try:
            return agree(store, tokens(store, key)[1], key).account.address
        except AccountExists:
            return "taken"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(last, (FIRST, THIRD)))

    assert outcomes == [SECOND, "taken"]
    assert sorted(store.accounts.get(key).address == SECOND for key in (FIRST, THIRD)) == [False, True]
    assert all(store.accounts.get(key).address_change is None for key in (FIRST, THIRD))


def test_both_links_at_once_change_it_once(store):
    make_account(store, FIRST)
    ask(store)
    links = tokens(store)[:2]

    def one(token: str) -> bool:
        try:
            return agree(store, token) is not None
        except LinkExpired:
            return False

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, [*links, *links]))

    assert done.count(True) == 1
    assert store.accounts.get(FIRST).address == SECOND
    assert [mail.kind for mail in all_mails(store)].count("address_changed") == 2


def test_a_sign_up_between_request_and_change_keeps_the_address(store):
    make_account(store, FIRST)
    ask(store)
    new, present, _ = tokens(store)
    agree(store, new)
    accounts.sign_up(store, BCRYPT, SECOND, PASSWORD, now=LATER, kind="browser")

    with pytest.raises(AccountExists):
        agree(store, present)

    assert store.accounts.get(FIRST).address == FIRST
    assert store.accounts.get(SECOND).email == SECOND
    assert store.accounts.get(FIRST).address_change is None


def test_credits_move_while_the_address_changes(store):
    make_account(store, FIRST, credits=50)
    ask(store)
    new, present, _ = tokens(store)
    agree(store, new)

    acts = [
        lambda: tasks.submit(store, store.accounts.get(FIRST), "Read it", now=LATER, idempotency_key="1"),
        lambda: agree(store, present),
        lambda: pay(store, FIRST, session="cs_race"),
    ]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()

    account, parked_ones = store.accounts.get(FIRST), store.payments.list_parked(limit=5).items
    assert account.address == SECOND
    assert account.credits_balance == (40 if parked_ones else 1040)


# Back, and on


def test_back_to_the_first_address_and_on_to_one_of_before(store):
    make_account(store, FIRST, credits=10)
    move(store, SECOND)
    move(store, THIRD, now=LATER)
    assert store.accounts.get(FIRST).addresses == (THIRD, SECOND, FIRST)

    back = move(store, FIRST, now=LATER)
    assert (back.address, back.present_address) == (FIRST, None)
    assert set(back.addresses) == {FIRST, SECOND, THIRD}
    again = move(store, SECOND, now=LATER)

    assert (again.address, set(again.addresses)) == (SECOND, {FIRST, SECOND, THIRD})
    assert sign_in(store, SECOND).account.email == FIRST
    assert store.accounts.find_holder(THIRD).email == FIRST


def test_an_account_keeps_so_many_addresses_and_no_more(store):
    make_account(store, FIRST)
    for number in range(9):
        move(store, f"mail{number}@example.org", now=NOW + timedelta(days=number))

    with pytest.raises(WrongState, match="too many"):
        ask(store, "once-more@example.org")
    assert move(store, "mail3@example.org").address == "mail3@example.org"


# Who is found


def test_the_present_address_alone_signs_in(store):
    make_account(store, FIRST)
    move(store)

    assert sign_in(store, SECOND.upper()).account.email == FIRST
    with pytest.raises(BadCredentials):
        sign_in(store, FIRST)


def test_a_link_for_a_password_goes_to_the_present_address_alone(store):
    make_account(store, FIRST)
    move(store)
    before = len(all_mails(store))

    accounts.ask_for_link(store, FIRST, now=LATER)
    assert len(all_mails(store)) == before
    accounts.ask_for_link(store, SECOND, now=LATER)

    (mail,) = [mail for mail in all_mails(store) if mail.kind == "reset"]
    assert mail.to == SECOND


def test_links_of_before_are_dead(store):
    make_account(store, FIRST)
    accounts.ask_for_link(store, FIRST, now=NOW)
    token = LINKS.url(store.accounts.get(FIRST), RESET).rpartition("/")[2]

    move(store)

    with pytest.raises(LinkExpired):
        accounts.account_of_link(store, LINKS, token, RESET)


@pytest.mark.parametrize("email", [FIRST, SECOND, "nobody@example.com"])
def test_as_many_reads_whatever_address_is_typed(store, monkeypatch, email):
    make_account(store, FIRST)
    move(store)
    reads = []
    for name in ("get_item", "batch_get_item"):
        called = getattr(store.client, name)
        monkeypatch.setattr(store.client, name, lambda called=called, **asked: reads.append(1) or called(**asked))

    with pytest.raises(BadCredentials):
        sign_in(store, email, "a wrong passphrase")
    assert len(reads) == 2
    store.accounts.find_or_pretence(normalise_email(email))
    assert len(reads) == 4
    Entrance(store, BCRYPT, None, None)._device(email, Caller("browser", "192.0.2.1", "x", lambda account: None))
    assert len(reads) == 6  # also in a browser that has signed in before


def test_sign_up_with_a_left_address_says_taken_and_mails_nobody(store):
    make_account(store, FIRST)
    move(store)
    before = all_mails(store)

    with pytest.raises(AccountExists):
        accounts.sign_up(store, BCRYPT, FIRST, "another long passphrase", now=LATER, kind="browser")

    assert all_mails(store) == before


# Payments


def test_a_payment_by_the_present_address_is_credited(store):
    make_account(store, FIRST)
    move(store)

    assert pay(store, SECOND).moved == 1000

    assert store.accounts.get(FIRST).credits_balance == 1000
    assert [entry.user_email for entry in ledger(store, FIRST)] == [FIRST]
    assert [mail.to for mail in all_mails(store) if mail.kind == "receipt"] == [SECOND]
    assert pay(store, SECOND).moved == 0


def test_a_payment_by_a_left_address_waits_for_a_person(store):
    make_account(store, FIRST)
    move(store)

    outcome = pay(store, FIRST)

    assert outcome.moved == 0
    assert "left" in outcome.record.parked_reason
    assert store.accounts.get(FIRST).credits_balance == 0
    assert [one.payment_id for one in store.payments.list_parked(limit=5).items] == [outcome.record.payment_id]
    assert pay(store, FIRST).moved == 0


def test_our_own_id_and_stripe_s_customer_say_whose_payment_it_is_whatever_the_address(store):
    account = make_account(store, FIRST, stripe_customer_id="cus_1")
    move(store)
    opened = {"sold_by": "impacteragi-dashboard", "account_id": account.account_id, "account_email": FIRST}
    event = session_event(FIRST, session="cs_2")
    event["data"]["object"]["metadata"] |= opened

    assert payments.handle_event(store, event, livemode=False, now=LATER).moved == 1000
    assert pay(store, FIRST, session="cs_3", customer="cus_1").moved == 1000
    assert store.accounts.get(FIRST).credits_balance == 2000


@pytest.mark.parametrize("typed", [FIRST, SECOND])
def test_an_operator_credits_a_parked_payment_by_any_address(store, typed):
    make_operators(store)
    make_account(store, FIRST)
    move(store)
    payment_id = pay(store, FIRST).record.payment_id

    how = {"credits": 1000, "reason": "she says so", "actor": "op@example.com", "limit": 5000, "now": LATER}
    parked.credit(store, payment_id, email=typed, **how)

    assert store.accounts.get(FIRST).credits_balance == 1000
    assert raw(store, SECOND)["alias_of"] == FIRST


def test_nothing_is_credited_to_an_account_that_nobody_can_have_again(store):
    make_operators(store)
    account = make_account(store, FIRST)
    move(store)
    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)
    event = session_event(SECOND, session="cs_2")
    opened = {"sold_by": "impacteragi-dashboard", "account_id": account.account_id, "account_email": FIRST}
    event["data"]["object"]["metadata"] |= opened
    event["data"]["object"]["customer_details"] = {"email": FIRST}

    outcome = payments.handle_event(store, event, livemode=False, now=LATER)

    assert (outcome.moved, bool(outcome.record.parked_reason)) == (0, True)
    how = {"credits": 1000, "reason": "she says so", "actor": "op@example.com", "limit": 5000, "now": LATER}
    with pytest.raises(InvalidInput, match="cannot come back"):
        parked.credit(store, outcome.record.payment_id, email=FIRST, **how)


# Mails


@pytest.fixture
def room() -> MailRoom:
    return MailRoom(LINKS, "http://dashboard.test")


def test_a_mail_of_a_replaced_request_is_not_sent(store, room, sender):
    make_account(store, FIRST)
    ask(store)
    ask(store, THIRD, now=LATER)

    deliver_due(store, room, sender, now=LATER)

    assert sorted(one["to"] for one in sender.sent) == [FIRST, THIRD]
    text = {one["to"]: one["text"] for one in sender.sent}
    assert "/address/agree/" in text[THIRD]
    assert "/address/refuse/" not in text[THIRD]
    assert FIRST not in text[THIRD]
    assert "/address/agree/" in text[FIRST]
    assert "/address/refuse/" in text[FIRST]
    assert SECOND not in text[FIRST]


def test_a_request_once_more_for_the_same_address_sends_the_newer_mails_alone(store, room, sender):
    make_account(store, FIRST)
    ask(store)
    ask(store, now=LATER)

    deliver_due(store, room, sender, now=LATER)

    assert len(sender.sent) == 2


def test_what_was_promised_before_goes_to_the_present_address(store, room, sender):
    make_account(store, FIRST, credits=60)
    tasks.submit(store, store.accounts.get(FIRST), "Read it", now=NOW, idempotency_key="1")
    tasks.submit(store, store.accounts.get(FIRST), "And this", now=NOW, idempotency_key="2")
    assert [mail.to for mail in all_mails(store)] == [FIRST]  # the balance is low
    move(store)

    deliver_due(store, room, sender, now=LATER)

    low = [one for one in sender.sent if "credits" in one["subject"].lower()]
    assert [one["to"] for one in low] == [SECOND]
    assert [mail.to for mail in all_mails(store) if mail.kind == "low_balance"] == [SECOND]


def test_nothing_goes_to_the_left_mailbox_of_a_deleted_account(store, room, sender):
    make_account(store, FIRST, credits=60)
    for number in range(2):
        tasks.submit(store, store.accounts.get(FIRST), "Read it", now=NOW, idempotency_key=str(number))
    low = next(mail for mail in all_mails(store) if mail.kind == "low_balance")
    move(store)
    tombstone = replace(store.accounts.get(FIRST), present_address=None, moved_away=True)

    assert mail_service._is_idle(low, tombstone, LATER)


def test_the_timeline_has_the_mails_to_every_address_page_by_page(store):
    make_account(store, FIRST)
    for number in range(60):
        to = FIRST if number % 3 else SECOND
        with store.transaction() as tx:
            tx.mails.enqueue(Mail(f"m{number:02}", "receipt", to, NOW + timedelta(minutes=number // 20)))
    account = move(store, SECOND)

    seen, cursor = [], None
    while True:
        page = timeline.page(store, account, kind="mail", cursor=cursor)
        seen += [event.thing.mail_id for event in page.items]
        if not (cursor := page.next_cursor):
            break

    assert len(seen) == len(set(seen)) == 64
    assert [name for name in seen if name.startswith("m")] == [f"m{number:02}" for number in range(59, -1, -1)]


# Operators


def test_customers_are_found_by_every_address(store):
    make_account(store, FIRST)
    move(store, SECOND)
    move(store, THIRD, now=LATER)

    for words in (FIRST, SECOND, THIRD, "ovelace", "ada@", "ountess"):
        found = customer_search.search(store, words, limit=10).accounts
        assert [account.email for account in found] == [FIRST], words


def test_the_role_follows_the_account_and_no_left_address_has_it_again(store):
    make_operators(store, FIRST)
    move(store)

    with pytest.raises(WrongState, match="left"):
        operators.grant(store, FIRST, actor="command line", now=LATER)
    assert store.accounts.get(FIRST).is_operator
    assert not operators.revoke(store, FIRST, actor="command line", now=LATER).is_operator
    assert operators.grant(store, SECOND, actor="command line", now=LATER).is_operator


@pytest.mark.parametrize("demoted", ["by the address", "by the deletion", "after another change"])
def test_the_setting_makes_no_operator_at_an_address_that_a_deleted_account_has_freed(store, demoted):
    make_operators(store, FIRST)
    move(store)
    assert not seed.first_operator(store, SECOND, now=LATER)
    if demoted != "by the deletion":
        operators.revoke(store, SECOND, actor="command line", reason="Left", now=LATER)
    if demoted == "after another change":
        move(store, THIRD, now=LATER)
    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)
    assert raw(store, SECOND) is None

    for _start in range(2):
        assert not seed.first_operator(store, SECOND.upper(), now=LATER)

    assert raw(store, SECOND) is None
    assert seed.first_operator(store, "boss@example.com", now=LATER)


def proposed_for_nobody(store) -> Proposal:
    """A parked payment that an operator wants credited to SECOND, which is nobody's yet."""
    make_operators(store, "op@example.com", "op2@example.com")
    payment_id = pay(store, None).record.payment_id
    how = {"credits": 5000, "reason": "she says so", "actor": "op@example.com", "limit": 10, "now": LATER}
    return parked.credit(store, payment_id, email=SECOND, **how)


def test_a_proposal_for_nobodys_address_is_not_booked_once_it_is_the_proposers(store):
    waiting = proposed_for_nobody(store)
    move(store, SECOND, key="op@example.com")

    with pytest.raises(WrongState, match="their own by now"):
        customers.approve(store, "op2@example.com", waiting.adjustment_id, now=LATER)

    assert store.accounts.get("op@example.com").credits_balance == 0
    assert store.proposals.get(waiting.adjustment_id) == waiting


def test_a_proposal_for_nobodys_address_is_not_booked_once_it_is_the_approvers(store):
    waiting = proposed_for_nobody(store)
    move(store, SECOND, key="op2@example.com")

    with pytest.raises(Forbidden, match="their own balance"):
        customers.approve(store, "op2@example.com", waiting.adjustment_id, now=LATER)

    assert store.accounts.get("op2@example.com").credits_balance == 0


def test_a_proposal_for_nobodys_address_is_credited_to_who_has_it_by_then(store):
    waiting = proposed_for_nobody(store)
    make_account(store, FIRST)
    move(store)

    for _sent_again in range(2):
        customers.approve(store, "op2@example.com", waiting.adjustment_id, now=LATER)

    assert store.accounts.get(FIRST).credits_balance == 5000
    named = {act.action: act.after["email"] for act in store.audit.page_of(waiting.subject, limit=5).items}
    assert named == {"payment.propose": SECOND, "payment.credit": FIRST}
    assert books.check(store) == []


@pytest.mark.parametrize("alone", [True, False])
def test_an_address_that_becomes_the_operators_own_while_it_is_booked_is_not_credited(store, monkeypatch, alone):
    waiting = proposed_for_nobody(store)
    read = store.payments.find_with_account

    def read_then_move(*args):
        monkeypatch.undo()
        known = read(*args)
        move(store, SECOND, key="op@example.com")
        return known

    monkeypatch.setattr(store.payments, "find_with_account", read_then_move)
    how = {"credits": 10, "reason": "she says so", "actor": "op@example.com", "limit": 100, "now": LATER}

    def book():
        if alone:
            return parked.credit(store, waiting.subject, email=SECOND, **how)
        return customers.approve(store, "op2@example.com", waiting.adjustment_id, now=LATER)

    with pytest.raises(Forbidden if alone else WrongState, match="their own"):
        book()

    assert store.accounts.get("op@example.com").credits_balance == 0


def test_nobody_makes_value_for_himself_whatever_he_is_called_now(store):
    make_operators(store, FIRST)
    make_account(store, "other@example.com")
    move(store)
    move(store, "lovelace+more@example.org", key="other@example.com")

    for whose in (FIRST, "other@example.com"):
        with pytest.raises(Forbidden):
            by_hand.not_for_oneself(store, FIRST, store.accounts.get(whose))


def test_who_made_a_code_does_not_redeem_it_under_another_address(store):
    make_operators(store, FIRST)
    make_code(store, FIRST)
    move(store)
    make_account(store, "love.lace+2@example.org")

    for key in (FIRST, "love.lace+2@example.org"):
        with pytest.raises(InvalidInput, match="Who made a code"):
            codes.redeem(store, store.accounts.get(key), "SPRING", now=LATER)


def test_a_code_is_redeemed_once_whatever_the_address(store):
    make_operators(store)
    make_code(store, "op@example.com")
    make_account(store, FIRST)
    make_account(store, "lovelace+2@example.org")
    codes.redeem(store, store.accounts.get("lovelace+2@example.org"), "SPRING", now=NOW)
    move(store)

    with pytest.raises(InvalidInput):
        codes.redeem(store, store.accounts.get(FIRST), "SPRING", now=LATER)


# Stripe


class Stripe:
    def __init__(self, fails=False):
        self.fails, self.told = fails, []

    def change_customer_email(self, customer_id, email):
        if self.fails:
            raise StoreBusy
        self.told.append((customer_id, email))


def test_stripe_is_told_and_told_again_where_it_did_not_answer(store):
    make_account(store, FIRST, stripe_customer_id="cus_1")
    account = move(store)

    addresses.tell_stripe(store, Stripe(fails=True), account)
    assert store.accounts.get(FIRST).stripe_behind
    stripe = Stripe()
    addresses.tell_stripe(store, stripe, store.accounts.get(FIRST))
    addresses.tell_stripe(store, stripe, store.accounts.get(FIRST))

    assert stripe.told == [("cus_1", SECOND)]


def test_what_stripe_was_told_before_another_change_does_not_count(store):
    make_account(store, FIRST, stripe_customer_id="cus_1")
    before = move(store)
    move(store, THIRD, now=LATER)

    store.updates.accounts.told_stripe(before)

    assert store.accounts.get(FIRST).stripe_behind


# The end


def test_every_address_goes_with_the_account(store, tmp_path):
    make_account(store, FIRST, credits=30)
    move(store, SECOND)
    move(store, THIRD, now=LATER)

    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)

    tombstone = store.accounts.get(FIRST)
    assert (tombstone.present_address, tombstone.left_addresses, tombstone.moved_away) == (None, (), True)
    assert raw(store, SECOND) is None
    assert raw(store, THIRD) is None
    for words in ("ovelace", "ountess", "ada@"):
        assert customer_search.search(store, words, limit=5).accounts == []
    assert accounts.sign_up(store, BCRYPT, THIRD, PASSWORD, now=LATER, kind="browser").account.credits_balance == 0


def test_nobody_has_a_deleted_account_again_by_an_address_that_it_had_left(store):
    make_account(store, FIRST, credits=30)
    move(store)
    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)
    before = all_mails(store)

    with pytest.raises(AccountExists):
        accounts.sign_up(store, BCRYPT, FIRST, PASSWORD, now=LATER, kind="browser")
    assert all_mails(store) == before
    assert pay(store, FIRST).record.parked_reason


def test_the_nightly_erasure_takes_what_another_release_left(store):
    make_account(store, FIRST)
    move(store, SECOND)
    move(store, THIRD, now=LATER)
    account = store.accounts.get(FIRST)
    store._update_row(TABLE, {"email": FIRST}, set={"present_address": None})
    with store.transaction() as tx:  # as the release before does it: it knows of no alias
        tx.accounts.erase(replace(account, present_address=None), LATER)
    store._update_row(TABLE, {"email": FIRST}, set={"present_address": THIRD})

    accounts.finish_erasure(store, FileStore("bucket", "us-east-1", None), FIRST, deleted_at=LATER)

    assert raw(store, SECOND) is None
    assert raw(store, THIRD) is None
    assert store.accounts.get(FIRST).moved_away


def as_the_release_before(store, account, *, finished: bool) -> None:
    """Delete the account as a release does that knows of one address, and erase it to the end if `finished`."""
    unknown = ("present_address", "left_addresses", "address_change", "stripe_behind")
    row = raw(store, account.email)
    kept = {name: row[name] for name in unknown if name in row}
    store._update_row(TABLE, {"email": account.email}, remove=list(kept))
    with store.transaction() as tx:
        tx.accounts.erase(store.accounts.get(account.email), LATER)
    store._update_row(TABLE, {"email": account.email}, set=kept)
    if finished:
        store.updates.erasure.mark_erased(account.email, LATER)


def erase_by_night(store) -> list[str]:
    due = list(store.accounts.every_to_erase())
    for email, deleted_at in due:
        accounts.finish_erasure(store, FileStore("bucket", "us-east-1", None), email, deleted_at=deleted_at)
    return [email for email, _ in due]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("way", [(SECOND,), (SECOND, THIRD), (SECOND, FIRST)])
def test_what_the_release_before_has_erased_is_erased_to_the_end(store, way, finished):
    make_account(store, FIRST, stripe_customer_id="cus_1")
    for to in way:
        move(store, to, now=LATER)
    as_the_release_before(store, ask_and_get(store), finished=finished)

    assert erase_by_night(store) == [FIRST]

    left = raw(store, FIRST).keys() & {"present_address", "left_addresses", "address_change", "stripe_behind"}
    assert left == set()
    assert store.accounts.get(FIRST).moved_away == (way[-1] != FIRST)
    assert [raw(store, address) for address in (SECOND, THIRD)] == [None, None]
    assert erase_by_night(store) == []


@pytest.mark.parametrize("finished", [False, True])
def test_a_request_that_waited_is_erased_though_the_release_before_did_not_know_it(store, finished):
    make_account(store, FIRST)
    as_the_release_before(store, ask_and_get(store), finished=finished)
    assert "address_change" in raw(store, FIRST)

    assert erase_by_night(store) == [FIRST]

    assert "address_change" not in raw(store, FIRST)
    assert not store.accounts.get(FIRST).moved_away
    assert erase_by_night(store) == []


def test_an_account_that_lives_is_not_erased_for_its_addresses(store):
    make_account(store, FIRST)
    move(store, SECOND)
    move(store, THIRD, now=LATER)
    ask_and_get(store)

    assert erase_by_night(store) == []


def test_the_export_names_every_address_and_no_secret(store):
    make_account(store, FIRST)
    move(store)
    ask(store, THIRD, now=NOW + timedelta(days=30))
    file = io.StringIO()

    write_export(store, FIRST, file)

    found = json.loads(file.getvalue())
    assert (found["email"], found["addresses_before"]) == (SECOND, [FIRST])
    change = store.accounts.get(FIRST).address_change
    assert change.to_nonce not in file.getvalue()
    assert change.from_nonce not in file.getvalue()


# The release before this one


def test_the_release_before_finds_no_account_in_an_alias_row(store):
    """It takes the row for an account, whole and disabled, and no write of its own fits it."""
    make_account(store, FIRST)
    move(store)
    row = raw(store, SECOND)

    assert row.keys() >= WHOLE_ROW  # or it would adopt it
    seen = ACCOUNT.record(row)
    assert (seen.disabled, seen.password_hash, seen.credits_balance, seen.unexplained) == (True, None, 0, None)
    assert seen.account_id != store.accounts.get(FIRST).account_id
    update, session = store.updates.accounts, Session("b" * 32, "browser", LATER, LATER)
    with pytest.raises(BadCredentials):
        update.add_session(replace(seen, password_hash="x"), session, LATER)
    for write in (
        lambda tx: tx.accounts.move_balance(seen, replace(seen, credits_balance=seen.credits_balance)),
        lambda tx: tx.accounts.change_settings(seen, theme="dark"),
    ):
        with pytest.raises(Stale), store.transaction() as tx:
            write(tx)
    one = LinkMails(LATER, 1)
    with pytest.raises(AlreadyRecorded), store.transaction() as tx:
        tx.accounts.renew_link(seen, "set_password", "nonce", mails=one, now=LATER, not_since=NOW)
    assert raw(store, SECOND) == row


def test_a_walk_over_accounts_meets_no_alias(store):
    make_account(store, FIRST)
    move(store)

    assert [account.email for account in store.accounts.every()] == [FIRST]
    assert [account.email for account in store.accounts.search("", limit=5).items] == [FIRST]
    assert store.accounts.search("lovelace", limit=5).items == []
    assert store.accounts.find(SECOND) is None
    assert store.accounts.find_by_id(Alias(SECOND, FIRST, NOW, NOW).account_id) is None
    assert store.accounts.find_by_id(raw(store, SECOND)["account_id"]) is None


def test_a_freed_address_brings_no_mails_of_who_had_it(store):
    """A mail that a task is done holds its title and the beginning of its result, and rows of mails stay for weeks."""
    make_account(store, FIRST)
    move(store)
    with store.transaction() as tx:
        tx.mails.enqueue(Mail("task_completed#t", "task_completed", SECOND, LATER, {"title": "Find a lawyer"}))
    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)
    accounts.finish_erasure(store, FileStore("bucket", "us-east-1", None), FIRST, deleted_at=LATER)
    afterwards = LATER + timedelta(minutes=1)

    stranger = accounts.sign_up(store, BCRYPT, SECOND, "another passphrase", now=afterwards, kind="browser").account

    export = io.StringIO()
    write_export(store, stranger.email, export)
    assert "lawyer" not in export.getvalue()
    shown = timeline.page(store, stranger, kind="mail").items
    assert [event.thing.kind for event in shown] == ["confirm"]
    assert json.loads(export.getvalue())["mails"][0]["kind"] == "confirm"


def test_a_link_that_is_asked_for_as_the_address_changes_is_dead(store, monkeypatch):
    make_account(store, FIRST)
    ask(store)
    new, present, _ = tokens(store)
    agree(store, present)
    decide = store.accounts.decide

    def slowly(account, attempt):
        accounts.ask_for_link(store, FIRST, now=LATER)  # between read and write
        return decide(account, attempt)

    monkeypatch.setattr(store.accounts, "decide", slowly)
    agree(store, new)

    account = store.accounts.get(FIRST)
    assert (account.address, account.link_nonces) == (SECOND, {})


def test_nobody_s_account_is_adjusted(store):
    make_operators(store, "op@example.com")
    make_account(store, FIRST)
    move(store)
    accounts.delete(store, BCRYPT, store.accounts.get(FIRST), PASSWORD, now=LATER)

    with pytest.raises(WrongState, match="cannot come back"):
        customers.adjust(store, "op@example.com", FIRST, 10, "Sorry", limit=500, now=LATER, idempotency_key="k" * 20)


def test_a_second_factor_is_not_removed_by_a_left_address(app, store):
    """Whose the mailbox is by now, nobody knows: who writes from there has proven nothing."""
    make_operators(store, "op@example.com")
    make_account(store, FIRST)
    move(store)

    words = ["accounts", "reset-second-factor", FIRST, "--as", "op@example.com"]
    said = app.test_cli_runner().invoke(args=words)

    assert said.exit_code == 1
    assert f"{FIRST} was left by the account that is at {SECOND} now. Nothing was changed." in said.stderr
