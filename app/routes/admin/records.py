"""What has been written down: the mails that are promised, and the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.data import Store
from app.domain.accounts import AccountKey, Address
from app.domain.audit import SUBJECTS, AuditRow
from app.domain.by_hand import is_person
from app.domain.clock import to_iso, utcnow
from app.domain.errors import Malformed, NotFound
from app.domain.paging import Page, each
from app.forms.admin import AuditFilter, read_audit_filter, read_span
from app.forms.paging import read_paging
from app.routes.admin.blueprint import bp
from app.services import outbox, waiting
from app.web import deps, heavy
from app.web.exports import csv_file
from app.web.fragments import render
from app.web.guards import operator_required
from app.web.names import look_up_names

AUDIT_DAYS = 31  # that one page, or one export, looks back over
MAX_EXPORT = 10_000
COLUMNS = ("at", "actor", "action", "subject", "before", "after", "reason")


@bp.get("/mails")
@operator_required
def list_mails() -> ResponseReturnValue:
    view, paging = request.args.get("view", "failed"), read_paging(request)
    if view == "failed":
        page = deps.store().mails.list_failed(limit=paging.limit, cursor=paging.cursor)
    elif view == "due":
        page = deps.store().mails.list_waiting(limit=paging.limit, cursor=paging.cursor)
    else:
        raise Malformed("view must be failed or due.")
    now = utcnow()
    oldest = waiting.oldest_mail(deps.store())
    holders = deps.store().accounts.find_holders(mail.to for mail in page.items)
    return render_template(
        "admin/mails.html",
        view=view,
        page=page,
        ids={address: account.account_id for address, account in holders.items()},
        cursor=paging.cursor or "",
        trouble=deps.store().mails.trouble(),
        late=oldest if oldest and now - oldest >= waiting.LATE else None,
        now=now,
    )


@bp.post("/mails/resend")
@operator_required
def resend() -> ResponseReturnValue:
    mail_id = request.form.get("mail_id", "")
    if not mail_id:
        raise NotFound("There is no such mail.")
    mail = outbox.resend(deps.store(), g.account.email, mail_id, now=utcnow())
    flash(f"On its way to {mail.to} again.")
    if request.form.get("back") == "customer" and (holder := deps.store().accounts.find_holder(mail.to)):
        return redirect(url_for("admin.customer", account_id=holder.account_id), code=303)
    return redirect(url_for("admin.list_mails"), code=303)


@bp.get("/mails/resend-failed")
@operator_required
def choose_failed() -> ResponseReturnValue:
    """The confirm step: what would be sent again."""
    since, until = read_span(request.args, utcnow())
    page = deps.store().mails.list_failed(limit=outbox.AT_ONCE, between=(since, until))
    return render_template("admin/resend.html", since=since, until=until, page=page)


@bp.post("/mails/resend-failed")
@operator_required
def resend_failed() -> ResponseReturnValue:
    since, until = read_span(request.form, utcnow())
    done, more = outbox.resend_failed(deps.store(), g.account.email, since, until, now=utcnow())
    flash(f"{done} on their way again." + (" There are more: send them too." if more else ""))
    if more:
        return redirect(url_for("admin.choose_failed", since=to_iso(since), until=to_iso(until)), code=303)
    return redirect(url_for("admin.list_mails"), code=303)


@bp.get("/audit")
@operator_required
def audit() -> ResponseReturnValue:
    paging = read_paging(request)
    found = read_audit_filter(request, utcnow().date())
    page = heavy.beside("Searching", partial(_audit_page, deps.store(), found, paging.limit, paging.cursor))
    look_up_names(name for row in page.items for name in (row.actor, row.subject))
    return render(
        "admin/audit.html",
        "log",
        filter=found,
        today=utcnow().date(),
        subjects=SUBJECTS,
        page=page,
        ids=deps.store().accounts.ids_of(AccountKey(row.subject) for row in page.items if "@" in row.subject),
        cursor=paging.cursor or "",
        days=AUDIT_DAYS,
    )


@bp.get("/audit.csv")
@operator_required
def audit_csv() -> ResponseReturnValue:
    """What the filter names, over the days of one page, with a row of their number: whole, or refused."""
    found = read_audit_filter(request, utcnow().date())

    def write() -> Response:
        return csv_file(
            "impacteragi-audit.csv",
            COLUMNS,
            map(_csv_row, _audit_rows(deps.store(), found)),
            total=lambda count, _: ("", "", "total", f"{count} rows", "", "", ""),
            max_rows=MAX_EXPORT,
        )

    return heavy.beside("Making files", write)


def _as_recorded(store: Store, found: AuditFilter) -> AuditFilter:
    """Rows name accounts by their key, whichever of its addresses somebody types."""
    typed = {Address(name) for name in (found.actor, found.subject) if is_person(name)}
    holders = store.accounts.find_holders(typed) if typed else {}
    keys: dict[str, str] = {address: account.email for address, account in holders.items()}
    return replace(found, actor=keys.get(found.actor, found.actor), subject=keys.get(found.subject, found.subject))


def _audit_page(store: Store, found: AuditFilter, limit: int, cursor: str | None) -> Page[AuditRow]:
    found = _as_recorded(store, found)
    if found.subject:
        page = store.audit.page_of(found.subject, limit=limit, cursor=cursor, narrowed=(found.actor, found.action))
        kept = [r for r in page.items if r.action.startswith(found.action) and found.actor in ("", r.actor)]
        return Page(kept, page.next_cursor)
    return store.audit.search(
        until=found.until, days=AUDIT_DAYS, limit=limit, cursor=cursor, actor=found.actor, action=found.action
    )


def _audit_rows(store: Store, found: AuditFilter) -> Iterator[AuditRow]:
    return each(lambda cursor: _audit_page(store, found, 500, cursor))


def _csv_row(row: AuditRow) -> tuple[str, ...]:
    return to_iso(row.at), row.actor, row.action, row.subject, _words(row.before), _words(row.after), row.reason


def _words(values: Any) -> str:
    return "; ".join(f"{name}: {value}" for name, value in values.items())
