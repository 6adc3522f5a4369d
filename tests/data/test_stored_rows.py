"""Rows as they are stored, held as literals: what is written stays as it was, and what was written reads as it did.

`stored_rows.json` holds what commit 65eba2f wrote, when each row was still written out by hand. A release runs beside
the one before it on the same tables: an attribute may be added there, never renamed, and none changes its type.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.data import Store
from app.data.account_rows import ALIAS
from app.data.client import Stale
from app.data.codec import decode_item
from app.data.payments import PAYMENT
from app.data.store import Transaction
from app.domain import webhooks
from app.domain.accounts import Account, AddressChange, LinkMails, Passkey, Session
from app.domain.aliases import Alias
from app.domain.api_keys import ENDED_KEPT, ApiKey
from app.domain.audit import AuditRow
from app.domain.by_hand import Hand
from app.domain.checks import Begun, Difference
from app.domain.codes import PromotionalCode
from app.domain.credits import ADJUSTMENT, PURCHASE, SPEND, PostedEntry
from app.domain.drafts import Draft, packed
from app.domain.errors import RowUnreadable
from app.domain.figures import LedgerDays
from app.domain.heartbeats import BooksCheck, CatchUp, Finding, StripeContact, Waiting
from app.domain.mails import Mail, MailTrouble, Told
from app.domain.payments import PaymentRecord
from app.domain.proposals import CODE, Proposal
from app.domain.reversals import Amount
from app.domain.sales import Line, Origin, Sale
from app.domain.tasks import Brief, Result, ResultFile, Task, claimed, completed, new_task, rejected
from app.domain.typed_drafts import TypedDraft
from app.domain.webhooks import Endpoint, Try
from tests.support import NOW

STORED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "stored_rows.json").read_text())
ADA, OP = "ada@example.com", "op@example.com"
LATER = NOW + timedelta(minutes=5)
ADDED = {  # by later releases: what says that a row's search keys are written, and in which shard a mail waits
    "Users": {"searched_by": {"L": [{"S": ADA}]}},
    "Payments": {"keyed": {"BOOL": True}},
    "Outbox": {"due_shard": {"S": "due#2"}},
}
OVER = ("alias", "mail, sent", "mail, given up")  # rows that get nothing of it


def account(**fields: Any) -> Account:
    return Account(ADA, "acc_1", NOW, **fields)


BEGUN, DIFFERS = Begun("a1b2", NOW, 2), Difference(ADA, "sequence numbers", "1 to 3", "without [2]", ADA)
CAUGHT_UP = CatchUp(LATER, NOW, 12, 1, (Finding("pi_1", "session", "+5 credits"),), ("It is disabled.",))
LABELLED = new_task(ADA, Brief("Words", "order-1042", ("Invoices", "May")), "r-7", NOW)
PLAIN_ACCOUNT = account()
FULL_ACCOUNT = account(
    credits_balance=480,
    ledger_sequence=3,
    last_entry_at=LATER,
    last_happened_at=NOW,
    ahead_since=NOW,
    version=7,
    open_tasks=1,
    password_hash="$2b$04$" + "x" * 53,
    sessions={
        "a" * 32: Session("a" * 32, "browser", NOW, LATER, "Firefox", NOW),
        "b" * 32: Session("b" * 32, "api", NOW, NOW),
    },
    session_version=2,
    role="admin",
    confirmed_at=NOW,
    disabled_at=LATER,
    frozen_at=LATER,
    stripe_customer_id="cus_1",
    spend_by_day={"2026-11-22": 20},
    submit_window="2026-11-22T12:00",
    submits_in_window=2,
    link_nonces={"reset": "nonce"},
    link_mails={"reset": LinkMails(NOW, 2), "confirm": LinkMails(LATER, 1)},
    low_balance_threshold=100,
    low_since=NOW,
    low_mailed_at=LATER,
    theme="dark",
    shortcuts=False,
    unwanted_mails=frozenset({"receipt", "low_balance"}),
    draft="Words",
    unsent=True,
    recent_marks="abcdef",
    deleted_at=LATER,
    life=1,
    totp="sealed",
    totp_pending="sealed, too",
    totp_counter=5,
    recovery_codes=frozenset({"c" * 40, "d" * 40}),
    passkeys={
        "e" * 32: Passkey("e" * 32, "id", "key", 3, "Laptop", NOW, LATER),
        "f" * 32: Passkey("f" * 32, "2", "k", 0, "", NOW),
    },
    by_hand_on="2026-11-22",
    by_hand=70,
    challenge="assert:1:2",
)
ELSEWHERE = "lovelace@example.org"
ASKED = AddressChange(ELSEWHERE, NOW, "Firefox", "to", "from", 2, NOW)
ASKING = account(confirmed_at=NOW, address_change=ASKED, link_mails={"address": LinkMails(NOW, 1)})
MOVED = account(confirmed_at=NOW, present_address=ELSEWHERE, left_addresses=("ada@example.net",), stripe_behind=True)
AN_ALIAS = Alias(ELSEWHERE, ADA, NOW, NOW, "acc_alias")
PENDING = new_task(ADA, "Summarise\nthe report", "r1", NOW)
CLAIMED = claimed(PENDING, OP, LATER)
DONE = replace(completed(CLAIMED, OP, LATER), redone_by="task_2", updated_at=LATER)
REJECTED = rejected(PENDING, OP, "Not our work", LATER)
REDO = replace(PENDING, task_id="task_2", credits_spent=0, redo_of=PENDING.task_id, redo_note="It lacks the sum")
RESULT = Result("**Done**", (ResultFile("results/1", "sum.csv", 12, "text/csv"),), OP, LATER)
SPENT = PostedEntry(
    f"spend#{PENDING.task_id}", ADA, SPEND, -10, "Task: Summarise", NOW, 490, 2, task_id=PENDING.task_id
)
BOUGHT = PostedEntry(
    "purchase#cs_1", ADA, PURCHASE, 500, "Bought", NOW, 500, 1, payment_id="pi_1", stripe_payment_intent="pi_1"
)
AHEAD = PostedEntry("adjust#1", ADA, ADJUSTMENT, 5, "", NOW, 495, 3, ahead_at=LATER)
PLAIN_PAYMENT = PaymentRecord("cs_1", version=1, created_at=NOW, updated_at=NOW)
FULL_PAYMENT = PaymentRecord(
    payment_id="pi_1",
    session_id="cs_1",
    payment_intent="pi_1",
    state="paid",
    granted=500,
    total_cents=500,
    currency="usd",
    payer_email=ADA,
    customer_id="cus_1",
    refunds={"re_1": Amount(100, "succeeded", "usd", 1790000000, 1789999999, 0), "re_2": Amount(5, "failed", undone=7)},
    charge_refunded=Amount(100, currency="usd", told=1790000000),
    disputes={"dp_1": Amount(50, "won", "eur", 3)},
    parked_reason="no address",
    resolution="credited",
    user_email=ADA,
    applied=400,
    entries=2,
    receipt_url="https://pay.stripe.com/receipts/1",
    version=2,
    created_at=NOW,
    updated_at=LATER,
    charged={"usd": 500, "eur": 450},
)
ASIDE = replace(
    PLAIN_PAYMENT,
    payment_id="pi_2",
    parked_reason="not ours",
    source="plink_1",
    origin=Origin("plink_1", (Line("prod_1", "price_1", True, "A book"), Line("", "", False))),
    credits_if_ours=900,
    reason_if_ours="another currency",
)
LINKED = replace(ASIDE, payment_id="pi_3", origin=Origin("plink_1"), credits_if_ours=0, reason_if_ours=None)
WELCOME = PromotionalCode("WELCOME", 50, 100, LATER, NOW, OP)
GENEROUS = PromotionalCode("GENEROUS", 500, 100, LATER, NOW, OP, note="For the fair", approved_by="two@example.com")


MAIL = Mail("welcome#1", "welcome", ADA, NOW, {"credits": 500, "spent": False})
PROPOSED = Proposal("adj_1", ADA, -70, "Paid twice", OP, NOW)
A_CODE = Proposal("adj_2", "", 5000, "For the fair", OP, NOW, kind=CODE, terms={"code": "FAIR", "uses": 10})
ACT = AuditRow("", NOW, OP, "credits.adjust", ADA, "Paid twice", {"balance": 5}, {"balance": 7, "names": ["a"]})
TYPED = TypedDraft(
    *("acc_1#0#16999009ee740f1cd697fe3c", "acc_1", "/tasks", NOW, 1797940800, "page01", 7),
    packed(Draft("/tasks", (("description", "Words"),), NOW)).fields,
    ("page00",),
    1,
)
AN_API_KEY = ApiKey(
    *("key_1", ADA, "acc_1", 0, "ab" * 32, "imp_live_AbCd", "Nightly", frozenset({"tasks:read", "tasks:write"}), NOW),
    credits_a_month=500,
    expires_at=LATER,
    spent={"2026-11": 70},
    version=7,
)
AN_ENDPOINT = Endpoint(
    *("we_1", "acc_1", ADA, "https://example.com/hooks", ("task.completed",), NOW, "sealed"),
    name="Shop",
    old_secret="sealed before",
    old_until=LATER,
    paused_at=NOW,
    paused_by="failing",
    resumed_at=NOW,
    parked=True,
    failing_since=NOW,
    failures=7,
    rest_until=LATER,
    slow=True,
    version=3,
)
AN_EVENT = webhooks.revoked_key("key_1", "Shop", NOW)
A_DELIVERY = replace(
    webhooks.delivery_of(AN_EVENT, "we_1"),
    due_at=LATER,
    attempts=1,
    tries=(Try(NOW, 12, 500, "refused"),),
    headers={"webhook-id": AN_EVENT.event_id},
    answer_headers={"X-A": "b"},
    answer="said",
)
DRAFT = Draft("/tasks", (("description", "Words"), ("request_id", "r1")), NOW)


@dataclass(frozen=True)
class Case:
    """`write` leaves one row of `table`; `read` finds it and says what it is: `record`."""

    table: str
    key: dict[str, str]
    write: Callable[[Store], Any]
    read: Callable[[Store], Any]
    record: Any


def together(*writes: Callable[[Transaction], None]) -> Callable[[Store], None]:
    """Each write in a transaction of its own."""

    def write(store: Store) -> None:
        for one in writes:
            with store.transaction() as tx:
                one(tx)

    return write


def alias(store: Store) -> None:
    """As it is put beside the account that moves; its id is drawn."""
    with store.transaction() as tx:
        tx.accounts.put("Users", ALIAS.row(AN_ALIAS), condition="attribute_not_exists(email)", failure=Stale)


def account_case(record: Account) -> Case:
    return Case(
        "Users", {"email": ADA}, together(lambda tx: tx.accounts.create(record)), lambda s: s.accounts.find(ADA), record
    )


def task_case(record: Task) -> Case:
    key = {"task_id": record.task_id}
    return Case("Tasks", key, together(lambda tx: tx.tasks.add(record)), lambda s: s.tasks.find(record.task_id), record)


def entry_case(record: PostedEntry) -> Case:
    key = {"transaction_id": record.transaction_id}
    return Case(
        "Transactions",
        key,
        together(lambda tx: tx.ledger.append_once(record)),
        lambda s: s.ledger.find(record.transaction_id),
        record,
    )


def payment_case(record: PaymentRecord) -> Case:
    first = replace(record, version=1, updated_at=NOW)
    writes = [lambda tx: tx.payments.save(None, record, NOW)]
    if record.version > 1:
        writes.append(lambda tx: tx.payments.save(first, record, record.updated_at or NOW))
    key = {"payment_id": record.payment_id}
    return Case("Payments", key, together(*writes), lambda s: s.payments.find(record.payment_id), record)


def proposal_case(record: Proposal, *then: Callable[[Transaction], None], **fields: Any) -> Case:
    return Case(
        "Adjustments",
        {"adjustment_id": record.adjustment_id},
        together(lambda tx: tx.proposals.add(record), *then),
        lambda s: s.proposals.find(record.adjustment_id),
        replace(record, **fields),
    )


def mail_case(then: Callable[[Store], Any] = lambda s: None, **fields: Any) -> Case:
    def write(store: Store) -> None:
        together(lambda tx: tx.mails.enqueue(MAIL))(store)
        then(store)

    record = replace(MAIL, **{"due_at": NOW, **fields})
    return Case("Outbox", {"mail_id": MAIL.mail_id}, write, lambda s: s.mails.find(MAIL.mail_id), record)


def code_case(record: PromotionalCode) -> Case:
    return Case(
        "RedeemCodes",
        {"code": record.code},
        together(lambda tx: tx.codes.create(record)),
        lambda s: s.codes.find(record.code),
        record,
    )


def sale_case(label: str, *then: Callable[[Transaction], None], **fields: Any) -> Case:
    return Case(
        "Sales",
        {"source": "plink_1"},
        together(lambda tx: tx.sales.keep(None, "plink_1", label, NOW), *then),
        lambda s: s.sales.find("plink_1"),
        Sale("plink_1", NOW, label, **fields),
    )


def audit(tx: Transaction) -> None:
    tx.audit.record(
        actor=ACT.actor,
        action=ACT.action,
        subject=ACT.subject,
        now=NOW,
        reason=ACT.reason,
        before=ACT.before,
        after=ACT.after,
    )


def draft(store: Store) -> None:
    account_case(PLAIN_ACCOUNT).write(store)
    together(lambda tx: tx.drafts.keep(PLAIN_ACCOUNT, DRAFT))(store)


def delivery(store: Store) -> None:
    together(lambda tx: tx.webhooks.promise(AN_EVENT, "we_1"))(store)
    store.updates.webhooks.note(A_DELIVERY, due_at=LATER)


HAND = Hand("command line", "2026-11-22", 70)
TROUBLE = MailTrouble("paused", NOW, LATER, 2)
CASES = {
    "account, new": account_case(PLAIN_ACCOUNT),
    "account, full": account_case(FULL_ACCOUNT),
    "task, pending": task_case(PENDING),
    "task, claimed": task_case(CLAIMED),
    "task, completed": task_case(DONE),
    "task, rejected": task_case(REJECTED),
    "task, redo": task_case(REDO),
    "result": Case(
        "Results",
        {"task_id": PENDING.task_id},
        together(lambda tx: tx.tasks.add_result(PENDING.task_id, RESULT), lambda tx: tx.tasks.add(PENDING)),
        lambda s: s.tasks.get_with_result(PENDING.task_id)[1],
        RESULT,
    ),
    "account, asking for another address": account_case(ASKING),
    "account, at another address": account_case(MOVED),
    "alias": Case(
        "Users", {"email": ELSEWHERE}, alias, lambda s: ALIAS.record(s._get("Users", {"email": ELSEWHERE})), AN_ALIAS
    ),
    "ledger, spend": entry_case(SPENT),
    "ledger, purchase": entry_case(BOUGHT),
    "ledger, listed elsewhere": entry_case(AHEAD),
    "payment, begun": payment_case(PLAIN_PAYMENT),
    "payment, full": payment_case(FULL_PAYMENT),
    "payment, not ours": payment_case(ASIDE),
    "payment, by a link": payment_case(LINKED),
    "code": code_case(WELCOME),
    "code, agreed": code_case(GENEROUS),
    "proposal": proposal_case(PROPOSED),
    "proposal of a code": proposal_case(A_CODE),
    "proposal, declined": proposal_case(
        PROPOSED,
        lambda tx: tx.proposals.decide("adj_1", "declined", "two@example.com", LATER),
        state="declined",
        decided_by="two@example.com",
        decided_at=LATER,
    ),
    "mail": mail_case(),
    "mail, sent": mail_case(lambda s: s.updates.mails.mark_sent(MAIL, LATER), sent_at=LATER),
    "mail, given up": mail_case(
        lambda s: s.updates.mails.mark_unsent(MAIL, "refused", LATER, give_up=True),
        due_at=LATER,
        last_error="refused",
        failed=True,
    ),
    "mail, asked for again": mail_case(
        together(lambda tx: tx.mails.requeue(MAIL.mail_id, LATER)), due_at=LATER, queued_at=LATER
    ),
    "trouble with mail": Case(
        "Status",
        {"name": "mail"},
        lambda s: s.updates.mails.note_trouble(TROUBLE),
        lambda s: s.mails.trouble(),
        TROUBLE,
    ),
    "notices of security": Case(
        "RateLimits",
        {"key": "security-notices#acc_1"},
        together(lambda tx: tx.mails.count_security_notice("acc_1", Told(NOW, 1))),
        lambda s: (lambda told: (told.since, told.times))(s.mails.told_of_security("acc_1", LATER)),
        (NOW, 2),
    ),
    "sale": sale_case(""),
    "sale, decided": sale_case(
        "A book",
        lambda tx: tx.sales.decide(Sale("plink_1", NOW), "ours", OP, LATER, "two@example.com"),
        decision="ours",
        decided_at=LATER,
        decided_by=OP,
        approved_by="two@example.com",
    ),
    "audit": Case(
        "Audit",
        {"subject": ADA},
        together(audit),
        lambda s: replace(s.audit.page_of(ADA, limit=1).items[0], audit_id=""),
        ACT,
    ),
    "draft": Case(
        "Drafts", {"account_id": "acc_1"}, draft, lambda s: s.drafts.get("acc_1", NOW).newest_first(), [DRAFT]
    ),
    "typed draft": Case(
        "TypedDrafts",
        {"draft_id": TYPED.draft_id},
        lambda s: s.updates.typed_drafts.save(replace(TYPED, version=0), TYPED),
        lambda s: s.typed_drafts.find_many([TYPED.draft_id], NOW),
        [TYPED],
    ),
    "task with labels": Case(
        "Tasks",
        {"task_id": LABELLED.task_id},
        together(lambda tx: tx.tasks.add(LABELLED)),
        lambda s: s.tasks.find(LABELLED.task_id),
        LABELLED,
    ),
    "reference": Case(
        "TaskLabels",
        {"user_email": ADA, "label": "ref#order-1042"},
        together(lambda tx: tx.labels.add([LABELLED])),
        lambda s: s.labels.find(ADA, "order-1042"),
        LABELLED.task_id,
    ),
    "webhook endpoint": Case(
        "WebhookEndpoints",
        {"endpoint_id": "we_1"},
        together(lambda tx: tx.webhooks.add_endpoint(AN_ENDPOINT)),
        lambda s: s.webhooks.find_endpoint("we_1"),
        AN_ENDPOINT,
    ),
    "webhook delivery": Case(
        "WebhookDeliveries",
        {"lane": A_DELIVERY.lane, "place": A_DELIVERY.place},
        delivery,
        lambda s: s.webhooks.find(A_DELIVERY.lane, A_DELIVERY.place),
        A_DELIVERY,
    ),
    "API key": Case(
        "ApiKeys",
        {"key_id": "key_1"},
        together(lambda tx: tx.api_keys.add(AN_API_KEY)),
        lambda s: s.api_keys.find("key_1"),
        AN_API_KEY,
    ),
    "API key, ended": Case(
        "ApiKeys",
        {"key_id": "key_1"},
        together(lambda tx: tx.api_keys.add(AN_API_KEY), lambda tx: tx.api_keys.note_end(AN_API_KEY, LATER)),
        lambda s: s.api_keys.find("key_1"),
        replace(AN_API_KEY, ended_at=LATER, forget_at=int((LATER + ENDED_KEPT).timestamp())),
    ),
    "by hand, on the command line": Case(
        "Status",
        {"name": "by hand: command line"},
        together(lambda tx: tx.by_hand.count(Hand("command line"), 70, limit=100, now=NOW)),
        lambda s: s.by_hand.find("command line"),
        HAND,
    ),
    "once": Case(
        "RateLimits",
        {"key": "done#7ce0f2cc7e95d85b051a3f9a9eed46606936b9df96671793687f7bac608d9cfb"},
        together(lambda tx: tx.once.keep("acc_1", "batch", "r1", ["task_1", 2], NOW)),
        lambda s: s.once.find("acc_1", "batch", "r1"),
        ["task_1", 2],
    ),
    "stripe": Case(
        "Status",
        {"name": "stripe"},
        lambda s: [s.updates.heartbeats.note_webhook(NOW), s.updates.heartbeats.note_checkout(LATER)],
        lambda s: s.heartbeats.stripe_contact(),
        StripeContact(NOW, LATER, 1),
    ),
    "books": Case(
        "Status",
        {"name": "books"},
        lambda s: s.updates.heartbeats.note_books(NOW, 3),
        lambda s: s.heartbeats.last_books_check(),
        BooksCheck(NOW, 3),
    ),
    "books, begun": Case(
        "Status",
        {"name": "books-begun"},
        lambda s: s.updates.checks.begin(BEGUN),
        lambda s: s.checks.begun(),
        BEGUN,
    ),
    "books, a part": Case(
        "Status",
        {"name": "books-part#0001"},
        lambda s: s.updates.checks.keep_part(BEGUN, 1, [DIFFERS]),
        lambda s: s.checks.ended_parts(BEGUN),
        {1: (DIFFERS,)},
    ),
    "catch-up": Case(
        "Status",
        {"name": "catch-up"},
        lambda s: s.updates.heartbeats.note_catch_up(CAUGHT_UP),
        lambda s: s.heartbeats.last_catch_up(),
        CAUGHT_UP,
    ),
    "missed": Case(
        "Status",
        {"name": "missed"},
        lambda s: s.updates.heartbeats.note_catch_up(CAUGHT_UP),
        lambda s: s.heartbeats.last_missed(),
        CAUGHT_UP,
    ),
    "waiting": Case(
        "Status",
        {"name": "waiting"},
        lambda s: s.updates.heartbeats.note_waiting(Waiting(NOW, LATER, None, mails=3, tasks=1)),
        lambda s: s.heartbeats.waiting(),
        Waiting(NOW, LATER, None, mails=3, tasks=1),
    ),
    "turnarounds": Case(
        "Status",
        {"name": "turnaround"},
        lambda s: [s.updates.figures.note_turnaround(NOW, LATER), s.updates.figures.note_turnaround(NOW, NOW)],
        lambda s: list(s.figures.turnarounds()),
        [300, 0],
    ),
    "days of the ledger": Case(
        "Status",
        {"name": "ledger-days"},
        lambda s: s.updates.figures.keep_ledger_days({"2026-11-22": {"spend": 20}}, NOW),
        lambda s: s.figures.ledger_days(),
        LedgerDays({"2026-11-22": {"spend": 20}}, NOW),
    ),
}


def row_of(store: Store, case: Case) -> dict[str, Any]:
    """As it lies in the store, but for the marks by which a write is known again and what is drawn at random."""
    items = store.client.scan(TableName=store.prefix + case.table)["Items"]
    (item,) = [i for i in items if all(i[name] == {"S": value} for name, value in case.key.items())]
    kept = {name: value for name, value in item.items() if not name.startswith("last_write")}
    return kept | ({"audit_id": {"S": "drawn"}} if "audit_id" in kept else {})


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_written_as_it_was(moto_store, name):
    CASES[name].write(moto_store)

    assert row_of(moto_store, CASES[name]) == STORED[name] | (
        ADDED.get(CASES[name].table, {}) if name not in OVER else {}
    )


@pytest.mark.parametrize("name", CASES)
def test_a_row_that_was_written_reads_as_it_did(moto_store, name):
    case = CASES[name]
    if name == "result":
        together(lambda tx: tx.tasks.add(PENDING))(moto_store)
    moto_store.client.put_item(TableName=moto_store.prefix + case.table, Item=STORED[name])

    assert case.read(moto_store) == case.record


@pytest.mark.parametrize("lost", ["granted", "applied", "entries", "state", "version", "refunds"])
def test_a_payment_that_has_lost_what_it_was_credited_is_not_read_as_one_that_never_was(lost):
    row = decode_item(STORED["payment, full"])
    del row[lost]

    with pytest.raises(RowUnreadable, match=lost):
        PAYMENT.record(row)


def test_every_row_that_is_held_has_its_case():
    assert STORED.keys() == CASES.keys()
