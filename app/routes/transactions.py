"""The customer's ledger: every movement, as CSV, and as a monthly statement, which is a page and a PDF file."""

from __future__ import annotations

import io
from functools import partial

from flask import Blueprint, Response, g, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.credits import TYPES
from app.domain.errors import Malformed
from app.domain.paging import Page
from app.forms.paging import check_month, read_month, read_paging
from app.services import checkout, statements
from app.web import deps, heavy
from app.web.exports import announced, attachment
from app.web.fragments import render
from app.web.guards import login_required
from app.web.own_files import ledger_csv

bp = Blueprint("transactions", __name__)

PDF = "application/pdf"


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
    return ledger_csv(type=_read_type(), month=read_month(request), task=request.args.get("task", ""))


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
