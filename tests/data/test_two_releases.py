"""A release runs beside the one before it, on the same tables: neither takes from a row what the other has written."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from app.data import Store
from app.data.account_rows import ACCOUNT
from app.data.audit import AUDIT_ROW
from app.data.codec import encode, encode_item
from app.data.ledger import ENTRY
from app.data.outbox import MAIL
from app.data.payments import PAYMENT
from app.data.promotional_codes import CODE
from app.data.proposals import PROPOSAL
from app.data.records import Codec
from app.data.sales import SALE
from app.data.store import Transaction
from app.data.tasks import RESULT, TASK
from app.domain.by_hand import Hand
from app.domain.drafts import Draft
from app.domain.heartbeats import CatchUp
from app.domain.mails import MailTrouble
from app.domain.tasks import claimed
from app.domain.typed_drafts import Mark
from tests.data.test_records import ONLY, records
from tests.data.test_stored_rows import (
    ADA,
    CASES,
    FULL_PAYMENT,
    LATER,
    OP,
    PENDING,
    PROPOSED,
    TYPED,
    WELCOME,
    Case,
    together,
)
from tests.data.test_stored_rows import MAIL as A_MAIL
from tests.support import NOW

# What the release of commit 65eba2f cannot read a row without, and the type that it reads: row["…"] in its readers.
# A release may stop writing one of these once no release that needs it runs any more.
NEEDED: dict[str, tuple[Codec[Any], dict[str, str]]] = {
    "Users": (ACCOUNT, {"email": "S", "created_at": "S", "account_id": "S", "credits_balance": "N"}),
    "Transactions": (
        ENTRY,
        {"transaction_id": "S", "user_email": "S", "type": "S", "amount": "N", "timestamp": "S", "sequence": "N"},
    ),
    "Tasks": (
        TASK,
        {"task_id": "S", "user_email": "S", "description": "S", "status": "S", "created_at": "S", "version": "N"},
    ),
    "Results": (RESULT, {"text": "S", "files": "L", "by": "S", "at": "S"}),
    "Payments": (
        PAYMENT,
        {
            "payment_id": "S",
            "state": "S",
            "granted": "N",
            "total_cents": "N",
            "currency": "S",
            "refunds": "M",
            "charge_refunded_cents": "N",
            "disputes": "M",
            "applied": "N",
            "entries": "N",
            "version": "N",
            "created_at": "S",
            "updated_at": "S",
        },
    ),
    "Outbox": (MAIL, {"mail_id": "S", "kind": "S", "to": "S", "created_at": "S", "due_at": "S"}),
    "RedeemCodes": (
        CODE,
        {
            "code": "S",
            "credits": "N",
            "max_uses": "N",
            "expires_at": "S",
            "created_at": "S",
            "created_by": "S",
            "uses": "N",
            "disabled": "BOOL",
        },
    ),
    "Adjustments": (
        PROPOSAL,
        {"adjustment_id": "S", "amount": "N", "reason": "S", "proposed_by": "S", "created_at": "S", "state": "S"},
    ),
    "Audit": (AUDIT_ROW, {"audit_id": "S", "day": "S", "at": "S", "actor": "S", "action": "S", "subject": "S"}),
    "Sales": (SALE, {"source": "S", "first_seen_at": "S"}),
}
ALWAYS_SET = {PAYMENT: {"created_at": st.just(NOW), "updated_at": st.just(NOW)}, MAIL: {"due_at": st.just(NOW)}}


@pytest.mark.parametrize("table", NEEDED)
@given(data=st.data())
def test_the_release_before_finds_what_it_needs(table, data):
    codec, needed = NEEDED[table]
    record = data.draw(records(codec.of, **ONLY.get(codec.of, {}) | ALWAYS_SET.get(codec, {})))

    item = encode_item(codec.row(record))

    assert {name: kind for name, kind in needed.items() if name in item and kind in item[name]} == needed


# What one writes the other keeps

LATER_ONES = {"of_a_later_release": encode({"any": ["thing", 1]})}


@dataclass(frozen=True)
class Update:
    """What the app does to a row that stands."""

    case: str
    act: Callable[[Store], Any]


def tx(*writes: Callable[[Transaction], None]) -> Callable[[Store], None]:
    return together(*writes)


def of(store: Store) -> Any:
    return store.accounts.get(ADA)


UPDATES: dict[str, Update] = {
    "a task moves": Update("task, pending", tx(lambda tx: tx.tasks.change(PENDING, claimed(PENDING, OP, LATER)))),
    "a task is erased": Update("task, pending", lambda s: s.updates.erasure.erase_task(PENDING.task_id)),
    "a payment learns": Update(
        "payment, full", tx(lambda tx: tx.payments.save(FULL_PAYMENT, replace(FULL_PAYMENT, applied=0), LATER))
    ),
    "a setting": Update("account, new", lambda s: s.updates.accounts.change(of(s), theme="dark")),
    "a balance": Update("account, new", lambda s: tx(lambda tx: tx.accounts.move_balance(of(s), of(s)))(s)),
    "a deletion": Update(
        "account, new",
        lambda s: tx(lambda tx: tx.accounts.erase(s.updates.accounts.change(of(s), password_hash="x"), LATER))(s),
    ),
    "a proposal": Update("proposal", tx(lambda tx: tx.proposals.decide(PROPOSED.adjustment_id, "declined", OP, LATER))),
    "a mail is sent": Update("mail", lambda s: s.updates.mails.mark_sent(A_MAIL, LATER)),
    "a mail fails": Update("mail", lambda s: s.updates.mails.mark_unsent(A_MAIL, "no", LATER, give_up=True)),
    "a mail is asked for again": Update("mail", tx(lambda tx: tx.mails.requeue(A_MAIL.mail_id, LATER))),
    "trouble goes on": Update(
        "trouble with mail", lambda s: s.updates.mails.note_trouble(MailTrouble("again", NOW, LATER, 3))
    ),
    "trouble ends": Update("trouble with mail", lambda s: s.updates.mails.end_trouble()),
    "a notice is counted": Update(
        "notices of security",
        lambda s: tx(lambda tx: tx.mails.count_security_notice("acc_1", s.mails.told_of_security("acc_1", LATER)))(s),
    ),
    "a day's notices begin anew": Update(
        "notices of security",
        lambda s: tx(
            lambda tx: tx.mails.count_security_notice(
                "acc_1", s.mails.told_of_security("acc_1", NOW + timedelta(days=3))
            )
        )(s),
    ),
    "a code is used": Update("code", tx(lambda tx: tx.codes.use(WELCOME))),
    "a code is switched off": Update("code", tx(lambda tx: tx.codes.disable(WELCOME.code))),
    "a sale is decided": Update(
        "sale", lambda s: tx(lambda tx: tx.sales.decide(s.sales.find("plink_1"), "ours", OP, LATER))(s)
    ),
    "another draft": Update("draft", lambda s: tx(lambda tx: tx.drafts.keep(of(s), Draft("/x", (), NOW)))(s)),
    "a draft goes": Update("draft", lambda s: tx(lambda tx: tx.drafts.drop(of(s), s.drafts.get("acc_1", NOW), "x"))(s)),
    "more is typed": Update(
        "typed draft",
        lambda s: s.updates.typed_drafts.save(TYPED, TYPED.kept(Mark("/tasks", ("page01",)), 8, (("note", "x"),), NOW)),
    ),
    "what was typed is sent": Update(
        "typed draft",
        lambda s: s.updates.typed_drafts.save(TYPED, TYPED.done_with(Mark("/tasks", ("page01",)), NOW)),
    ),
    "by hand": Update(
        "by hand, on the command line",
        lambda s: tx(lambda tx: tx.by_hand.count(s.by_hand.find("command line"), 5, limit=100, now=NOW))(s),
    ),
    "by hand on another day": Update(
        "by hand, on the command line",
        tx(lambda tx: tx.by_hand.count(Hand("command line", "2026-11-22", 70), 5, limit=100, now=NOW + timedelta(1))),
    ),
    "a webhook": Update("stripe", lambda s: s.updates.heartbeats.note_webhook(LATER)),
    "a checkout": Update("stripe", lambda s: s.updates.heartbeats.note_checkout(LATER)),
    "a look of the hour": Update("catch-up", lambda s: s.updates.heartbeats.note_catch_up(CatchUp(LATER, NOW))),
    "a check of the books": Update("books", lambda s: s.updates.heartbeats.note_books(LATER, 0)),
    "a turnaround": Update("turnarounds", lambda s: s.updates.figures.note_turnaround(NOW, LATER)),
    "days of the ledger": Update("days of the ledger", lambda s: s.updates.figures.keep_ledger_days({}, LATER)),
}


@pytest.mark.parametrize("name", UPDATES)
def test_what_a_later_release_has_added_to_a_row_stays(moto_store, name):
    """An update names what this release knows, and leaves alone what it does not."""
    update = UPDATES[name]
    case: Case = CASES[update.case]
    case.write(moto_store)
    (before,) = rows_of(moto_store, case)
    moto_store.client.put_item(TableName=moto_store.prefix + case.table, Item=before | LATER_ONES)

    update.act(moto_store)

    (after,) = rows_of(moto_store, case)
    assert after["of_a_later_release"] == LATER_ONES["of_a_later_release"]
    assert {name: value for name, value in after.items() if name not in LATER_ONES} != before


def rows_of(store: Store, case: Case) -> list[dict[str, Any]]:
    items = store.client.scan(TableName=store.prefix + case.table)["Items"]
    return [item for item in items if all(item.get(name) == {"S": value} for name, value in case.key.items())]


# Whole rows are put where none stands. These are put whatever stands there, and why.
PUT_OVER = {
    "AccountWrites.announce_id": "the id is drawn at random",
    "MailWrites.enqueue": "the same mail promised again begins anew",
    "OnceWrites.keep": "an act that its own conditions let happen once",
    "SearchKeyWrites._write": "a row is its key and holds nothing else",
    "WebhookWrites.add_endpoint": "one that is new, by an id that was drawn",
    "WebhookWrites.promise": "a fact that its own conditions let happen once",
}


def test_a_whole_row_is_put_only_where_none_stands():
    over = {
        f"{part.name}.{function.name}"
        for path in Path(app.__file__).parent.rglob("*.py")
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.ClassDef)
        for function in part.body
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("put", "_put", "put_item")
        and not any(word.arg == "condition" and "attribute_not_exists(" in ast.unparse(word) for word in call.keywords)
    }

    assert over == PUT_OVER.keys()
