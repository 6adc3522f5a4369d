"""What a payer sees: the hosted checkout page, the page after it, and receipts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from . import params
from .business import Business, Payer
from .cards import CARDS, digits
from .options import Options
from .refusals import ApiError
from .store import Store, Stored
from .webhooks import Deliverer

FIELDS = ("email", "method", "card_number", "expiry", "cvc", "account", "name", "promotion")


def create_pages(store: Store, business: Business, deliverer: Deliverer, options: Options) -> Blueprint:
    pages = Blueprint("pages", __name__)

    @pages.get("/c/pay/<session_id>")
    def checkout(session_id: str) -> ResponseReturnValue:
        session = _session(store, session_id)
        if session.body["status"] == "complete":
            return redirect(url_for("pages.done", session_id=session_id))
        if session.body["status"] == "expired":
            return render_template("expired.html", session=session.body), 410
        typed = {"method": "card", "promotion": session.private.get("promotion") or ""}
        if (card := CARDS.get(request.args.get("fill", ""))) is not None:
            year = (datetime.now(UTC).year + 5) % 100
            typed |= {"card_number": card.number, "expiry": f"12 / {year}", "name": "Test Payer"}
            typed |= {"cvc": "1234" if card.brand == "amex" else "123"}
        return _form(session, typed)

    @pages.post("/c/pay/<session_id>")
    def pay(session_id: str) -> ResponseReturnValue:
        session = _session(store, session_id)
        if session.body["status"] != "open":
            return redirect(url_for("pages.checkout", session_id=session_id), 303)
        typed = {name: request.form.get(name, "").strip()[:200] for name in FIELDS}
        promotion = typed["promotion"] if session.body["allow_promotion_codes"] else ""
        if session.body["allow_promotion_codes"] and not business.apply_promotion(session_id, promotion):
            return _form(session, typed, "This code is invalid.", "promotion")
        session = _session(store, session_id)
        if request.form.get("action") == "apply":
            return _form(session, typed)
        email = business.known_email(session.body) or typed["email"]
        if not params.is_email(email):
            return _form(session, typed, "Enter an e-mail address, such as name@example.com.", "email")
        payer = Payer(
            method="bank" if typed["method"] == "bank" else "card",
            card=typed["card_number"],
            expiry=typed["expiry"],
            cvc=typed["cvc"],
            account=digits(typed["account"]),
            name=typed["name"] or None,
            email=email,
        )
        try:
            outcome = business.pay(session_id, payer)
        except ApiError:  # paid in another tab meanwhile
            return redirect(url_for("pages.checkout", session_id=session_id), 303)
        if outcome.kind == "declined":
            return _form(_session(store, session_id), typed, outcome.message, outcome.field)
        deliverer.wait_for_first_attempt(outcome.events, options.redirect_wait_seconds)
        success_url = outcome.session["success_url"]
        if not success_url:
            return redirect(url_for("pages.done", session_id=session_id), 303)
        return redirect(success_url.replace("{CHECKOUT_SESSION_ID}", session_id), 303)

    @pages.get("/c/done/<session_id>")
    def done(session_id: str) -> str:
        session = _session(store, session_id)
        charge = None
        if session.body["payment_intent"]:
            intent = store.get("payment_intent", session.body["payment_intent"])
            charge = intent.body["latest_charge"] if intent else None
        return render_template("done.html", session=session.body, charge=charge)

    @pages.get("/receipts/<charge_id>")
    def receipt(charge_id: str) -> str:
        charge = store.get("charge", charge_id)
        if charge is None:
            abort(404)
        intent = store.get("payment_intent", charge.body["payment_intent"])
        session = store.get("session", intent.private["session"]) if intent else None
        refunds = [refund.body for refund in store.find("refund", charge=charge_id)]
        return render_template("receipt.html", charge=charge.body, session=session, refunds=refunds)

    def _form(session: Stored, typed: dict[str, Any], error: str | None = None, field: str | None = None) -> str:
        # Only test numbers are shown again: whatever else was typed might be somebody's real card.
        if digits(typed.get("card_number", "")) not in CARDS:
            typed = {**typed, "card_number": ""}
        return render_template(
            "pay.html",
            session=session.body,
            lines=session.private["lines"],
            known_email=business.known_email(session.body),
            typed=typed,
            error=error,
            field=field,
            cards=CARDS.values(),
        )

    return pages


def _session(store: Store, session_id: str) -> Stored:
    session = store.get("session", session_id)
    if session is None:
        abort(404)
    return session
