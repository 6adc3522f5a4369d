"""Mends rows of the original: one attribute at a time, each in one transaction with its row of the audit log.

Every write insists on what was read, so it is safe to repeat, to break off and to race: what has changed meanwhile is
left to the next look. An account whose address changes takes its rows along, and goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from app.data.base import Base
from app.data.client import Stale, call
from app.data.codec import Item, whole
from app.data.lives import Life, LifeWrites
from app.data.store import Transaction
from app.data.tables import TASKS, TRANSACTIONS, USERS, Table
from app.data.transaction import with_condition
from app.domain.accounts import AccountKey
from app.domain.errors import AlreadyRecorded, InvalidInput, NotFound

from .rows import ACTOR
from .survey import ABSENT, NOBODY, OURS, TABLES, Finding, Row, every_row, faults_of

GIVEN_ANEW = ("account_id", "sessions", "link_nonces", "version")  # as an account is first looked at
COUNTED = ("user_email", "timestamp", "amount")  # what an opening row makes up for
ADOPTED = "Its account is adopted: its opening row has made up for what this row lacks."
NUMBERS = ("credits_balance", "amount", "credits_spent")


def mend(base: Base, findings: Iterable[Finding], now: datetime, told: Callable[[Finding], None]) -> list[Finding]:
    """Mend what has one right answer, and tell of each; returns what could not be, because it has changed meanwhile.

    Raises StoreUnavailable; running again goes on.
    """
    known = [found for found in findings if found.value is not None]
    left = []
    for found in sorted(known, key=lambda found: found.moves):  # accounts go after their rows
        try:
            (_move if found.moves else _set)(base, found, now)
            told(found)
        except (Stale, AlreadyRecorded, InvalidInput):
            left.append(found)
    return left


def decide(base: Base, table: str, key: str, name: str, text: str, now: datetime) -> Finding:
    """What a person says of one attribute of one row. Raises NotFound, InvalidInput with what is wrong, Stale."""
    if table.lower() not in TABLES:
        raise InvalidInput(f"There is no table {table}: it is one of {', '.join(TABLES)}.", field="table")
    row = Row(TABLES[table.lower()], stored(base, TABLES[table.lower()], key) or {})
    if not row.item:
        raise NotFound(f"There is no {key} in {row.table.suffix}.")
    found = _asked(base, row, name)
    if found is None or row.is_ours:
        raise InvalidInput(f"Nothing is wrong with {name} of {key}.", field=name)
    found = replace(found, value=_checked(base, row, name, text))
    if found.moves:
        _take_along(base, found, now)
    (_move if found.moves else _set)(base, found, now)
    return found


def _asked(base: Base, row: Row, name: str) -> Finding | None:
    """What is wrong with it; an account may get another address for any reason, such as a second one of one mailbox."""
    if (row.table, name) == (USERS, USERS.key):
        return row.fault(name, "a person wants another")
    if name == "user_email" and row.whose and stored(base, USERS, row.whose) is None:
        return row.fault(name, NOBODY)
    return next((fault for fault in faults_of(row) if fault.field == name), None)


def _checked(base: Base, row: Row, name: str, text: str) -> Any:
    still = [fault for fault in faults_of(Row(row.table, row.item | {name: {"S": text}})) if fault.field == name]
    if still:
        raise InvalidInput(f"{name} cannot be that: {still[0].problem}.", field=name)
    if name == "user_email" and stored(base, USERS, text) is None:
        raise InvalidInput(f"{name} cannot be that: {NOBODY}.", field=name)
    return whole(text) if name in NUMBERS else text


def stored(base: Base, table: Table, key: str) -> Item | None:
    found = call(
        base.client, "get_item", TableName=base.prefix + table.suffix, Key={table.key: {"S": key}}, ConsistentRead=True
    )
    return found.get("Item")


def _set(base: Base, found: Finding, now: datetime) -> None:
    """Raises Stale when the row is not as it was read."""
    writes = Transaction(base.client, base.prefix)
    condition, params = _unchanged(found)
    condition = f"attribute_not_exists(#{OURS[found.table]}) AND {condition}"
    change = {found.field: found.value}
    if found.table is USERS:
        LifeWrites.beside(writes).update_account(
            Life.of_original(AccountKey(found.key), condition, **params), set=change
        )
    else:
        exists = f"attribute_exists({found.table.key}) AND {condition}"
        writes.update(found.table.suffix, {found.table.key: found.key}, set=change, condition=exists, **params)
    if found.table is TRANSACTIONS and found.field in COUNTED:
        _not_adopted(writes, found.value if found.field == "user_email" else found.whose)
    _record(writes, found, found.whose or found.key, now)
    writes.commit()


def _not_adopted(writes: Transaction, owner: str) -> None:
    """An opening row makes up for what was not counted: a row that joins later would be counted twice."""
    if owner:
        condition = f"attribute_not_exists(#{OURS[USERS]})"
        writes.check(USERS.suffix, {"email": owner}, condition=condition, failure=InvalidInput(ADOPTED, field="row"))


def _unchanged(found: Finding) -> tuple[str, dict[str, Any]]:
    if found.kind == ABSENT:
        return f"attribute_not_exists(#{found.field})", {}
    if found.kind == "S":
        return f"#{found.field} = :stands", {"stands": found.stands}
    return f"attribute_type(#{found.field}, :kind)", {"kind": found.kind}


def _take_along(base: Base, found: Finding, now: datetime) -> None:
    """The rows of an account that gets another address."""
    for table in (TRANSACTIONS, TASKS):
        for row in every_row(base, table):
            if row.whose == found.key and not row.is_ours:
                _set(base, replace(row.fault("user_email", "its account moves"), value=found.value), now)


def _move(base: Base, found: Finding, now: datetime) -> None:
    """The account's row under the other key, and gone from the old one. Raises Stale, AlreadyRecorded where there is an
    account already.
    """
    item = stored(base, USERS, found.key)
    if item is None:
        raise Stale
    kept = {name: value for name, value in item.items() if name not in GIVEN_ANEW} | {"email": {"S": found.value}}
    writes, table = Transaction(base.client, base.prefix), base.prefix + USERS.suffix
    put: dict[str, Any] = {"TableName": table, "Item": kept}  # as it is stored: what we would not write goes along
    writes._add("Put", with_condition(put, "attribute_not_exists(email)", {}), AlreadyRecorded)
    condition, params = _unchanged(Row(USERS, item).fault("credits_balance", ""))
    condition = f"attribute_exists(email) AND attribute_not_exists(#{OURS[USERS]}) AND {condition}"
    writes.delete(USERS.suffix, {"email": found.key}, condition=condition, failure=Stale, **params)
    _record(writes, found, found.value, now)
    writes.commit()


def _record(writes: Transaction, found: Finding, subject: str, now: datetime) -> None:
    writes.audit.record(
        actor=ACTOR,
        action="account.mend",
        subject=subject,
        now=now,
        reason=f"{found.table.suffix} {found.key}: {found.problem}",
        before={found.field: found.stands or found.kind},
        after={found.field: found.value},
    )
