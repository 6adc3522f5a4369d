"""Buying credits: the packs, the hand-over to Stripe, the way back, and codes."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.config import Pack
from app.domain.clock import utcnow
from app.domain.errors import AddressUnconfirmed, InvalidInput, NotFound, PaymentsUnavailable
from app.domain.tasks import BRIEF_FIELDS, TASK_COST, new_idempotency_key
from app.forms.base import form_key
from app.forms.credits import BuyForm, RedeemForm
from app.services import checkout, codes, typed_drafts
from app.services.throttle import CHECKOUT_BY_ACCOUNT, REDEEM_BY_ACCOUNT
from app.web import deps
from app.web.fragments import render
from app.web.guards import login_required
from app.web.looking import only_looking
from app.web.typed_drafts import draft_of, new_mark, sent_words

bp = Blueprint("credits", __name__)

CHIP = "partials/balance_chip.html"


@bp.get("/credits")
@login_required
def show() -> ResponseReturnValue:
    return _page(RedeemForm(formdata=None))


@bp.post("/credits/draft")
@login_required
def keep_draft() -> ResponseReturnValue:
    """Keep the task that was written while short of credits, and go where credits are bought. Raises InvalidInput."""
    mark = new_mark(url_for("tasks.submit"))
    typed_drafts.keep(deps.store(), g.account, mark, 1, sent_words(), now=utcnow())
    return redirect(url_for("credits.show"), code=303)


@bp.post("/credits/checkout")
@login_required
def buy() -> ResponseReturnValue:
    form = BuyForm()
    pack = next((pack for pack in deps.config().packs if pack.pack_id == form.pack.data), None)
    if pack is None:
        raise NotFound("There is no such pack any more. Choose another.")
    try:
        opened = checkout.open_session(
            deps.store(),
            deps.get().stripe,
            g.account,
            pack,
            idempotency_key=form_key(request.form.get("request_id")),
            app_url=deps.config().app_url,
            now=utcnow(),
            before_asking=partial(deps.get().throttle.hit, CHECKOUT_BY_ACCOUNT, "checkout", g.account.email),
        )
    except PaymentsUnavailable as error:
        headers = {"Retry-After": str(error.retry_after_seconds)}
        return _page(RedeemForm(formdata=None), unavailable=True), 503, headers
    return redirect(opened.url, code=303)


@bp.get("/credits/return")
@login_required
def returned() -> ResponseReturnValue:
    return render("credits/returned.html", "status", **_standing())


@bp.get("/credits/return/status")
@login_required
def status() -> ResponseReturnValue:
    """The page's own question while it waits. The balance in the header comes along."""
    return render("credits/returned.html", "status", partials=[CHIP], **_standing())


@bp.post("/credits/redeem")
@login_required
def redeem() -> ResponseReturnValue:
    form = RedeemForm()
    if not form.validate():
        return _page(form), 422
    deps.get().throttle.hit(REDEEM_BY_ACCOUNT, "redeem", g.account.email)
    try:
        added = codes.redeem(
            deps.store(), g.account, form.code.data, now=utcnow(), idempotency_key=form.request_id.data or None
        )
    except AddressUnconfirmed:
        return _page(form, unconfirmed=True), 403
    except InvalidInput as error:
        form.code.errors = [error.message]
        return _page(form), 422
    flash(f"{added.credits:,} credits added.")
    return redirect(url_for("credits.show"), code=303)


def _page(form: RedeemForm, **more: Any) -> str:
    form.request_id.data = form.request_id.data or new_idempotency_key()
    return render_template(
        "credits/show.html",
        account=g.account,
        packs=[_offer(pack) for pack in deps.config().packs],
        request_id=new_idempotency_key(),
        redeem_form=form,
        draft=draft_of(url_for("tasks.submit")).of("description"),
        task_cost=TASK_COST,
        **more,
    )


def _offer(pack: Pack) -> dict[str, Any]:
    """A pack as it is shown; the saving is against the base rate of one credit for a cent."""
    return {
        "id": pack.pack_id,
        "credits": pack.credits,
        "price_cents": pack.price_cents,
        "bonus_credits": pack.bonus_credits,
        "saving_percent": pack.saving_percent,
        "balance_after": g.account.credits_balance + pack.credits,
    }


def _standing() -> dict[str, Any]:
    session_id = request.args.get("session_id", "")
    purchase = checkout.look_up(
        deps.store(),
        deps.get().stripe,
        g.account,
        session_id,
        livemode=deps.config().livemode,
        now=utcnow(),
        only_looking=only_looking(),
    )
    if purchase.state == checkout.ADDED:
        g.account = deps.store().accounts.get(g.account.email)
    return {
        "account": g.account,
        "state": purchase.state,
        "credits_added": purchase.credits_added,
        "stripe_answers": purchase.asked,
        "session_id": session_id,
        "waits": _task_that_waits() if purchase.state == checkout.ADDED else None,
        "task_cost": TASK_COST,
    }


def _task_that_waits() -> dict[str, str]:
    """The fields under which the task goes out that was written before; none where nothing was."""
    draft = draft_of(url_for("tasks.submit"))
    brief = {name: draft.of(name) for name in BRIEF_FIELDS if draft.of(name)}
    key = {"request_id": draft.of("request_id") or new_idempotency_key(), "draft": str(draft.mark)}
    return brief | key if "description" in brief else {}
