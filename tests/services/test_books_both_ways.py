"""One set of rules: the check of the app and the SQL over an export name the same, whatever is wrong with the books.

Rows of hundreds of accounts are made up at random and spoilt at random; that each rule is among what they break is
asserted, too. What only a real store has is seeded into one and exported.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from app.adoption import service as adoption
from app.data import Store
from app.data.account_rows import ACCOUNT
from app.data.codec import encode_item
from app.data.figure_rows import FIGURES_OF_LEDGER, place_key
from app.data.ledger import ENTRY
from app.data.migrations import FIGURES_OF_BEFORE, PROGRESS
from app.data.payments import PAYMENT
from app.data.table_copies import TableCopies
from app.data.tasks import TASK
from app.domain.accounts import Account
from app.domain.clock import to_iso
from app.domain.credits import PostedEntry
from app.domain.ledger_figures import Fold, roll_forward
from app.domain.migrations import Progress
from app.domain.payments import PaymentRecord, RefundFact, target
from app.domain.reversals import DISPUTE_RANK, REFUND_RANK, Amount
from app.domain.tasks import Task
from app.gateways.depots import Folder
from app.services import books, codes, customers, tasks
from app.services.backup import own_export
from scripts.books.audit import opened
from scripts.books.rules import ROLL_FORWARD, liability
from tests import originals
from tests.both_ways import PREFIX, Rows, by_sql, export_to
from tests.services.test_payments import paid, record
from tests.support import ledger, make_account, make_operators

pytestmark = pytest.mark.long

BEGINS = datetime(2026, 10, 20, tzinfo=UTC)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
MIGRATED = encode_item(
    {"name": f"migration#{FIGURES_OF_BEFORE.number}"} | PROGRESS.row(Progress(begun_at=NOW, finished_at=NOW))
)


class World:
    """Accounts with their rows, each right in itself, until something spoils it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.accounts: dict[str, Account] = {}
        self.ledger: dict[str, list[PostedEntry]] = {}
        self.tasks: dict[str, list[Task]] = {}
        self.payments: list[PaymentRecord] = []
        self.codes: dict[str, int] = {"SPRING": 0}
        self.extra: dict[str, list] = {"Transactions": [], "Users": [], "Tasks": [], "Payments": [], "Audit": []}
        self.extra |= {"RedeemCodes": [], "Sales": []}
        self.raw: dict[str, dict] = {}  # transaction_id: attributes that are stored otherwise

    def add(self, number: int) -> str:
        draw = self.random
        email = (
            f"{draw.choice(['ada', 'зоя', 'jürgen', 'o’brien'])}+{number}@{draw.choice(['example.com', 'пример.рф'])}"
        )
        rows: list[PostedEntry] = []
        balance = 0

        def post(kind: str, amount: int, transaction_id: str, **more) -> None:
            nonlocal balance
            balance += amount
            moment = BEGINS + timedelta(hours=7 * len(rows), seconds=number)
            rows.append(
                PostedEntry(transaction_id, email, kind, amount, "Words", moment, balance, len(rows) + 1, **more)
            )

        cents = draw.choice([500, 1000, 999])
        if number % 7:
            payment = f"pi_{number}"
            post("purchase", cents, f"purchase#cs_{number}", payment_id=payment)
            paid = PaymentRecord(
                payment, f"cs_{number}", payment, "paid", cents, cents, "usd", user_email=email, entries=1
            )
            if draw.random() < 0.4:
                back = draw.randrange(1, cents)
                paid = PaymentRecord(
                    *(payment, f"cs_{number}", payment, "paid", cents, cents, "usd"),
                    user_email=email,
                    entries=2,
                    refunds={"re_Aa": Amount(back, "succeeded")},
                )
                cause = draw.choice(["refunded", "disputed", None])
                post("clawback", target(paid) - cents, f"clawback#{payment}#2", payment_id=payment, cause=cause)
            self.payments.append(_with(paid, applied=target(paid), created_at=BEGINS, updated_at=BEGINS))
        else:
            post("promo", 90, f"promo#SPRING#person-{number}")
            self.codes["SPRING"] += 1
        tasks = []
        for place in range(draw.randrange(7)):
            task_id, status = f"task_{number}_{place}", draw.choice(["pending", "completed", "cancelled", "rejected"])
            post("spend", -10, f"spend#{task_id}", task_id=task_id)
            if status in ("cancelled", "rejected"):
                post("refund", 10, f"refund#{task_id}", task_id=task_id)
            task = Task(
                task_id=task_id,
                user_email=email,
                status=status,
                credits_spent=10,
                created_at=BEGINS,
                updated_at=BEGINS,
                version=1,
                description="Words",
            )
            tasks.append(task)
        self.accounts[email] = Account(
            email,
            f"acc_{number}",
            BEGINS,
            credits_balance=balance,
            ledger_sequence=len(rows),
            folded_sequence=len(rows),
            last_entry_at=rows[-1].timestamp,
        )
        self.ledger[email], self.tasks[email] = rows, tasks
        return email

    def rows(self) -> dict[str, list]:
        fold = Fold()
        for entries in self.ledger.values():
            for entry in entries:
                fold.add(entry)
        code = {
            "credits": 90,
            "max_uses": 1000,
            "expires_at": to_iso(NOW),
            "created_at": to_iso(NOW),
            "disabled": False,
        }
        made = {"audit_id": "a-code", "at": to_iso(NOW), "actor": "op@example.com", "action": "code.create"}
        made |= {"subject": "SPRING", "reason": "", "before": {}, "after": {}}
        codes = [
            encode_item(code | {"code": name, "uses": uses, "created_by": "op", "note": ""})
            for name, uses in self.codes.items()
        ]
        return {
            "Users": [encode_item(ACCOUNT.row(account)) for account in self.accounts.values()] + self.extra["Users"],
            "Transactions": [
                {**encode_item(ENTRY.row(entry)), **self.raw.get(entry.transaction_id, {})}
                for entries in self.ledger.values()
                for entry in entries
            ]
            + self.extra["Transactions"],
            "Tasks": [encode_item(TASK.row(task)) for tasks in self.tasks.values() for task in tasks]
            + self.extra["Tasks"],
            "Payments": [encode_item(PAYMENT.row(paid)) for paid in self.payments] + self.extra["Payments"],
            "RedeemCodes": codes + self.extra["RedeemCodes"],
            "Audit": [encode_item(made)] + self.extra["Audit"],
            "Sales": self.extra["Sales"],
            "Figures": [encode_item(place_key(p) | FIGURES_OF_LEDGER.row(one)) for p, one in fold.by_place().items()],
            "Status": [MIGRATED],
        }


def _with(record, **changes):
    from dataclasses import replace

    return replace(record, **changes)


def spoil(world: World, email: str, how: str) -> None:
    draw, rows, account = world.random, world.ledger[email], world.accounts[email]
    some = draw.randrange(len(rows))
    entry = rows[some]
    change = {}
    if how == "a row is missing":
        rows.pop(some)
    elif how == "two rows are missing":
        rows.pop(some)
        rows.pop(draw.randrange(len(rows)) if rows else 0) if rows else None
    elif how == "a row is doubled":
        rows.append(_with(entry, transaction_id=f"{entry.transaction_id}-again"))
    elif how == "a row stands three times":
        rows += [_with(entry, transaction_id=f"{entry.transaction_id}-{n}", timestamp=NOW) for n in range(2)]
    elif how == "a balance_after is wrong":
        rows[some] = _with(entry, balance_after=entry.balance_after + draw.choice([-1, 1, 500]))
    elif how == "an amount is wrong":
        rows[some] = _with(entry, amount=entry.amount + draw.choice([-1, 1]))
    elif how == "two rows have changed places":
        other = draw.randrange(len(rows))
        rows[some], rows[other] = (
            _with(entry, sequence=rows[other].sequence),
            _with(rows[other], sequence=entry.sequence),
        )
    elif how == "the balance is wrong":
        change = {"credits_balance": account.credits_balance + draw.choice([-7, 3])}
    elif how == "the balance is wrong and frozen":
        change = {"credits_balance": account.credits_balance + 5, "frozen_at": NOW}
    elif how == "the account is ahead of its ledger":
        change = {"ledger_sequence": account.ledger_sequence + draw.choice([1, 8])}
    elif how == "the ledger is ahead of its account":
        change = {"ledger_sequence": account.ledger_sequence - 1}
    elif how == "there is no ledger":
        rows.clear()
    elif how == "there is no account":
        world.accounts.pop(email)
    elif how == "there is a tombstone":
        change = {"deleted_at": NOW, "credits_balance": 0}
    elif how == "the address is another's alias":
        world.accounts.pop(email)
        world.extra["Users"].append(encode_item({"email": email, "alias_of": "somebody@example.com"}))
    elif how == "not in the figures":
        change = {"folded_sequence": account.ledger_sequence - 1}
    elif how == "a row is odd":
        odd = [
            {"amount": {"S": "ten"}},
            {"amount": {"N": "9.5"}},
            {"amount": {"BOOL": True}},
            {"amount": {"S": "10.0"}},
            {"balance_after": {"S": "7"}},
            {"balance_after": {"N": "10.5"}},
            {"amount": {"S": "1e1"}},
            {"sequence": {"S": "2"}},
            {"sequence": {"N": "1.5"}},
            {"sequence": {"NULL": True}},
        ]
        world.raw[entry.transaction_id] = draw.choice(odd)
    elif how == "an account of the original":
        del world.accounts[email]
        row = {"email": email, "credits_balance": account.credits_balance, "created_at": "2025-01-01T00:00:00"}
        world.extra["Users"].append(encode_item(row))
    elif how == "a balance of the original that cannot be read":
        del world.accounts[email]
        balance = draw.choice([{"S": "12.50"}, {"BOOL": False}, {"N": "10.5"}, {"S": ""}])
        world.extra["Users"].append(
            encode_item({"email": email, "created_at": "2025-01-01"}) | {"credits_balance": balance}
        )
        for amount in ("9.99", 50):  # which are named with their account, and with nothing else
            old = {"user_email": email, "type": "purchase", "timestamp": "2025-05-05T01:02:03", "amount": amount}
            old |= {"transaction_id": f"before-{email}-{amount}", "stripe_payment_intent": f"pi_before-{email}"}
            world.extra["Transactions"].append(encode_item(old))
    elif how == "rows of the original":
        old = {"user_email": email, "type": draw.choice(["purchase", "spend"]), "timestamp": "2025-05-05T01:02:03"}
        old |= {"amount": draw.choice(["9.99", 50]), "stripe_payment_intent": draw.choice(["pi_old", "cs_old"])}
        world.extra["Transactions"].append(encode_item({"transaction_id": f"old-{email}"} | old))
    elif how == "a task is gone" and world.tasks[email]:
        world.tasks[email].pop()
    elif how == "a task has changed" and world.tasks[email]:
        task = world.tasks[email][-1]
        odd = [
            {"status": "rejected"},
            {"status": "completed"},
            {"credits_spent": 20},
            {"credits_spent": 0},
            {"original": True},
        ]
        world.tasks[email][-1] = _with(task, **draw.choice(odd))
    elif how == "a task of the original":
        old = {"task_id": f"task-{email}", "user_email": email, "description": "", "created_at": "2025-05-05T01:02:03"}
        odd = draw.choice(
            [
                {"status": "pending", "credits_spent": 10},
                {"status": "odd", "credits_spent": 10},
                {"status": "pending", "credits_spent": "ten"},
            ]
        )
        world.extra["Tasks"].append(encode_item(old | odd))
    elif how == "the spend is doubled, and counted":
        rows.append(
            _with(
                entry,
                transaction_id=f"{entry.transaction_id}/2",
                sequence=len(rows) + 1,
                balance_after=account.credits_balance + entry.amount,
                timestamp=NOW,
            )
        )
        change = {
            "ledger_sequence": len(rows),
            "credits_balance": account.credits_balance + entry.amount,
            "folded_sequence": len(rows),
        }
    elif how.startswith("a payment"):
        place = next((n for n, paid in enumerate(world.payments) if paid.user_email == email), None)
        if place is None:
            world.codes["SPRING"] += 1  # as if it were redeemed without a row
        elif how == "a payment is gone":
            world.payments.pop(place)
        else:
            odd = [
                {"applied": 0},
                {"granted": 4000},
                {"refunds": {"re_1": Amount(5000, "succeeded")}},
                {"disputes": {"dp_1": Amount(100, "lost", "eur")}},
                {"applied": 1},
            ]
            world.payments[place] = _with(world.payments[place], **draw.choice(odd))
    elif how == "a code is redeemed twice":
        rows.append(
            _with(
                entry,
                transaction_id=f"promo#SPRING#{email}-again",
                type="promo",
                sequence=len(rows) + 1,
                amount=90,
                balance_after=account.credits_balance + 90,
                timestamp=NOW,
                payment_id=None,
                task_id=None,
            )
        )
        change = {
            "ledger_sequence": len(rows),
            "credits_balance": account.credits_balance + 90,
            "folded_sequence": len(rows),
        }
    elif how == "a code that is none":
        rows.append(
            _with(
                entry,
                transaction_id=f"promo#{email[:3].upper()}#x",
                type="promo",
                sequence=len(rows) + 1,
                amount=0,
                balance_after=account.credits_balance,
                timestamp=NOW,
                payment_id=None,
                task_id=None,
            )
        )
        change = {"ledger_sequence": len(rows), "folded_sequence": len(rows)}
    if change:
        world.accounts[email] = _with(account, **change)


HOWS = [
    "a row is missing", "two rows are missing", "a row is doubled", "a row stands three times",
    "a balance_after is wrong",
    "an amount is wrong", "two rows have changed places", "the balance is wrong", "the balance is wrong and frozen",
    "the account is ahead of its ledger", "the ledger is ahead of its account", "there is no ledger",
    "there is no account", "there is a tombstone", "the address is another's alias", "not in the figures",
    "a row is odd",
    "an account of the original", "a balance of the original that cannot be read", "rows of the original",
    "a task is gone", "a task has changed", "a task of the original", "the spend is doubled, and counted",
    "a payment is gone", "a payment is odd", "a code is redeemed twice", "a code that is none",
]  # fmt: skip
NAMED = {
    "balance and sum of the ledger", "balance and last balance_after", "sequence numbers", "opening row",
    "account of the ledger rows", "amount", "place in the ledger",
    "spend of the task", "refund of the task", "task of the ledger row",
    "task of the original product", "credits of the payment", "what the facts ask for", "payment of the ledger rows",
    "uses of the code", "code of the ledger rows",
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_random_faults_of_ledgers_tasks_payments_and_codes_are_named_alike(tmp_path, seed):
    world = World(seed)
    world.codes["LONELY"] = 2  # uses without a row
    for number in range(12 * len(HOWS)):
        email = world.add(number)
        if number % 5:
            spoil(world, email, HOWS[number % len(HOWS)])
    rows = world.rows()

    found = set(books.check(Store(Rows(rows, page=7), PREFIX)))
    said = by_sql(tmp_path, rows)

    assert said == found, f"SQL alone: {said - found}; the app alone: {found - said}"
    whats = {one.what for one in found}
    assert whats >= NAMED
    assert any(what.startswith("running balance at") for what in whats)
    assert any(what.startswith("ledger row ") for what in whats)


def test_nothing_is_named_where_nothing_is_wrong(tmp_path):
    world = World(3)
    for number in range(60):
        world.add(number)
    rows = world.rows()

    assert set(books.check(Store(Rows(rows), PREFIX))) == by_sql(tmp_path, rows) == set()


@pytest.mark.parametrize("how", ["not in the figures", "a figure is off", "a month is invented", "all move"])
def test_faults_of_finances_figures_are_named_alike(tmp_path, how):
    world = World(4)
    emails = [world.add(number) for number in range(40)]
    if how == "not in the figures":
        for email in emails[::3]:
            spoil(world, email, how)
    rows = world.rows()
    if how == "a figure is off":
        rows["Figures"][0] |= encode_item({"sold": 7, "debt_rose": 3})
        rows["Figures"].pop()
    if how == "a month is invented":
        rows["Figures"].append(encode_item({"place": "2025-01#63", "rows": 1, "added": 5}))
    if how == "all move":  # each kind of row and sign has its figure
        kinds = ["purchase", "spend", "refund", "clawback", "reinstatement", "adjustment", "promo"]
        for number, (kind, amount) in enumerate([(k, a) for k in kinds for a in (-2000, 0, 2500)]):
            email, entries = emails[number], world.ledger[emails[number]]
            last = entries[-1]
            cause = {"cause": "disputed"} if number % 2 else {"description": "It was disputed"} if number % 4 else {}
            entries.append(
                _with(
                    last,
                    transaction_id=f"x#{number}",
                    type=kind,
                    amount=amount,
                    sequence=len(entries) + 1,
                    balance_after=last.balance_after + amount,
                    payment_id=None,
                    task_id=None,
                    timestamp=NOW,
                    **cause,
                )
            )
            world.accounts[email] = _with(
                world.accounts[email],
                credits_balance=last.balance_after + amount,
                ledger_sequence=len(entries),
                folded_sequence=len(entries),
            )
        first = emails[-1]
        opening = PostedEntry(f"opening#{first}", first, "adjustment", 40, "", NOW, -60, 1)
        world.ledger[first], world.accounts[first] = (
            [opening],
            _with(world.accounts[first], credits_balance=40, ledger_sequence=1, folded_sequence=1),
        )
        rows = world.rows() | {"Figures": []}
        rows["Transactions"] = [r for r in rows["Transactions"] if r["transaction_id"]["S"] != f"opening#{first}"]
        rows["Transactions"].append(encode_item(ENTRY.row(_with(opening, amount=40, balance_after=40))))

    found = set(books.check(Store(Rows(rows), PREFIX)))
    said = by_sql(tmp_path, rows)

    assert said == found, f"SQL alone: {said - found}; the app alone: {found - said}"
    assert any(one.what.startswith("figures of finance: ") for one in found)


def made_by_hand(seed: int) -> dict[str, list]:
    """Hundreds of things made by hand, and acts for them that are right or odd in any of their parts."""
    draw, world = random.Random(seed), World(seed)
    names = ["op@example.com", "op+two@example.com", "Zoé@example.com", "nobody@example.com", "demoted@example.com"]
    acts, ledger, things = [], [], []
    for name in names[:3]:
        world.accounts[name] = Account(name, f"acc_{name}", BEGINS, role="admin")

    def act(subject, action, moment, number, **after):
        row = {"audit_id": f"{to_iso(moment)}#{number}", "at": to_iso(moment), "action": action, "subject": subject}
        row |= {"actor": draw.choice([*names, "command line"]), "reason": "", "before": {}}
        acts.append(encode_item(row | {"after": {k: v for k, v in after.items() if v is not None}}))

    for number, name in enumerate(names[3:]):
        for turn in range(40):  # so often that many an act crosses one
            action = "admin.grant" if (turn + number) % 2 else "admin.revoke"
            act(name, action, BEGINS + timedelta(minutes=turn * 61 + number * 3), f"g{turn}")
    balance: dict[str, int] = {}
    for number in range(240):
        moment = BEGINS + timedelta(minutes=number * 11)
        amount = draw.choice([-300, 500, 4000])
        day = draw.choice([moment.date().isoformat(), moment.date().isoformat(), None])
        about = {
            "day": day,
            "amount": draw.choice([amount, amount, amount, 1, None]),
            "limit": draw.choice([5000, 900]),
        }
        if draw.random() < 0.3:
            about["proposed_by"] = draw.choice(names)
        else:
            about["counted"] = draw.choice([["command line"], [], names[:2], [names[0]], None])
        kind = draw.choice(["adjust", "payment", "code", "sale"])
        lost = draw.random() < 0.2
        if kind == "adjust":
            email = draw.choice(["ada@example.com", "bob@example.com"])
            balance[email] = balance.get(email, 0) + amount
            rows = [row for row in ledger if row.user_email == email]
            ledger.append(
                PostedEntry(f"adjust#{number}", email, "adjustment", amount, "", moment, balance[email], len(rows) + 1)
            )
            if not lost:
                action = draw.choice(["credits.adjust", "credits.approve"])
                act(email, action, moment, number, correction=str(number), **about)
        elif kind == "payment":
            world.payments.append(PaymentRecord(f"pi_{number}", state="paid", granted=abs(amount), applied=abs(amount),
                                                resolution="credited", created_at=NOW, updated_at=NOW))  # fmt: skip
            things.append((f"pi_{number}", abs(amount)))
            for n in range(0 if lost else draw.choice([1, 1, 2])):
                act(f"pi_{number}", "payment.credit", moment + timedelta(seconds=n), f"{number}-{n}", **about)
        elif kind == "code":
            code = {"code": f"CODE-{number}", "credits": abs(amount), "max_uses": 1, "uses": 0, "created_by": "op"}
            code |= {"expires_at": to_iso(NOW), "created_at": to_iso(NOW), "disabled": False, "note": ""}
            world.extra["RedeemCodes"].append(encode_item(code))
            if not lost:
                act(f"CODE-{number}", "code.create", moment, number, **about)
        else:
            sale = {
                "source": f"plink_{number}",
                "first_seen_at": to_iso(NOW),
                "decision": draw.choice(["ours", "never"]),
            }
            world.extra["Sales"].append(encode_item(sale))
            about["amount"] = amount
            for n in range(0 if lost else draw.choice([1, 2])):
                act(f"plink_{number}", "sale.name", moment + timedelta(seconds=n), f"{number}-{n}", **about)
    for email in balance:
        world.ledger[email] = [row for row in ledger if row.user_email == email]
        places = len(world.ledger[email])
        world.accounts[email] = Account(email, email, BEGINS, credits_balance=balance[email], ledger_sequence=places,
                                        folded_sequence=places)  # fmt: skip
    payer = [
        PostedEntry(f"x#{payment}", "payer@example.com", "purchase", amount, "", NOW, 0, n + 1, payment_id=payment)
        for n, (payment, amount) in enumerate(things)
    ]
    total = 0
    for n, row in enumerate(payer):
        total += row.amount
        payer[n] = _with(row, balance_after=total)
    world.ledger["payer@example.com"] = payer
    world.accounts["payer@example.com"] = Account("payer@example.com", "p", BEGINS, credits_balance=total,
                                                  ledger_sequence=len(payer), folded_sequence=len(payer))  # fmt: skip
    world.extra["Audit"] = acts
    return world.rows()


BY_HAND = {
    "operator of the adjustment", "operator of the credited payment", "operator of the code", "operator of the name",
    "second operator of the proposal", "credits made by hand", "operator of what was made by hand",
    "count of what was made by hand",
}  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_random_faults_of_value_made_by_hand_are_named_alike(tmp_path, seed):
    rows = made_by_hand(seed)

    found = set(books.check(Store(Rows(rows, page=9), PREFIX)))
    said = by_sql(tmp_path, rows)

    assert said == found, f"SQL alone: {said - found}; the app alone: {found - said}"
    assert {one.what for one in found} == BY_HAND
    seconds = {one.expected.split(" ")[0] for one in found if one.what == "second operator of the proposal"}
    assert seconds == {"at", "another"}


def test_what_the_facts_of_a_payment_ask_for_is_the_same_to_the_credit(tmp_path):
    """Refunds, the charge's own sum and disputes, in any currency, state and order: `payments.target`, in SQL."""
    draw, records = random.Random(5), []
    for number in range(1500):

        def amount(ranks, most=draw.choice([1, 333, 1200])):
            currency = draw.choice(["", "usd", "usd", "eur", "jpy"])
            told, made, undone = (draw.choice([0, 1, 2, 3]) for _ in range(3))
            return Amount(draw.randrange(most + 1), draw.choice(list(ranks)), currency, told, made, undone)

        records.append(
            PaymentRecord(
                f"pi_{number}", state="paid", granted=draw.choice([0, 1, 997, 1000, 9_999_999]),
                total_cents=draw.choice([0, 1000, 997]), currency=draw.choice(["usd", "eur"]),
                charged=draw.choice([{}, {"eur": 860}, {"usd": 1000, "eur": 861}]),
                refunds={f"re_{n}": amount(REFUND_RANK) for n in range(draw.randrange(4))},
                disputes={f"dp_{n}": amount(DISPUTE_RANK) for n in range(draw.randrange(3))},
                charge_refunded=Amount(
                    draw.choice([0, 0, 250, 1000]), "", draw.choice(["", "eur", "usd"]), draw.randrange(4)
                ),
                created_at=NOW, updated_at=NOW,
            )
        )  # fmt: skip
    with opened(export_to(tmp_path, {"Payments": [encode_item(PAYMENT.row(record)) for record in records]})) as audited:
        said = {row["payment_id"]: row["target"] for row in audited.ask("SELECT payment_id, target FROM targets")}

    assert {record.payment_id: target(record) for record in records} == said
    assert len({Fraction(target(record), record.granted) for record in records if record.granted}) > 100


def test_liability_roll_forward_and_what_is_unspent_are_the_same(tmp_path):
    """Queues of credits drawn at random: purchases, gifts, spends, and what takes back a payment, more than is left."""
    draw, world = random.Random(6), World(6)
    for number in range(120):
        email, rows, balance = f"c{number}@example.com", [], 0
        for place in range(draw.randrange(1, 40)):
            kind = draw.choice(["purchase", "promo", "spend", "spend", "spend", "clawback", "reinstatement"])
            payment = f"pi_{number}_{draw.randrange(3)}" if kind in ("purchase", "clawback", "reinstatement") else None
            amount = draw.choice([10, 25, 100]) * (-1 if kind in ("spend", "clawback") else 1)
            if kind == "clawback" and sum(row.type == "clawback" for row in rows) >= 8:
                continue
            if kind == "spend" and balance + amount < 0:
                continue
            balance += amount
            moment = BEGINS + timedelta(days=place * 2, seconds=number)
            row = PostedEntry(
                f"{kind}#{number}#{place}", email, kind, amount, "", moment, balance, len(rows) + 1, payment_id=payment
            )
            if draw.random() < 0.1:  # of a machine whose clock was ahead
                row = _with(row, timestamp=moment + timedelta(days=30), ahead_at=moment)
            rows.append(row)
        world.ledger[email] = rows
        world.accounts[email] = Account(email, email, BEGINS, credits_balance=balance, ledger_sequence=len(rows),
                                        folded_sequence=len(rows))  # fmt: skip
    rows = world.rows()
    store = Store(Rows(rows), PREFIX)
    unspent = {}
    for entries in world.ledger.values():
        unspent |= books.unspent_by_payment(entries)
    later = NOW + timedelta(days=999)
    moments = [None, *(BEGINS + timedelta(days=days, hours=1) for days in (-1, 0, 20, 90))]

    with opened(export_to(tmp_path, rows)) as audited:
        owed = [audited.ask(liability(moment))[0] for moment in moments]
        months = audited.ask(ROLL_FORWARD)
        said = {row["payment_id"]: row["unspent"] for row in audited.unspent()}

    expected = [books.liability(store, at=moment or later, now=later) for moment in moments]
    assert [tuple(one.values()) for one in owed] == [
        (one.accounts, one.owed_to_customers, one.owed_by_customers) for one in expected
    ]
    by_month = roll_forward(store.ledger_figures.by_month(), NOW)
    known = {
        month["month"]: (month["opening"], month["sold"], month["debt_rose"], month["closing"]) for month in months
    }
    assert len(known) > 3
    assert {one.month: (one.opening, one.figures.sold, one.figures.debt_rose, one.closing) for one in by_month} == known
    assert said == unspent
    assert sum(1 for left in said.values() if left) > 50


def test_faults_in_a_real_store_are_named_alike_from_our_own_export(empty_store, setting_up, tmp_path):
    """Rows as the services write them, one account a fault, exported as `flask backup export` does."""
    store, names = empty_store, iter(f"{kind}@example.com" for kind in map(chr, range(ord("a"), ord("z"))))
    codes_of(store)

    def customer(email: str = "") -> Account:
        account = make_account(store, email or next(names), credits=100)
        number = account.email.partition("@")[0]
        record(store, paid(number, email=account.email))
        for n in range(3):
            tasks.submit(store, store.accounts.get(account.email), f"Task {n}", now=BEGINS + timedelta(days=n))
        record(store, RefundFact(f"pi_{number}", f"re_{number}", 300, "succeeded"))
        return store.accounts.get(account.email)

    def rows(account: Account) -> list[PostedEntry]:
        return ledger(store, account.email)

    def take(entry: PostedEntry) -> None:
        key = {"transaction_id": {"S": entry.transaction_id}}
        store.client.delete_item(TableName=f"{PREFIX}Transactions", Key=key)

    def put(entry: PostedEntry, **odd) -> None:
        row = encode_item(ENTRY.row(entry)) | odd
        store.client.put_item(TableName=f"{PREFIX}Transactions", Item=row)

    def set_odd(table: str, key: dict[str, Any], attribute: str, value: object) -> None:
        row = store.client.get_item(TableName=PREFIX + table, Key=key)["Item"]
        store.client.put_item(TableName=PREFIX + table, Item=row | {attribute: numbered(value)})

    def change(account: Account, **changes) -> None:
        store.updates.accounts.change(account, **changes)

    originals.put_account(store, "old@example.com", balance=50)
    originals.put_transaction(store, "old-row", 50, "purchase", email="old@example.com", payment="pi_old")
    originals.put_task(store, "old-task", email="old@example.com")
    adoption.adopt(store, apply=True, now=NOW)
    faults: dict[str, str] = {}
    whole, abroad = customer(), customer("зоя@пример.рф")
    one = customer()
    take(rows(one)[2])
    faults["missing in the middle"] = one.email
    one = customer()
    put(_with(rows(one)[2], transaction_id="doubled"))
    faults["doubled"] = one.email
    one = customer("jürgen@example.com")
    put(_with(rows(one)[2], balance_after=7))
    faults["wrong balance_after"] = one.email
    one = customer()
    change(one, ledger_sequence=one.ledger_sequence + 1)
    faults["gap at the end"] = one.email
    one = customer()
    for entry in rows(one):
        take(entry)
    faults["account without a ledger"] = one.email
    one = customer()
    store.client.delete_item(TableName=f"{PREFIX}Users", Key={"email": {"S": one.email}})
    faults["ledger of no account"] = one.email
    one = customer()
    purchase = next(entry for entry in rows(one) if entry.type == "purchase")
    last = one.ledger_sequence + 1
    put(_with(purchase, transaction_id="twice", sequence=last, balance_after=one.credits_balance + 1000, timestamp=NOW))
    change(one, ledger_sequence=last, folded_sequence=last, credits_balance=one.credits_balance + 1000)
    faults["credited twice"] = purchase.payment_id
    one = customer()
    number = one.email.partition("@")[0]
    store._update("Payments", {"payment_id": f"pi_{number}"}, set={"applied": 0})
    faults["credited never"] = f"pi_{number}"
    one = customer()
    number = one.email.partition("@")[0]
    refunds = {f"re_{number}": {"cents": 5000, "status": "succeeded"}}
    store._update("Payments", {"payment_id": f"pi_{number}"}, set={"refunds": refunds})
    faults["refund over the payment"] = f"pi_{number}"
    one = customer()
    codes.redeem(store, store.accounts.get(one.email), "SPRING-2026", now=NOW)
    again, one = rows(one)[-1], store.accounts.get(one.email)
    last = one.ledger_sequence + 1
    put(_with(again, transaction_id="promo#SPRING-2026#again", sequence=last, balance_after=one.credits_balance + 50,
              timestamp=NOW + timedelta(days=1)))  # fmt: skip
    change(one, ledger_sequence=last, folded_sequence=last, credits_balance=one.credits_balance + 50)
    faults["redeemed twice"] = "SPRING-2026"
    originals.put_transaction(store, "late-row", "9.99", email="old@example.com")
    faults["a row of the original after the adoption"] = "late-row"
    originals.put_account(store, "not-adopted@example.com", balance="10.50")
    faults["not adopted"] = "not-adopted@example.com"
    one = customer()
    change(one, credits_balance=one.credits_balance + 1, frozen_at=NOW)
    faults["frozen"] = one.email
    one = customer()
    alias = encode_item({"email": "new-address@example.com", "alias_of": one.email, "credits_balance": 7})
    store.client.put_item(TableName=f"{PREFIX}Users", Item=alias)
    store._update_row("Users", {"email": one.email}, set={"present_address": "new-address@example.com"})
    put(_with(rows(one)[0], transaction_id="by the alias", user_email="new-address@example.com"))
    faults["a row by an alias"] = "new-address@example.com"
    one = customer()
    change(one, deleted_at=NOW, credits_balance=0)
    faults["tombstone"] = one.email
    one = customer()
    put(rows(one)[1], amount={"N": "10.5"}, balance_after={"N": "99.5"})
    faults["decimals"] = rows(one)[1].transaction_id
    odd = {"part": Decimal("2.5"), "words": "a few", "long": 10**30, "nothing": None}
    for attribute in ("granted", "applied", "total_cents"):
        for kind, value in odd.items():
            number = customer(f"{kind}-{attribute}@example.com").email.partition("@")[0]
            set_odd("Payments", {"payment_id": {"S": f"pi_{number}"}}, attribute, value)
            faults[f"{attribute} in {kind}"] = f"pi_{number}"
    for kind, value in odd.items():
        one = customer(f"{kind}@example.com")
        set_odd("Users", {"email": {"S": one.email}}, "ledger_sequence", value)
        faults[f"ledger_sequence in {kind}"] = one.email
    one = customer()
    task = next(iter(store.tasks.every_of(one.email)))
    store._update("Tasks", {"task_id": task.task_id}, set={"status": "rejected"})
    faults["no refund"] = task.task_id
    op, two = store.accounts.get("op@example.com"), make_account(store, "two@example.com", role="admin")
    for n in range(2):
        who = {"idempotency_key": f"r-{n}", "limit": 5000, "now": NOW}
        done = customers.adjust(store, op.email, whole.email, 2000 + n, "Gift", **who).done
    act = next(row for row in store.audit.every_of(whole.email) if row.after.get("amount") == 2001)
    store._update("Audit", {"audit_id": act.audit_id}, set={"after": {**act.after, "limit": 10}})
    faults["above the limit"] = done.transaction_id

    found = set(books.check(store))
    own_export.export(TableCopies(setting_up, PREFIX), Folder(tmp_path), clock=lambda: NOW)
    with opened(tmp_path) as audited:
        said = set(audited.differences())

    assert said == found, f"SQL alone: {said - found}; the app alone: {found - said}"
    subjects = {one.subject for one in found}
    assert {fault for fault, subject in faults.items() if subject not in subjects} == set()
    assert not {whole.email, abroad.email, two.email} & subjects


def numbered(value: object) -> dict[str, Any]:
    return {"N": str(value)} if isinstance(value, (int, Decimal)) else {"S": value} if value else {"NULL": True}


def codes_of(store) -> None:
    make_operators(store)
    terms = {"credits_each": 50, "max_uses": 9, "expires_at": NOW + timedelta(days=1)}
    codes.create(store, "SPRING-2026", created_by="op@example.com", limit=5000, now=NOW, **terms)
