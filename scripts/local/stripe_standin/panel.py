"""The control panel: what happened, and buttons for what Stripe, a bank or a card holder may do next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from .business import Business, Payer
from .catalogue import CREDITS
from .control import delivery_log, set_fault, set_webhooks
from .objects import ZERO_DECIMAL
from .options import Options
from .refusals import ApiError
from .reversals import BLOCKS_REFUNDS, DISPUTE_STEPS, FINAL_DISPUTES
from .store import Store, Stored
from .webhooks import Deliverer

PAYMENTS_SHOWN = 25
EVENTS_SHOWN = 40
DISPUTE_WORDS = {
    "needs_response": "Open a dispute",
    "warning_needs_response": "Open an inquiry",
    "prevented": "Dispute prevented",
    "under_review": "Answer it (under review)",
    "warning_under_review": "Answer it (under review)",
    "warning_closed": "Close the inquiry",
    "won": "Win the dispute",
    "lost": "Lose the dispute",
}
ESCALATE = "Escalate to a dispute"


def create_panel(store: Store, business: Business, deliverer: Deliverer, options: Options) -> Blueprint:
    panel = Blueprint("panel", __name__)

    @panel.get("/")
    def show() -> str:
        older = request.args.get("before", type=int)
        sessions, more = store.page("session", limit=PAYMENTS_SHOWN, after=older)
        counts = {row[0]: row[1] for row in store.rows("SELECT state, count(*) FROM deliveries GROUP BY state")}
        return render_template(
            "panel.html",
            payments=[_payment(store, session) for session in sessions],
            older=sessions[-1].seq if more and sessions else None,
            webhooks=store.setting("webhooks", {"mode": "deliver", "seconds": 0}),
            fault=store.setting("fault"),
            counts=counts,
            endpoint=options.webhook_url,
            said=request.args.get("said"),
            failed="failed" in request.args,
        )

    @panel.get("/events")
    def events() -> str:
        found, more = store.page("event", limit=EVENTS_SHOWN, after=request.args.get("before", type=int))
        rows = [(stored.body, delivery_log(store, stored.id)) for stored in found]
        return render_template("events.html", events=rows, older=found[-1].seq if more else None)

    @panel.get("/events/<event_id>")
    def event(event_id: str) -> str:
        stored = store.get("event", event_id)
        if stored is None:
            abort(404)
        return render_template(
            "event.html",
            event=stored.body,
            text=json.dumps(stored.body, indent=2, ensure_ascii=False),
            deliveries=delivery_log(store, event_id),
            said=request.args.get("said"),
        )

    @panel.post("/events/<event_id>/deliver")
    def deliver(event_id: str) -> ResponseReturnValue:
        how = request.form.get("how")
        try:
            made = business.events.repeat(event_id, times=2 if how == "twice" else 1, as_new=how == "new")
        except ApiError:
            abort(404)
        said = {"twice": "Sent twice, at once.", "new": "Sent as a new event."}.get(how or "", "Sent again.")
        deliverer.wait_for_first_attempt(made, 2)
        return redirect(url_for("panel.event", event_id=made[0], said=said), 303)

    @panel.post("/webhooks")
    def webhooks() -> ResponseReturnValue:
        return _do(lambda: _switch_webhooks(store, deliverer))

    @panel.post("/faults")
    def faults() -> ResponseReturnValue:
        status = request.form.get("status", type=int)

        def act() -> str:
            set_fault(store, status, 0, None)
            return f"The API answers {status or 'as usual'}."

        return _do(act)

    @panel.post("/payments/<intent_id>/refund")
    def refund(intent_id: str) -> ResponseReturnValue:
        def act() -> str:
            wanted = {"payment_intent": intent_id}
            intent = store.get("payment_intent", intent_id)
            if intent is not None and request.form.get("how") != "full":
                wanted["amount"] = str(_smallest_unit(request.form.get("amount", ""), intent.body["currency"]))
            fail_after = 5.0 if request.form.get("fails") else None
            business.reversals.create_refund(wanted, fail_after=fail_after)
            return "Refunded. It fails in 5 seconds." if fail_after else "Refunded."

        return _do(act)

    @panel.post("/refunds/<refund_id>/fail")
    def fail_refund(refund_id: str) -> ResponseReturnValue:
        return _do(lambda: _said(business.reversals.fail_refund(refund_id), "The refund failed."))

    @panel.post("/payments/<intent_id>/dispute")
    def dispute(intent_id: str) -> ResponseReturnValue:
        status = request.form.get("status", "")

        def act() -> str:
            business.reversals.set_dispute(intent_id, status)
            return f"The dispute is now: {status.replace('_', ' ')}."

        return _do(act)

    @panel.post("/sessions/<session_id>/expire")
    def expire(session_id: str) -> ResponseReturnValue:
        return _do(lambda: _said(business.expire_session(session_id), "The checkout has expired."))

    @panel.post("/sessions/<session_id>/settle")
    def settle(session_id: str) -> ResponseReturnValue:
        paid = request.form.get("how") != "refuse"
        sentence = "The bank has paid." if paid else "The bank has refused."
        return _do(lambda: _said(business.settle(session_id, paid), sentence))

    @panel.post("/payment-link")
    def payment_link() -> ResponseReturnValue:
        form = request.form
        try:
            given: dict[str, Any] = {
                "amount": int(form.get("amount", "") or "x"),
                "currency": form.get("currency", "usd"),
                "sells": form.get("sells") or CREDITS,
            }
        except ValueError:
            return _do(lambda: _refuse("Give the amount in cents, such as 1000."))
        email = form.get("email", "").strip() or None
        if form.get("how") == "open":
            try:
                return redirect(business.payment_link(given)["url"], 303)
            except ApiError as error:
                message = error.message
                return _do(lambda: _refuse(message))

        def act() -> str:
            outcome = business.pay(business.payment_link(given)["id"], Payer(email=email))
            deliverer.wait_for_first_attempt(outcome.events, 3)
            return f"Paid: {outcome.session['payment_intent'] or outcome.session['id']}"

        return _do(act)

    return panel


def _do(act: Callable[[], str]) -> ResponseReturnValue:
    """Run it and lead back to the panel with a sentence about it."""
    try:
        said = act()
    except ApiError as error:
        return redirect(url_for("panel.show", said=error.message, failed=1), 303)
    return redirect(url_for("panel.show", said=said), 303)


def _said(_done: object, sentence: str) -> str:
    return sentence


def _refuse(sentence: str) -> str:
    raise ApiError(sentence)


def _switch_webhooks(store: Store, deliverer: Deliverer) -> str:
    how = request.form.get("how", "")
    if how == "release":
        return f"{deliverer.release()} webhooks released."
    if how == "discard":
        return f"{deliverer.discard()} webhooks lost for good."
    seconds = request.form.get("seconds", 10, int)
    set_webhooks(store, how, seconds if how == "delay" else 0)
    return {
        "deliver": "Webhooks are delivered at once.",
        "withhold": "Webhooks are withheld from now on.",
        "delay": f"Webhooks are delayed by {seconds} seconds.",
    }[how]


def _payment(store: Store, session: Stored) -> dict[str, Any]:
    """All that the panel shows of one session."""
    body = session.body
    intent = store.get("payment_intent", body["payment_intent"]) if body["payment_intent"] else None
    charge = store.get("charge", intent.body["latest_charge"]) if intent and intent.body["latest_charge"] else None
    refunds = [refund.body for refund in store.find("refund", payment_intent=intent.id)] if intent else []
    disputes = [dispute.body for dispute in store.find("dispute", payment_intent=intent.id)] if intent else []
    current = next((d["status"] for d in reversed(disputes) if d["status"] not in FINAL_DISPUTES), None)
    steps = []
    if charge and charge.body["paid"]:
        for status in sorted(DISPUTE_STEPS[current], key=list(DISPUTE_WORDS).index):
            words = ESCALATE if current and status == "needs_response" else DISPUTE_WORDS[status]
            steps.append((status, words))
    return {
        "session": body,
        "email": (body["customer_details"] or {}).get("email") or body["customer_email"],
        "intent": intent.body if intent else None,
        "charge": charge.body if charge else None,
        "refunds": refunds,
        "disputes": disputes,
        "dispute_steps": steps,
        "left": _left_to_refund(charge, disputes),
        "status": _status(body, intent, charge, current, disputes),
    }


def _left_to_refund(charge: Stored | None, disputes: list[dict[str, Any]]) -> int:
    if charge is None or not charge.body["paid"]:
        return 0
    if any(dispute["status"] in BLOCKS_REFUNDS for dispute in disputes):
        return 0
    return int(charge.body["amount"] - charge.body["amount_refunded"])


def _status(
    body: dict[str, Any], intent: Stored | None, charge: Stored | None, current: str | None, disputes: list[Any]
) -> tuple[str, str]:
    """A word for the state, and its colour class."""
    if body["status"] == "open":
        return ("declined, still open", "warn") if charge else ("open", "plain")
    if body["status"] == "expired":
        return "expired", "plain"
    if intent is None:
        return "nothing to pay", "good"
    if intent.body["status"] == "processing":
        return "waiting for the bank", "warn"
    if charge is None or not charge.body["paid"]:
        return "failed", "bad"
    if current:
        return ("inquiry" if current.startswith("warning") else "disputed"), "bad"
    if disputes and disputes[-1]["status"] == "lost":
        return "dispute lost", "bad"
    if charge.body["refunded"]:
        return "refunded", "warn"
    return ("partly refunded", "warn") if charge.body["amount_refunded"] else ("paid", "good")


def _smallest_unit(typed: str, currency: str) -> int:
    """What a person types as an amount (5, 5.00) in the currency's smallest unit."""
    match = re.fullmatch(r"\s*([0-9]{1,9})(?:[.,]([0-9]{1,2}))?\s*", typed)
    if not match or (currency in ZERO_DECIMAL and match[2]):
        raise ApiError("Give the amount to refund, such as 5.00.")
    if currency in ZERO_DECIMAL:
        return int(match[1])
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def moment(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
