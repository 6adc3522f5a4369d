"""Operators' finance pages: what Stripe told us, what is parked, what is unspent, and codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.data import Store
from app.domain import payments as facts
from app.domain.checks import CHECK, KINDS, RECONCILE
from app.domain.clock import month_of, to_iso, utcnow
from app.domain.errors import InvalidInput, NotFound
from app.domain.formatting import count
from app.domain.ledger_figures import Month
from app.domain.money import plain_amount
from app.domain.paging import Page, batched
from app.domain.payment_list import STATES, Sums, state_of
from app.domain.payments import PaymentRecord
from app.domain.proposals import Proposal
from app.domain.tasks import new_idempotency_key
from app.forms.admin_finance import CreditForm, PromotionalCodeForm, ReasonForm, read_payment_filter
from app.forms.base import form_key
from app.forms.paging import read_paging
from app.services import books, checks, codes, ledger_figures, parked, payment_list, payments, sales
from app.web import deps, heavy
from app.web.exports import csv_file
from app.web.fragments import is_fragment_request, render
from app.web.guards import operator_required
from app.web.names import address_of, look_up_names
from app.web.typed_drafts import draft_of, look_up

bp = Blueprint("admin_finance", __name__, url_prefix="/admin/finance")

LISTS, FILES = "Reading long lists", "Making files"
MONTHS = 12  # of the roll-forward that the page shows; the file has all
MONTH_COLUMNS = (
    *("month", "opening", "sold", "spent", "given_back", "refunded", "disputed", "promotional", "by_hand", "closing"),
)
PAYMENT_COLUMNS = (
    *("first_heard_of", "payment", "session", "state", "payer", "account", "stripe_customer"),
    *("paid", "currency", "refunded", "held_by_disputes", "credits_granted", "credits_in_ledger"),
)
PROPOSED = "Proposed. Another operator must approve it: it waits under Proposals."


@bp.get("")
@operator_required
def index() -> ResponseReturnValue:
    paging, store, now = read_paging(request), deps.store(), utcnow()
    named = deps.named_sales()
    figures, not_ours, every = heavy.beside(
        LISTS, lambda: (ledger_figures.look(store, now), sales.list_waiting(store, named), store.sales.every())
    )
    return render_template(
        "admin_finance/index.html",
        parked=store.payments.list_parked(limit=paging.limit, cursor=paging.cursor),
        not_ours=not_ours,
        decided=[sale for sale in every if sale.decision],
        most_counted=sales.MOST_COUNTED,
        contact=store.heartbeats.stripe_contact(),
        figures=figures,
        months=figures.months[-MONTHS:],
        **_checks(store, now),
    )


@bp.get("/checks")
@operator_required
def show_checks() -> ResponseReturnValue:
    """The part of the page that asks again while a check waits or runs."""
    if not is_fragment_request():
        return redirect(url_for("admin_finance.index", _anchor="checks"), code=303)
    return render("admin_finance/index.html", "checks", **_checks(deps.store(), utcnow()))


@bp.post("/checks")
@operator_required
def ask_check() -> ResponseReturnValue:
    """What is asked for runs beside the web server: `flask books attend`."""
    run = checks.ask(deps.store(), request.form.get("kind", ""), actor=g.account.email, now=utcnow())
    flash(f"{run.title}: asked for.")
    return redirect(url_for("admin_finance.index", _anchor="checks"), code=303)


def _checks(store: Store, now: datetime) -> dict[str, Any]:
    run = store.checks.find()
    checked, reconciled = store.heartbeats.last_books_check(), store.heartbeats.last_reconciliation()
    return {
        "run": run,
        "state": run.state(now) if run else "",
        "ended": [
            (CHECK, checked, "Check the books now", "They agree", "difference"),
            (RECONCILE, reconciled, "Reconcile with Stripe now", "Nothing was missing", "finding"),
        ],
        "kinds": KINDS,
        "hourly": store.heartbeats.last_catch_up(),
        "missed": store.heartbeats.last_missed(),
        "now": now,
    }


@bp.get("/months.csv")
@operator_required
def months_csv() -> ResponseReturnValue:
    """The roll-forward of every month."""

    def write() -> Response:
        figures = ledger_figures.look(deps.store(), utcnow())
        if not figures.whole:
            raise InvalidInput("Not all ledgers are in these figures yet: run flask tables migrate first.")
        rows = [_month_row(month) for month in figures.months]
        return csv_file("impacteragi-months.csv", MONTH_COLUMNS, rows, total=_number_of("months", MONTH_COLUMNS))

    return heavy.beside(FILES, write)


def _month_row(month: Month) -> tuple[Any, ...]:
    """Signed, so that a line adds up from its opening to its closing."""
    of = month.figures
    moved = (of.sold, -of.spent, of.given_back, -of.refunded_net, -of.disputed_net, of.promotional)
    return (month.month, month.opening, *moved, of.by_hand - of.promotional, month.closing)


@bp.get("/payments")
@operator_required
def list_payments() -> ResponseReturnValue:
    paging, store, now = read_paging(request), deps.store(), utcnow()
    wanted = read_payment_filter(request, now)

    def read() -> tuple[Page[PaymentRecord], Sums | None]:
        page = payment_list.page_of(store, wanted, limit=paging.limit, cursor=paging.cursor)
        return page, payment_list.sums(store, wanted)

    page, sums = heavy.beside("Searching", read)
    look_up_names(record.user_email for record in page.items)
    return render(
        "admin_finance/payments.html",
        "payments",
        wanted=wanted,
        states=STATES,
        state_of=state_of,
        page=page,
        sums=sums,
        most_summed=payment_list.MOST_SUMMED,
        refunded={record.payment_id: facts.portions(record, facts.refunded_sums(record)) for record in page.items},
        held={record.payment_id: facts.portions(record, facts.held_sums(record)) for record in page.items},
        accounts=store.accounts.find_many({record.user_email for record in page.items if record.user_email}),
        cursor=paging.cursor or "",
        whole=payment_list.is_whole(store),
        this_month=month_of(now),
    )


@bp.get("/payments.csv")
@operator_required
def payments_csv() -> ResponseReturnValue:
    """What the filter names: whole, or refused."""
    wanted = read_payment_filter(request, utcnow())

    def write() -> Response:
        if not payment_list.is_whole(deps.store()):
            raise InvalidInput("Not all payments have their month yet: run flask tables migrate first.")
        rows = map(_payment_row, _with_names(payment_list.every(deps.store(), wanted)))
        total = _number_of("payments", PAYMENT_COLUMNS)
        return csv_file("impacteragi-payments.csv", PAYMENT_COLUMNS, rows, total=total, max_rows=10_000)

    return heavy.beside(FILES, write)


def _with_names(records: Iterable[PaymentRecord]) -> Iterator[PaymentRecord]:
    """The addresses of their accounts are read by the hundred."""
    for some in batched(records, 100):
        look_up_names(record.user_email for record in some)
        yield from some


def _payment_row(record: PaymentRecord) -> tuple[Any, ...]:
    def words(sums: Mapping[str, int]) -> str:
        return "; ".join(f"{plain_amount(cents, currency)} {currency.upper()}" for currency, cents in sums.items())

    who = (record.payer_email or "", address_of(record.user_email), record.customer_id or "")
    paid = plain_amount(record.total_cents, record.currency), record.currency.upper()
    gone = words(facts.refunded_sums(record)), words(facts.held_sums(record))
    ids = (record.payment_id, record.session_id or "")
    when = to_iso(record.created_at) if record.created_at else ""
    return (when, *ids, state_of(record), *who, *paid, *gone, record.granted, record.applied)


def _number_of(word: str, columns: tuple[str, ...]) -> Callable[[int, int], tuple[Any, ...]]:
    """The last row of a file: how many there are."""
    return lambda rows, _sum: ("total", f"{rows} {word}", *[""] * (len(columns) - 2))


@bp.get("/payments/<payment_id>")
@operator_required
def payment(payment_id: str) -> ResponseReturnValue:
    form = CreditForm(formdata=None)
    form.request_id.data = new_idempotency_key()
    look_up(url_for(f"admin_finance.{act}", payment_id=payment_id) for act in ("credit", "refund", "dismiss"))
    draft_of(url_for("admin_finance.credit", payment_id=payment_id)).fill(form)
    return _payment_page(payment_id, form)


@bp.post("/payments/<payment_id>/credit")
@operator_required
def credit(payment_id: str) -> ResponseReturnValue:
    form = CreditForm()
    if not form.validate():
        return _payment_page(payment_id, form, 422)
    done = parked.credit(
        deps.store(),
        payment_id,
        email=form.email.data,
        credits=form.credits.data,
        reason=form.reason.data,
        actor=g.account.email,
        limit=deps.config().adjust_limit,
        now=utcnow(),
        idempotency_key=form.request_id.data or "",
    )
    flash(PROPOSED if isinstance(done, Proposal) else f"{form.credits.data:,} credits granted.")
    return redirect(url_for("admin_finance.payment", payment_id=payment_id), code=303)


@bp.post("/payments/<payment_id>/refund")
@operator_required
def refund(payment_id: str) -> ResponseReturnValue:
    reason = _read_reason()
    store, stripe = deps.store(), deps.get().stripe
    parked.refund(store, stripe, payment_id, reason=reason, actor=g.account.email, now=utcnow())
    flash("Refunded through Stripe.")
    return redirect(url_for("admin_finance.payment", payment_id=payment_id), code=303)


@bp.post("/payments/<payment_id>/dismiss")
@operator_required
def dismiss(payment_id: str) -> ResponseReturnValue:
    parked.dismiss(deps.store(), payment_id, reason=_read_reason(), actor=g.account.email, now=utcnow())
    flash("Dismissed.")
    return redirect(url_for("admin_finance.payment", payment_id=payment_id), code=303)


@bp.get("/sales/<source>")
@operator_required
def sale(source: str) -> ResponseReturnValue:
    return _sale_page(source)


@bp.post("/sales/<source>/name")
@operator_required
def name_sale(source: str) -> ResponseReturnValue:
    """It sells credits, for good: what waits is credited, some dozens now, the rest by pressing again or by night."""
    proposed = sales.name_for_good(
        deps.store(),
        source,
        reason=_read_reason(),
        actor=g.account.email,
        limit=deps.config().adjust_limit,
        now=utcnow(),
        idempotency_key=form_key(request.form.get("request_id")),
    )
    if proposed is None:
        return _released(source)
    flash(PROPOSED)
    return redirect(url_for("admin_finance.sale", source=source), code=303)


@bp.post("/sales/<source>/release")
@operator_required
def release_sale(source: str) -> ResponseReturnValue:
    return _released(source)


@bp.post("/sales/<source>/never")
@operator_required
def never_sale(source: str) -> ResponseReturnValue:
    sales.never(deps.store(), source, reason=_read_reason(), actor=g.account.email, now=utcnow())
    flash("Never ours: nobody is asked about it again.")
    return redirect(url_for("admin_finance.sale", source=source), code=303)


@bp.post("/sales/<source>/undo")
@operator_required
def undo_sale(source: str) -> ResponseReturnValue:
    sales.undo(deps.store(), source, reason=_read_reason(), actor=g.account.email, now=utcnow())
    flash("Taken back. What was credited stays credited.")
    return redirect(url_for("admin_finance.sale", source=source), code=303)


@bp.route("/codes", methods=["GET", "POST"])
@operator_required
def list_codes() -> ResponseReturnValue:
    form = PromotionalCodeForm()
    if request.method == "GET":
        form = PromotionalCodeForm(formdata=None)
        form.request_id.data = new_idempotency_key()
        draft_of(url_for("admin_finance.list_codes")).fill(form)
        return _codes_page(form)
    if not form.validate():
        return _codes_page(form), 422
    try:
        made = codes.create(
            deps.store(),
            form.code.data,
            credits_each=form.credits.data,
            max_uses=form.max_uses.data,
            expires_at=datetime.combine(form.expires_at.data, datetime.min.time(), UTC),
            created_by=g.account.email,
            limit=deps.config().adjust_limit,
            now=utcnow(),
            note=form.note.data or "",
            idempotency_key=form.request_id.data or "",
        )
    except InvalidInput as error:
        form["code" if error.field not in form else error.field].errors = [error.message]
        return _codes_page(form), 422
    flash(PROPOSED if isinstance(made, Proposal) else f"{made.code} can be redeemed now.")
    return redirect(url_for("admin_finance.list_codes"), code=303)


@bp.post("/codes/<code>/disable")
@operator_required
def disable_code(code: str) -> ResponseReturnValue:
    codes.disable(deps.store(), code, actor=g.account.email, reason=_read_reason(), now=utcnow())
    flash(f"{code} is off.")
    return redirect(url_for("admin_finance.list_codes"), code=303)


def _released(source: str) -> ResponseReturnValue:
    done = payments.release(deps.store(), source, named=deps.named_sales(), now=utcnow(), actor=g.account.email)
    more = " More are waiting: credit them too, or the nightly run does." if done.more else ""
    flash(f"{count(done.payments, 'payment')} credited with {count(done.credits, 'credit')}.{more}")
    return redirect(url_for("admin_finance.sale", source=source), code=303)


def _sale_page(source: str) -> str:
    store, paging, named = deps.store(), read_paging(request), deps.named_sales()
    found = store.sales.find(source)
    if found is None:
        raise NotFound("Nothing was sold by that.")
    return render_template(
        "admin_finance/sale.html",
        waiting=sales.look(store, found, named),
        by_setting=source in named.ids,
        payments=store.payments.list_not_ours(source, limit=paging.limit, cursor=paging.cursor),
        audit=store.audit.page_of(source, limit=20).items,
        most_counted=sales.MOST_COUNTED,
        request_id=new_idempotency_key(),
    )


def _read_reason() -> str:
    form = ReasonForm()
    if not form.validate():
        raise InvalidInput(form.reason.errors[0], field="reason")
    return str(form.reason.data)


def _payment_page(payment_id: str, form: CreditForm, status: int = 200) -> tuple[str, int]:
    store = deps.store()
    record = store.payments.find(payment_id)
    if record is None:
        raise NotFound("There is no such payment.")
    form.email.data = form.email.data or record.payer_email or ""
    ledger = heavy.beside(LISTS, lambda: books.ledger_of_payment(store, record))
    context: dict[str, Any] = {
        "record": record,
        "accounts": store.accounts.find_many([record.user_email] if record.user_email else []),
        "form": form,
        "ledger": ledger,
        "audit": store.audit.page_of(payment_id, limit=20).items,
        "refunded": facts.portions(record, facts.refunded_sums(record)),
        "held": facts.portions(record, facts.held_sums(record)),
        "unknown": facts.unknown_currencies(record),
        "limit": deps.config().adjust_limit,
        "unspent_cents": record.total_cents * (ledger.unspent or 0) // record.granted if record.granted else 0,
    }
    return render_template("admin_finance/payment.html", **context), status


def _codes_page(form: PromotionalCodeForm) -> str:
    found = heavy.beside(LISTS, deps.store().codes.every)
    look_up(url_for("admin_finance.disable_code", code=each.code) for each in found)
    return render_template(
        "admin_finance/codes.html",
        form=form,
        codes=found,
        limit=deps.config().adjust_limit,
        now=utcnow(),
    )
