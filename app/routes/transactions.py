"""The customer's ledger: every movement, as CSV, and as a monthly statement, which is a page and a PDF file."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Blueprint, Response, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.clock import to_iso, utcnow
from app.domain.credits import TYPES, PostedEntry
from app.domain.errors import Malformed
from app.domain.paging import Page
from app.forms.paging import check_month, read_month, read_paging
from app.services import checkout, statements
from app.web import deps, heavy
from app.web.exports import announced, attachment, csv_file
from app.web.fragments import render
from app.web.guards import login_required

bp = Blueprint("transactions", __name__)

PDF = "application/pdf"
COLUMNS = ("date", "type", "description", "credits", "balance_after", "transaction_id")


@bp.get("/transactions")
@login_required
def index() -> ResponseReturnValue:
    paging, kind, month = read_paging(request), _read_type(), read_month(request)
    task = request.args.get("task", "")
    if task:
        page = Page(deps.store().ledger.of_task(g.account.email, task))
    else:
        read = partial(
            statements.list_page,
            deps.store(),
            g.account,
            limit=paging.limit,
            cursor=paging.cursor,
            type=kind,
            month=month,
        )
        page = heavy.search(read) if kind else read()
    return render(
        "transactions/index.html",
        "movements",
        account=g.account,
        page=page,
        type=kind,
        month=month,
        months=statements.months(g.account.created_at, utcnow()),
        cursor=paging.cursor or "",
        task=task,
    )


@bp.get("/transactions.csv")
@login_required
def export() -> ResponseReturnValue:
    """Everything that the filter names, newest first, with a row of their number and sum: whole, or refused."""
    kind, month, task = _read_type(), read_month(request), request.args.get("task", "")

    def write() -> Response:
        store = deps.store()
        if task:
            return _csv(store.ledger.of_task(g.account.email, task))
        return _csv(statements.whole_ledger(store, g.account.email, type=kind, month=month))

    return heavy.file(lambda: statements.once_settled(write), head=lambda: _csv(()))


def _csv(entries: Iterable[PostedEntry]) -> Response:
    return csv_file(
        "impacteragi-transactions.csv",
        COLUMNS,
        map(_csv_row, entries),
        total=lambda count, credits: ("", "total", f"{count} rows, sum {credits}", "", "", ""),
        adding=lambda row: row[COLUMNS.index("credits")],
    )


@bp.get("/transactions/statement/<month>")
@login_required
def statement(month: str) -> ResponseReturnValue:
    checked = check_month(month)
    read = partial(statements.statement, deps.store(), g.account.email, checked)
    found = heavy.file(lambda: statements.once_settled(read), head=lambda: None)
    if found is None:
        return ""
    return render_template("transactions/statement.html", account=g.account, statement=found)


@bp.get("/transactions/statement/<month>.pdf")
@login_required
def statement_pdf(month: str) -> ResponseReturnValue:
    """The same as a file to send on: whole, or refused."""
    checked = check_month(month)
    name = f"impacteragi-statement-{checked}.pdf"

    def write() -> Response:
        from app.web import statement_pdf as pdf  # here: no other page pays for what it loads

        read = partial(statements.statement, deps.store(), g.account.email, checked)
        made = pdf.statement_pdf(statements.once_settled(read), g.account.address)
        return attachment(io.BytesIO(made), PDF, name)

    return heavy.file(write, head=lambda: announced(PDF, name))


@bp.get("/transactions/receipt/<payment_id>")
@login_required
def receipt(payment_id: str) -> ResponseReturnValue:
    return redirect(checkout.receipt(deps.store(), deps.get().stripe, g.account, payment_id), code=303)


def _read_type() -> str:
    kind = request.args.get("type", "")
    if kind and kind not in TYPES:
        raise Malformed(f"type must be one of {', '.join(TYPES)}.")
    return kind


def _csv_row(entry: PostedEntry) -> tuple[Any, ...]:
    return (
        to_iso(entry.timestamp),
        entry.type,
        entry.description,
        entry.amount,
        "" if entry.is_original else entry.balance_after,
        entry.transaction_id,
    )
