"""Files of one's own, of whoever is signed in: the ledger as CSV, and everything that we keep. Pages and API send the
same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Response, g

from app.domain.clock import to_iso
from app.domain.credits import PostedEntry
from app.services import statements
from app.services.own_data import write_export
from app.services.throttle import EXPORT_BY_ACCOUNT
from app.web import deps, heavy
from app.web.exports import announced, attachment, csv_file, spooled

COLUMNS = ("date", "type", "description", "credits", "balance_after", "transaction_id")
LEDGER = "impacteragi-transactions.csv"
MAX_OWN_DATA = 1024 * 1024 * 1024
OWN_DATA = "impacteragi-my-data.json"


def ledger_csv(*, type: str = "", month: str = "", task: str = "") -> Response:
    """Everything that the filter names, newest first, with a row of their number and sum: whole, or refused.

    Raises what `heavy.file` and `csv_file` do, LedgerBehind, and LedgerWrong.
    """

    def write() -> Response:
        store = deps.store()
        if task:
            return _csv(store.ledger.of_task(g.account.email, task))
        return _csv(statements.whole_ledger(store, g.account.email, type=type, month=month))

    return heavy.file(lambda: statements.once_settled(write), head=lambda: _csv(()))


def own_data() -> Response:
    """One's own data. Written to a file first: an answer that breaks off half-way would pass for the whole.

    Raises what `heavy.file` does, LedgerBehind, and InvalidInput for more than MAX_OWN_DATA bytes.
    """

    def write() -> Response:
        with spooled(MAX_OWN_DATA) as (text, file):
            write_export(deps.store(), g.account.email, text)
        return attachment(file, "application/json", OWN_DATA)

    return heavy.file(
        lambda: statements.once_settled(write),
        head=lambda: announced("application/json", OWN_DATA),
        limit=EXPORT_BY_ACCOUNT,
        name="export",
    )


def _csv(entries: Iterable[PostedEntry]) -> Response:
    return csv_file(
        LEDGER,
        COLUMNS,
        map(_csv_row, entries),
        total=lambda count, credits: ("", "total", f"{count} rows, sum {credits}", "", "", ""),
        adding=lambda row: row[COLUMNS.index("credits")],
    )


def _csv_row(entry: PostedEntry) -> tuple[Any, ...]:
    return (
        to_iso(entry.timestamp),
        entry.type,
        entry.description,
        entry.amount,
        "" if entry.is_original else entry.balance_after,
        entry.transaction_id,
    )
