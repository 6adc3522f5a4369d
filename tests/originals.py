"""Rows as the original product wrote them: the attributes of its tables, and no other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from app.data import Store
from app.services.passwords import Passwords
from tests.support import PASSWORD

EMAIL = "old@example.com"
BCRYPT = Passwords(4)
PAYMENT, TASK = "pi_of_old", "task-of-old"  # of EMAIL's history
SINCE = "2025-03-01T09:30:00.250000"  # datetime.utcnow().isoformat(): no offset


def number(value: object) -> dict[str, Any]:
    return {"N": str(value)} if isinstance(value, int | float | Decimal) else {"S": str(value)}


def put_account(store: Store, email: str = EMAIL, *, balance: Any = 490, password: str = PASSWORD, **more: Any) -> str:
    """A row of the Users table; `balance` is stored as it is given, text as text."""
    item = {
        "email": {"S": email},
        "password_hash": {"S": BCRYPT.hash(password)},
        "created_at": {"S": SINCE},
        "stripe_customer_id": {"S": f"cus_{email}"},
        **more,
    }
    if balance is not None:
        item["credits_balance"] = number(balance)
    store.client.put_item(TableName=store.prefix + "Users", Item=item)
    return email


def put_transaction(
    store: Store,
    name: str,
    amount: Any,
    type: str = "spend",
    *,
    email: str = EMAIL,
    payment: str | None = None,
    day: int = 2,
) -> str:
    item = {
        "transaction_id": {"S": name},
        "user_email": {"S": email},
        "type": {"S": type},
        "amount": number(amount),
        "timestamp": {"S": f"2025-03-{day:02d}T10:00:00.000001"},
        "description": {"S": f"{type} of the original"},
    }
    if payment:
        item["stripe_payment_intent"] = {"S": payment}
    store.client.put_item(TableName=store.prefix + "Transactions", Item=item)
    return name


def put_task(store: Store, name: str, status: str = "pending", *, email: str = EMAIL, cost: Any = 10) -> str:
    store.client.put_item(
        TableName=store.prefix + "Tasks",
        Item={
            "task_id": {"S": name},
            "user_email": {"S": email},
            "description": {"S": "Summarise the old report"},
            "status": {"S": status},
            "credits_spent": number(cost),
            "created_at": {"S": "2025-03-03T10:00:00.000001"},
            "updated_at": {"S": "2025-03-03T10:00:00.000001"},
        },
    )
    return name


def put_history(store: Store, email: str = EMAIL, *, task: bool = True) -> None:
    """A customer who bought 500 credits and spent 10 of them, on a task that still waits."""
    name = email.partition("@")[0]
    put_account(store, email, balance=490)
    put_transaction(store, f"txn-1-{name}", 500, "purchase", email=email, payment=f"pi_of_{name}", day=2)
    put_transaction(store, f"txn-2-{name}", -10, email=email, day=3)
    if task:
        put_task(store, f"task-of-{name}", email=email)
