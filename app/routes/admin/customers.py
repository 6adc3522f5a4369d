"""Customers: finding one, everything that happened to them, and adjustments of their balance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account, Address
from app.domain.clock import utcnow
from app.domain.errors import InvalidInput
from app.domain.proposals import CODE, SALE, Proposal
from app.domain.tasks import new_idempotency_key
from app.domain.text import plain_address
from app.forms.admin import AdjustForm, ReasonForm
from app.forms.paging import read_paging, read_search
from app.routes.admin.blueprint import bp
from app.services import api_keys, by_hand, customer_search, customers, payments, timeline, webhooks
from app.services.customer_search import Found
from app.web import deps, heavy
from app.web.fragments import render
from app.web.guards import operator_required
from app.web.names import address_of, look_up_names
from app.web.typed_drafts import draft_of, look_up

PAGE = 25


@bp.get("/customers")
@operator_required
def list_customers() -> ResponseReturnValue:
    """All of them, page by page, or what the words of a search lead to."""
    store, wanted, after = deps.store(), read_search(request), request.args.get("cursor") or None
    if wanted:
        read = partial(customer_search.search, store, wanted, limit=PAGE, cursor=after)
        found = heavy.beside("Searching", read)
    else:
        page = store.accounts.search("", limit=PAGE, cursor=after)
        found = Found(page.items, next_cursor=page.next_cursor)
    ids = store.accounts.ids_of(account.email for account in found.accounts if not account.account_id)
    return render_template("admin/customers.html", q=wanted, found=found, ids=ids, cursor=after or "")


@bp.get("/customers/<account:account_id>")
@operator_required
def customer(account_id: str) -> ResponseReturnValue:
    form, found = _blank_adjust_form(), _account(account_id)
    places = [url_for(f"admin.{act}", account_id=account_id) for act in ("adjust", "disable", "enable")]
    look_up([*places, *(_of_key(found, key_id) for key_id in found.api_keys)])
    draft_of(url_for("admin.adjust", account_id=account_id)).fill(form)
    return _page(found, form, ReasonForm(formdata=None))


def _of_key(account: Account, key_id: str) -> str:
    return url_for("admin.revoke_key", account_id=account.account_id, key_id=key_id)


@bp.get("/customers/<address:email>", merge_slashes=False)
@bp.post("/customers/<address:email>/<any(adjust,disable,enable,'end-sessions'):act>", merge_slashes=False)
@operator_required
def customer_by_address(email: str, act: str = "") -> ResponseReturnValue:
    """The addresses of before, which bookmarks and open pages still hold: on to those with the account's id."""
    account = deps.store().accounts.get_holder(Address(plain_address(email)))
    endpoint = f"admin.{act.replace('-', '_')}" if act else "admin.customer"
    return redirect(url_for(endpoint, account_id=account.account_id), code=308)  # keeps the method and the form


@bp.post("/customers/<account:account_id>/adjust")
@operator_required
def adjust(account_id: str) -> ResponseReturnValue:
    """First the preview, then, confirmed, the adjustment itself: the same form with the same idempotency key."""
    form, store, account = AdjustForm(), deps.store(), _account(account_id)
    if not form.validate():
        return _page(account, form, ReasonForm(formdata=None), 422)
    try:
        if "confirmed" not in request.form:
            return _preview(account, form)
        done = customers.adjust(
            store,
            g.account.email,
            account.email,
            form.amount.data,
            form.reason.data,
            idempotency_key=form.request_id.data or "",
            limit=deps.config().adjust_limit,
            now=utcnow(),
        ).done
    except InvalidInput as error:
        form["amount" if error.field not in form else error.field].errors = [error.message]
        return _page(account, form, ReasonForm(formdata=None), 422)
    if isinstance(done, Proposal):
        flash("Proposed. Another operator must approve it.")
    else:
        flash(f"Adjusted: {done.amount:+,} credits. The balance is {done.balance_after:,}.")
    return redirect(url_for("admin.customer", account_id=account_id), code=303)


@bp.post("/customers/<account:account_id>/disable")
@operator_required
def disable(account_id: str) -> ResponseReturnValue:
    return _disable_or_enable(account_id, customers.disable, "Disabled: every session of this account has ended.")


@bp.post("/customers/<account:account_id>/enable")
@operator_required
def enable(account_id: str) -> ResponseReturnValue:
    return _disable_or_enable(account_id, customers.enable, "Enabled: the customer can sign in again.")


@bp.post("/customers/<account:account_id>/end-sessions")
@operator_required
def end_sessions(account_id: str) -> ResponseReturnValue:
    customers.end_sessions(deps.store(), g.account.email, _account(account_id).email, now=utcnow())
    flash("Signed out everywhere.")
    return redirect(url_for("admin.customer", account_id=account_id), code=303)


@bp.post("/customers/<account:account_id>/keys/<key_id>/revoke")
@operator_required
def revoke_key(account_id: str, key_id: str) -> ResponseReturnValue:
    form, account = ReasonForm(), _account(account_id)
    if not form.validate():
        return _page(account, _blank_adjust_form(), ReasonForm(formdata=None), 422, key_form=(key_id, form))
    key = api_keys.revoke_by_operator(
        deps.store(), g.account.email, account.email, key_id, form.reason.data, now=utcnow()
    )
    flash(f"The API key {key.name} is revoked, and its owner is told.")
    return redirect(url_for("admin.customer", account_id=account_id), code=303)


@bp.get("/corrections")
@operator_required
def list_proposals() -> ResponseReturnValue:
    paging = read_paging(request)
    page = deps.store().proposals.list_waiting(limit=paging.limit, cursor=paging.cursor)
    ids = deps.store().accounts.ids_of(waiting.user_email for waiting in page.items if waiting.user_email)
    look_up_names(name for waiting in page.items for name in (waiting.user_email, waiting.proposed_by))
    return render_template(
        "admin/proposals.html", page=page, ids=ids, cursor=paging.cursor or "", limit=deps.config().adjust_limit
    )


@bp.post("/corrections/<adjustment_id>/approve")
@operator_required
def approve(adjustment_id: str) -> ResponseReturnValue:
    customers.approve(deps.store(), g.account.email, adjustment_id, now=utcnow())
    done = deps.store().proposals.get(adjustment_id)
    if done.kind == CODE:
        flash(f"Approved: {done.subject} can be redeemed now.")
    elif done.kind == SALE:
        payments.release(deps.store(), done.subject, named=deps.named_sales(), now=utcnow(), actor=g.account.email)
        flash(f"Approved: {done.subject} sells credits. What waits is credited now, or by the night.")
    else:
        flash(f"Approved: {done.amount:+,} credits for {address_of(done.user_email)}.")
    return redirect(url_for("admin.list_proposals"), code=303)


@bp.post("/corrections/<adjustment_id>/decline")
@operator_required
def decline(adjustment_id: str) -> ResponseReturnValue:
    customers.decline(deps.store(), g.account.email, adjustment_id, now=utcnow())
    flash("Declined. Nothing was booked.")
    return redirect(url_for("admin.list_proposals"), code=303)


def _preview(account: Account, form: AdjustForm) -> str:
    """The adjustment before it is booked, or proposed. Raises InvalidInput, Forbidden."""
    amount, after = customers.preview(account, form.amount.data)
    by_hand.not_for_oneself(deps.store(), g.account.email, account)
    limit = deps.config().adjust_limit
    return render_template(
        "admin/adjust.html",
        form=form,
        customer=account,
        amount=amount,
        after=after,
        needs_second=by_hand.needs_second(deps.store(), g.account.email, amount, limit=limit, now=utcnow()),
        limit=limit,
    )


def _account(account_id: str) -> Account:
    """Raises NotFound. An id names one account of an address, also where an earlier one was deleted."""
    return deps.store().accounts.get_by_id(account_id)


def _disable_or_enable(account_id: str, act: Callable[..., None], words: str) -> ResponseReturnValue:
    form, account = ReasonForm(), _account(account_id)
    if not form.validate():
        return _page(account, _blank_adjust_form(), form, 422)
    act(deps.store(), g.account.email, account.email, form.reason.data, now=utcnow())
    flash(words)
    return redirect(url_for("admin.customer", account_id=account_id), code=303)


def _blank_adjust_form() -> AdjustForm:
    form = AdjustForm(formdata=None)
    form.request_id.data = new_idempotency_key()
    return form


def _page(
    account: Account,
    form: AdjustForm,
    reason_form: ReasonForm,
    status: int = 200,
    *,
    key_form: tuple[str, ReasonForm | None] = ("", None),
) -> ResponseReturnValue:
    """`key_form`: which API key somebody would have revoked, and what is wrong with that."""
    kind, cursor = request.args.get("kind", ""), request.args.get("cursor") or None
    page = timeline.page(deps.store(), account, kind=kind, cursor=cursor)
    keys = api_keys.named(deps.store(), account)
    look_up(_of_key(account, key.key_id) for key in keys)
    look_up_names(event.thing.actor for event in page.items if event.kind == "act")
    shown = render(
        "admin/customer.html",
        "events",
        customer=account,
        kind=kind,
        kinds=timeline.KINDS,
        cursor=cursor or "",
        page=page,
        form=form,
        reason_form=reason_form,
        api_keys=keys,
        webhooks=webhooks.alive(deps.store(), account),
        key_form=key_form,
        limit=deps.config().adjust_limit,
        now=utcnow(),
    )
    return shown, status
