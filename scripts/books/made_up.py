"""Ledgers made up by a formula, as large as one likes: the same rows as pages of a store and as an export.

Each account has fifty ledger rows: a purchase, forty-five tasks, four of them rejected. Nothing is kept: a row follows
from its number. Some accounts are spoilt, each in a way of its own, so that a check has something to find.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from app.data.codec import Item, encode_item
from app.data.figure_rows import FIGURES_OF_LEDGER, place_key
from app.data.payments import PAYMENT
from app.domain.ledger_figures import SHARDS, LedgerFigures
from app.domain.payments import PaymentRecord

ROWS, TASKS, REJECTED = 50, 45, 4
BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 3_000  # rows of about 340 bytes: a megabyte, which is what DynamoDB answers with
MONTH = "2026-01"
SPOILT_EVERY = 10_007  # accounts
KINDS = (
    "missing row",
    "wrong balance_after",
    "balance",
    "no task",
    "no payment",
    "refund lacks",
    "no account",
    "payment not credited",
)
Rows = Callable[[int], Iterator[Item]]


def text(value: str) -> dict[str, str]:
    return {"S": value}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


class MadeUp:
    """`rows` ledger rows in all, a multiple of fifty."""

    def __init__(self, rows: int) -> None:
        self.accounts = rows // ROWS
        self._moments = [
            text((BEGINS + timedelta(minutes=place)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")) for place in range(ROWS)
        ]
        self._by_table: dict[str, Rows] = {
            "Users": self._account,
            "Transactions": self.ledger_of,
            "Tasks": self._tasks_of,
            "Payments": self._payment_of,
        }

    def spoilt(self, account: int) -> str:
        """How an account is spoilt; empty where it is not."""
        turn, rest = divmod(account, SPOILT_EVERY)
        return KINDS[turn % len(KINDS)] if rest == SPOILT_EVERY // 2 or account == self.accounts - 1 - turn else ""

    def rows(self, table: str, part: int = 0, of: int = 1) -> Iterator[Item]:
        """Rows of one part of a table."""
        if table in self._by_table:
            for account in range(part, self.accounts, of):
                yield from self._by_table[table](account)
        elif part == 0 and table == "Figures":
            yield from self._figures()
        elif part == 0 and table == "Status":
            yield encode_item({"name": "migration#2", "finished_at": "2026-01-01T00:00:00.000000Z"})

    def ledger_of(self, account: int) -> Iterator[Item]:
        """As the index lists them: oldest first."""
        spoilt, email, balance = self.spoilt(account), text(email_of(account)), 0
        for place, (kind, amount, cause) in enumerate(moves(account)):
            balance += amount
            if spoilt == "missing row" and place == 20:
                continue
            after = balance + 1 if spoilt == "wrong balance_after" and place == 20 else balance
            if cause[0] == "p":
                own = {"transaction_id": text(f"purchase#cs_{account}"), "payment_id": text(cause)}
            else:
                own = {"transaction_id": text(f"{kind}#{cause}"), "task_id": text(cause)}
            yield own | {
                "user_email": email,
                "type": text(kind),
                "amount": number(amount),
                "timestamp": self._moments[place],
                "description": text("Task: Compare the fees of three banks for a small company"),
                "balance_after": number(after),
                "sequence": number(place + 1),
            }

    def _account(self, account: int) -> Iterator[Item]:
        spoilt = self.spoilt(account)
        if spoilt == "no account":
            return
        balance = sum(amount for _, amount, _ in moves(account)) + (spoilt == "balance")
        yield {
            "email": text(email_of(account)),
            "account_id": text(f"acc_{account}"),
            "created_at": self._moments[0],
            "credits_balance": number(balance),
            "ledger_sequence": number(ROWS),
            "folded_sequence": number(ROWS),
            "last_entry_at": self._moments[-1],
            "version": number(ROWS),
            "open_tasks": number(TASKS - REJECTED),
            "sessions": {"M": {}},
            "link_nonces": {"M": {}},
            "spend_by_day": {"M": {}},
            "role": text("customer"),
        }

    def _tasks_of(self, account: int) -> Iterator[Item]:
        spoilt, email = self.spoilt(account), text(email_of(account))
        for place in range(TASKS):
            if spoilt == "no task" and place == 7:
                continue
            rejected = place < REJECTED or (spoilt == "refund lacks" and place == 7)
            yield {
                "task_id": text(f"task_{account}_{place}"),
                "user_email": email,
                "status": text("rejected" if rejected else "completed"),
                "credits_spent": number(10),
                "created_at": self._moments[place + 1],
                "updated_at": self._moments[place + 1],
                "version": number(2),
                "description": text("Compare the fees of three banks for a small company"),
            }

    def _payment_of(self, account: int) -> Iterator[Item]:
        spoilt = self.spoilt(account)
        if spoilt == "no payment":
            return
        applied = 0 if spoilt == "payment not credited" else 1_000
        paid = PaymentRecord(
            f"pi_{account}",
            session_id=f"cs_{account}",
            payment_intent=f"pi_{account}",
            state="paid",
            granted=1_000,
            total_cents=1_000,
            currency="usd",
            user_email=email_of(account),  # type: ignore[arg-type]
            applied=applied,
            entries=1,
            version=1,
            created_at=BEGINS,
            updated_at=BEGINS,
        )
        yield encode_item(PAYMENT.row(paid))

    def _figures(self) -> Iterator[Item]:
        """What the rows that are there add up to, by shard."""
        many, spoilt = [0] * SHARDS, [0] * SHARDS
        for account in range(self.accounts):
            shard = zlib.crc32(email_of(account).encode()) % SHARDS
            many[shard] += 1
            spoilt[shard] += self.spoilt(account) == "missing row"
        for shard in range(SHARDS):
            whole, lost = many[shard], spoilt[shard]
            figures = LedgerFigures(
                rows=whole * ROWS - lost,
                sold=whole * 1_000,
                spent=whole * TASKS * 10 - lost * 10,
                given_back=whole * REJECTED * 10,
            )
            yield encode_item(place_key((MONTH, shard)) | FIGURES_OF_LEDGER.row(figures))


def email_of(account: int) -> str:
    return f"customer-{account:08}@example.com"


def moves(account: int) -> Iterator[tuple[str, int, str]]:
    """What moved an account's credits, in order: the kind, the amount, and the payment or task that caused it."""
    yield "purchase", 1_000, f"pi_{account}"
    for place in range(TASKS):
        yield "spend", -10, f"task_{account}_{place}"
        if place < REJECTED:
            yield "refund", 10, f"task_{account}_{place}"


class Pages:
    """A client of DynamoDB as far as the check of the books asks one: pages of rows that are made as they are read."""

    def __init__(self, made_up: MadeUp, prefix: str) -> None:
        self._made_up, self._prefix = made_up, prefix
        self.calls = 0

    def describe_table(self, TableName: str) -> dict[str, Any]:
        rows = {"Users": 1, "Transactions": ROWS, "Tasks": TASKS, "Payments": 1}
        return {"Table": {"ItemCount": self._made_up.accounts * rows.get(self._table(TableName), 0)}}

    def scan(self, *, ExclusiveStartKey: Any = None, **request: Any) -> dict[str, Any]:
        """A page, and what makes those behind it as the key to go on from."""
        pages = ExclusiveStartKey or self._pages(**request)
        page = next(pages, None)
        return {"Items": [], "Count": 0} if page is None else page | {"LastEvaluatedKey": pages}

    def _pages(self, *, TableName: str, Segment: int = 0, TotalSegments: int = 1, **_: Any) -> Iterator[dict[str, Any]]:
        page: list[Item] = []
        for row in self._made_up.rows(self._table(TableName), Segment, TotalSegments):
            page.append(row)
            if len(page) == PAGE:
                self.calls += 1
                yield {"Items": page, "Count": len(page)}
                page = []
        self.calls += 1
        yield {"Items": page, "Count": len(page)}

    def query(self, *, TableName: str, ExpressionAttributeValues: Item, **_: Any) -> dict[str, Any]:
        """An account's ledger; of any other index nothing."""
        self.calls += 1
        key = ExpressionAttributeValues[":h"]["S"]
        if self._table(TableName) != "Transactions":
            return {"Items": []}
        account = int(key.removeprefix("customer-").partition("@")[0])
        wanted = ("sequence", "amount", "balance_after")
        return {"Items": [{name: row[name] for name in wanted} for row in self._made_up.ledger_of(account)]}

    def get_item(self, *, TableName: str, Key: Item, **_: Any) -> dict[str, Any]:
        self.calls += 1
        table = self._table(TableName)
        if table == "Users":
            account = int(Key["email"]["S"].removeprefix("customer-").partition("@")[0])
            found = list(self._made_up._account(account))
        else:
            found = [row for row in self._made_up.rows(table) if row.items() >= Key.items()]
        return {"Item": found[0]} if found else {}

    def _table(self, name: str) -> str:
        return name.removeprefix(self._prefix)
