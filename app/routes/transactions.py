"""The customer's ledger: every movement, as CSV, and as a monthly statement."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, g, redirect, render_template, request

from app import deps
from app.csv_lines import csv_line
from app.data.base import Page
from app.domain.clock import to_iso, utcnow
from app.domain.credits import TYPES, PostedEntry
from app.domain.errors import Malformed, NotFound
from app.forms.paging import check_month, read_month, read_paging
from app.fragments import render
from app.security import login_required
from app.services import statements

bp = Blueprint("transactions", __name__)

COLUMNS = ("date", "type", "description", "credits", "balance_after", "transaction_id")


@bp.get("/transactions")
@login_required
def index():
    paging, kind, month = read_paging(request), _read_type(), read_month(request)
    task = request.args.get("task", "")
    if task:
        page = Page(deps.store().entries_of_task(g.account.email, task))
    else:
        page = deps.store().list_entries(
            g.account.email, limit=paging.limit, cursor=paging.cursor, type=kind, month=month
        )
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
def export():
    """Everything that the filter names, newest first, sent page by page."""
    entries = deps.store().entries_of(g.account.email, type=_read_type(), month=read_month(request))
    response = Response(_csv(entries), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="impacteragi-transactions.csv"'
    return response


@bp.get("/transactions/statement/<month>")
@login_required
def statement(month: str):
    found = statements.of_month(deps.store(), g.account.email, check_month(month))
    return render_template("transactions/statement.html", account=g.account, month=month, **found)


@bp.get("/transactions/receipt/<payment_id>")
@login_required
def receipt(payment_id: str):
    """On to Stripe's own receipt, for the payer's eyes only."""
    record = deps.store().find_payment(payment_id)
    if record is None or record.user_email != g.account.email or record.payment_intent is None:
        raise NotFound
    address = record.receipt_url or deps.get().stripe.receipt_url(record.payment_intent)
    if address is None:
        raise NotFound("Stripe has no receipt for this payment yet.")
    return redirect(address, code=303)


def _read_type() -> str:
    kind = request.args.get("type", "")
    if kind and kind not in TYPES:
        raise Malformed(f"type must be one of {', '.join(TYPES)}.")
    return kind


def _csv(entries: Iterator[PostedEntry]) -> Iterator[str]:
    yield csv_line(COLUMNS)
    for entry in entries:
        yield csv_line(
            (
                to_iso(entry.timestamp),
                entry.type,
                entry.description,
                entry.amount,
                "" if entry.is_original else entry.balance_after,
                entry.transaction_id,
            )
        )
