"""Rows of the original product as nobody would wish them, for trying the move: `python -m scripts.odd_rows --rows 300`.

Writes into the three tables of the store that the settings name, so: into an empty one. Each kind of oddity that
`flask accounts adopt` names comes again and again, under accounts of its own and beside rows that are well.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.config import Config
from app.data import Store
from app.data.codec import Item
from app.data.tables import TASKS, TRANSACTIONS, USERS, Table
from app.web.visitors import open_store

DAY = "2025-{month:02d}-{day:02d}T10:{minute:02d}:00.000001"


@dataclass(slots=True)
class Person:
    """An account of the original with what it did: all of it well, until one oddity is put in."""

    email: str
    rows: dict[Table, list[Item]] = field(default_factory=dict)
    lacking: bool = False  # whether a person has to say

    @property
    def account(self) -> Item:
        return self.rows[USERS][0]


def person(number: int, spends: int) -> Person:
    email = f"odd{number}@example.com"
    when = iter([DAY.format(month=1 + number % 9, day=day, minute=number % 60) for day in range(1, 9)])
    one = Person(email)
    one.rows = {
        USERS: [user(email, 500 - 10 * spends, next(when))],
        TRANSACTIONS: [
            entry(f"txn-{number}-0", email, 500, "purchase", next(when), payment=f"pi_odd_{number}"),
            *(entry(f"txn-{number}-{n + 1}", email, -10, "spend", next(when)) for n in range(spends)),
        ],
        TASKS: [task(f"task-{number}-{n}", email, next(when)) for n in range(spends)],
    }
    return one


def user(email: str, balance: int, when: str) -> Item:
    words = {"email": email, "password_hash": "", "created_at": when, "stripe_customer_id": f"cus_{email}"}
    return {name: {"S": text} for name, text in words.items()} | {"credits_balance": {"N": str(balance)}}


def entry(name: str, email: str, amount: int, type: str, when: str, payment: str | None = None) -> Item:
    words = {"transaction_id": name, "user_email": email, "type": type, "timestamp": when, "description": "Before"}
    paid = {"stripe_payment_intent": {"S": payment}} if payment else {}
    return {key: {"S": text} for key, text in words.items()} | {"amount": {"N": str(amount)}} | paid


def task(name: str, email: str, when: str) -> Item:
    words = {"task_id": name, "user_email": email, "description": "An old task", "status": "pending"}
    words |= {"created_at": when, "updated_at": when}
    return {key: {"S": text} for key, text in words.items()} | {"credits_spent": {"N": "10"}}


Oddity = Callable[[Person], None]


def drop(table: Table, name: str) -> Oddity:
    def odd(one: Person) -> None:
        for item in one.rows[table]:
            item.pop(name, None)

    return odd


def hold(table: Table, name: str, kind: str, value: Any) -> Oddity:
    def odd(one: Person) -> None:
        for item in one.rows[table]:
            item[name] = {kind: value}

    return odd


def shout(one: Person) -> None:
    """The address as somebody typed it, in every row."""
    for table, name in ((USERS, "email"), (TRANSACTIONS, "user_email"), (TASKS, "user_email")):
        for item in one.rows[table]:
            item[name] = {"S": f" {one.email.upper()}"}


def shout_in_rows(one: Person) -> None:
    for item in one.rows[TRANSACTIONS]:
        item["user_email"] = {"S": one.email.title()}


def twice(one: Person) -> None:
    one.rows[USERS].append(user(one.email.upper(), 70, "2025-02-01T10:00:00"))


# A key of an index holds a text or nothing: DynamoDB takes no other.
BY_ITSELF: tuple[Oddity, ...] = (
    *(shout, shout_in_rows, drop(USERS, "created_at"), drop(USERS, "credits_balance")),
    *(drop(TRANSACTIONS, "timestamp"), drop(TRANSACTIONS, "type"), drop(TASKS, "created_at")),
    *(drop(TASKS, "credits_spent"), hold(TASKS, "status", "S", "In_Progress ")),
    hold(TASKS, "status", "S", "COMPLETED"),
    hold(USERS, "credits_balance", "NULL", True),
    hold(USERS, "created_at", "N", "1741000000"),
    hold(TRANSACTIONS, "timestamp", "S", "Mon, 03 Mar 2025 11:06:40 GMT"),
    hold(TRANSACTIONS, "timestamp", "S", "Mon Mar 03 2025 11:06:40 GMT+0100 (Central European Standard Time)"),
    hold(TASKS, "created_at", "S", "1741000000"),
)
BY_A_PERSON: tuple[Oddity, ...] = (
    *(twice, drop(TRANSACTIONS, "user_email"), drop(TRANSACTIONS, "amount"), drop(TASKS, "status")),
    hold(USERS, "credits_balance", "N", "99.5"),
    hold(USERS, "credits_balance", "S", "a lot"),
    hold(TRANSACTIONS, "amount", "N", "9.99"),
    hold(TRANSACTIONS, "amount", "BOOL", True),
    hold(TRANSACTIONS, "amount", "SS", ["10", "20"]),
    hold(USERS, "created_at", "BOOL", False),
    hold(TRANSACTIONS, "timestamp", "S", "03/04/2025"),
    hold(USERS, "created_at", "S", "last spring"),
    hold(TASKS, "status", "S", "failed"),
    hold(TASKS, "credits_spent", "N", "10.5"),
)


def people(rows: int, seed: int) -> Iterator[Person]:
    """About as many rows as that: one oddity an account in turn, and every fifth account well."""
    made, number = 0, seed * 100_000
    oddities = [*BY_ITSELF, *BY_A_PERSON]
    while made < rows:
        one = person(number, spends=1 + number % 2)
        if number % 5:
            odd = oddities[(number - number // 5 - 1) % len(oddities)]
            one.lacking = odd in BY_A_PERSON
            odd(one)
        yield one
        made += sum(map(len, one.rows.values()))
        number += 1


def write(written: Iterable[Person], store: Store) -> None:
    for one in written:
        for table, items in one.rows.items():
            for item in items:
                store.client.put_item(TableName=store.prefix + table.suffix, Item=item)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.odd_rows", description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    config = Config.from_env()
    if config.is_production:
        parser.error("this is production: nobody wants such rows there")
    written = list(people(given.rows, given.seed))
    write(written, open_store(config))
    lacking = sum(one.lacking for one in written)
    print(f"{len(written)} accounts; of {lacking} a person has to say something.")


if __name__ == "__main__":
    main()
