"""Webhook endpoints under the account: made, changed, tested, paused and removed by its owner, with what was sent."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import BadCredentials, InvalidInput, WrongState
from app.domain.webhooks import TYPES, WHY_PAUSED, Endpoint
from app.forms.account import EndpointForm, PasswordAgainForm
from app.forms.base import blame
from app.services import webhooks
from app.web import deps
from app.web.guards import login_required
from app.web.password_again import check_password
from app.web.webhook_limits import check_move, count

bp = Blueprint("webhooks", __name__, url_prefix="/account/webhooks")

SHOWN = 25


@bp.get("")
@login_required
def show() -> ResponseReturnValue:
    return _page(EndpointForm(formdata=None, data={"types": list(TYPES)}))


@bp.post("")
@login_required
def make() -> ResponseReturnValue:
    """The secret stands on this answer, and again after the password on the endpoint's page."""
    form = EndpointForm()
    try:
        check_password(form.password.data or "")
        count()
        found = deps.get()
        endpoint, secret = webhooks.make(
            found.store, found.sealer, found.receivers, g.account, form.wishes, now=utcnow()
        )
    except BadCredentials as error:
        form.password.errors = [error.message]
        return _page(form), 422
    except (InvalidInput, WrongState) as error:
        return _page(form, error=blame(form, error)), 422
    return render_template("account/webhook_secret.html", endpoint=endpoint, secret=secret, made=True)


@bp.get("/<endpoint_id>")
@login_required
def one(endpoint_id: str) -> ResponseReturnValue:
    return _one(webhooks.find_own(deps.store(), g.account, endpoint_id))


@bp.post("/<endpoint_id>/change")
@login_required
def change(endpoint_id: str) -> ResponseReturnValue:
    found, form = deps.get(), EndpointForm()
    endpoint, wanted = webhooks.find_own(found.store, g.account, endpoint_id), form.wishes
    try:
        check_move(endpoint, wanted.url, form.password.data or "")
        webhooks.change(found.store, found.receivers, g.account, endpoint_id, wanted, now=utcnow())
    except BadCredentials as error:
        form.password.errors = [error.message]
        return _one(endpoint, form=form), 422
    except InvalidInput as error:
        return _one(endpoint, form=form, wrong=blame(form, error)), 422
    flash(
        "The endpoint is changed." if wanted.url == endpoint.url else "The endpoint is changed: what waits goes there."
    )
    return redirect(url_for("webhooks.one", endpoint_id=endpoint_id), code=303)


@bp.get("/<endpoint_id>/deliveries/<delivery_id>")
@login_required
def delivery(endpoint_id: str, delivery_id: str) -> ResponseReturnValue:
    endpoint, found = webhooks.find_delivery(deps.store(), g.account, endpoint_id, delivery_id)
    return render_template("account/webhook_delivery.html", endpoint=endpoint, delivery=found)


@bp.post("/<endpoint_id>/deliveries/<delivery_id>/again")
@login_required
def again(endpoint_id: str, delivery_id: str) -> ResponseReturnValue:
    return _done(endpoint_id, "The event is on its way again.", webhooks.send_again, delivery_id)


@bp.post("/<endpoint_id>/test")
@login_required
def test(endpoint_id: str) -> ResponseReturnValue:
    count()
    return _done(endpoint_id, "A test event is on its way: the log below shows what is answered.", webhooks.test)


@bp.post("/<endpoint_id>/pause")
@login_required
def pause(endpoint_id: str) -> ResponseReturnValue:
    return _done(endpoint_id, "The endpoint is paused. What happens waits for 30 days.", webhooks.pause)


@bp.post("/<endpoint_id>/resume")
@login_required
def resume(endpoint_id: str) -> ResponseReturnValue:
    return _done(endpoint_id, "The endpoint goes on with what waits.", webhooks.resume)


@bp.post("/<endpoint_id>/secret")
@login_required
def secret(endpoint_id: str) -> ResponseReturnValue:
    """Show it, or make a new one (`rotate`): after the password."""
    found, form = deps.get(), PasswordAgainForm()
    endpoint = webhooks.find_own(found.store, g.account, endpoint_id)
    try:
        check_password(form.password.data or "")
        if "rotate" in request.form:
            endpoint, told = webhooks.rotate(found.store, found.sealer, g.account, endpoint_id, now=utcnow())
        else:
            told = webhooks.reveal(found.store, found.sealer, g.account, endpoint_id)
    except (BadCredentials, InvalidInput, WrongState) as error:
        return _one(endpoint, error=error.message), 422
    return render_template("account/webhook_secret.html", endpoint=endpoint, secret=told, made=False)


@bp.post("/<endpoint_id>/remove")
@login_required
def remove(endpoint_id: str) -> ResponseReturnValue:
    webhooks.remove(deps.store(), g.account, endpoint_id, now=utcnow())
    flash("The endpoint is removed. Nothing is sent to it any more.")
    return redirect(url_for("webhooks.show"), code=303)


def _done(endpoint_id: str, words: str, act: Any, *more: str) -> ResponseReturnValue:
    try:
        act(deps.store(), g.account, endpoint_id, *more, now=utcnow())
    except WrongState as error:
        flash(error.message, "error")
    else:
        flash(words)
    return redirect(url_for("webhooks.one", endpoint_id=endpoint_id), code=303)


def _page(form: EndpointForm, *, error: str = "") -> str:
    endpoints = webhooks.alive(deps.store(), g.account)
    return render_template("account/webhooks.html", form=form, error=error, endpoints=endpoints, types=TYPES)


def _one(endpoint: Endpoint, *, error: str = "", form: EndpointForm | None = None, wrong: str = "") -> str:
    store, cursor = deps.store(), request.args.get("cursor")
    as_it_is = {"url": endpoint.url, "name": endpoint.name, "types": list(endpoint.types)}
    return render_template(
        "account/webhook.html",
        endpoint=endpoint,
        error=error,
        form=form or EndpointForm(formdata=None, data=as_it_is),
        wrong=wrong,
        types=TYPES,
        why=WHY_PAUSED.get(endpoint.paused_by, ""),
        waiting=webhooks.count_waiting(store, endpoint),
        page=webhooks.deliveries(store, g.account, endpoint.endpoint_id, limit=SHOWN, cursor=cursor),
    )
