"""What Stripe does with payments: each change is stored together with the events that tell of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stripe.params import CustomerCreateParams, CustomerUpdateParams

from . import objects, params, sessions
from .cards import FAILING_ACCOUNT_DIGIT, Card, CardRefused, check_account, check_details
from .events import NO_REQUEST, Events, Request
from .options import Options
from .refusals import ApiError
from .reversals import Reversals
from .store import Store, Stored

PROMOTIONS = {"HALF": 50, "FREE": 100}  # percent off


@dataclass(slots=True)
class Outcome:
    """How an attempt to pay ended: paid, processing (settles later) or declined."""

    kind: str
    session: dict[str, Any]
    events: list[str] = field(default_factory=list)
    message: str = ""
    code: str | None = None
    field: str | None = None


@dataclass(slots=True)
class Payer:
    """What somebody typed into the hosted page."""

    method: str = "card"
    card: str = "4242424242424242"
    expiry: str = "12 / 34"
    cvc: str = "123"
    account: str = "000123456789"
    name: str | None = "Test Payer"
    email: str | None = None
    promotion: str | None = None


class Business:
    """All changes go through here, one transaction each."""

    def __init__(self, store: Store, options: Options) -> None:
        self.store = store
        self.options = options
        self.events = Events(store)
        self.reversals = Reversals(self.events, options)

    # Customers and sessions

    def create_customer(self, given: Mapping[str, Any], request: Request = NO_REQUEST) -> dict[str, Any]:
        params.refuse_unknown(given, CustomerCreateParams.__annotations__)
        body = objects.customer(params.email(given, "email"), params.text(given, "name"), params.metadata(given))
        body["description"] = params.text(given, "description")
        with self.store.transaction():
            self.store.add("customer", body)
            self.events.emit("customer.created", body, request)
        return body

    def update_customer(
        self, customer_id: str, given: Mapping[str, Any], request: Request = NO_REQUEST
    ) -> dict[str, Any]:
        """Only the fields that a customer is made with here; what is not given stays."""
        params.refuse_unknown(given, CustomerUpdateParams.__annotations__)
        with self.store.transaction():
            customer = self.events.required("customer", customer_id)
            if "email" in given:
                customer.body["email"] = params.email(given, "email")
            for name in ("name", "description"):
                if name in given:
                    customer.body[name] = params.text(given, name)
            customer.body["metadata"] |= params.metadata(given)
            self.store.save(customer)
            self.events.emit("customer.updated", customer.body, request)
        return customer.body

    def create_session(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._open(*sessions.read_session(given, self.store, self.options.url))

    def payment_link(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Open a session as a Payment Link does, without any app having a part in it."""
        return self._open(*sessions.payment_link_session(given, self.options.url))

    def _open(self, body: dict[str, Any], private: dict[str, Any]) -> dict[str, Any]:
        with self.store.transaction():
            self.store.add("session", body, private)
            self.store.schedule("expire", body["id"], body["expires_at"])
        return body

    def expire_session(self, session_id: str, request: Request = NO_REQUEST) -> dict[str, Any]:
        with self.store.transaction():
            session = self.events.required("session", session_id)
            if session.body["status"] != "open":
                raise ApiError(
                    f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a '
                    f"status of {session.body['status']}.",
                    param="session",
                )
            session.body.update(status="expired", url=None)
            self.store.save(session)
            self.events.emit("checkout.session.expired", session.body, request)
        return session.body

    def apply_promotion(self, session_id: str, code: str) -> bool:
        """Take a promotion code off the total; an empty one removes it. False when there is no such code."""
        with self.store.transaction():
            session = self.events.required("session", session_id)
            percent = PROMOTIONS.get(code.strip().upper(), 0)
            if code.strip() and not percent:
                return False
            details = session.body["total_details"]
            details["amount_discount"] = session.body["amount_subtotal"] * percent // 100
            session.body["amount_total"] = (
                session.body["amount_subtotal"] - details["amount_discount"] + details["amount_tax"]
            )
            session.private["promotion"] = code.strip().upper() or None
            self.store.save(session)
        return True

    # Paying

    def pay(self, session_id: str, payer: Payer) -> Outcome:
        """One attempt at paying an open session."""
        with self.store.transaction():
            session = self.events.required("session", session_id)
            if session.body["status"] != "open":
                raise ApiError(f"This Checkout Session is {session.body['status']}.", code="session_not_open")
            if payer.promotion and not self.apply_promotion(session_id, payer.promotion):
                raise ApiError("This code is invalid.", code="promotion_code_invalid", param="promotion")
            session = self.events.required("session", session_id)
            email = self.known_email(session.body) or payer.email
            if session.body["amount_total"] == 0:
                return self._complete_free(session, email, payer)
            try:
                card = None
                if payer.method == "bank":
                    check_account(payer.account)
                else:
                    card = check_details(payer.card, payer.expiry, payer.cvc)
            except CardRefused as refusal:
                return Outcome("declined", session.body, [], refusal.message, refusal.code, refusal.field)
            intent = self._intent(session)
            if card is not None and card.code is not None:
                return self._decline(session, intent, card, payer, email)
            return self._accept(session, intent, card, payer, email)

    def _accept(self, session: Stored, intent: Stored, card: Card | None, payer: Payer, email: str | None) -> Outcome:
        self._make_customer(session, email, payer)
        intent.body["customer"] = session.body["customer"]
        charge = self._charge(intent, card, payer, email)
        intent.body.update(
            latest_charge=charge.id,
            payment_method=charge.body["payment_method"],
            last_payment_error=None,
            status="processing",
        )
        session.body.update(status="complete", url=None, customer_details=sessions.details(email, payer.name))
        session.body.update(session.private.get("override") or {})
        self.store.save(session)
        if card is None:
            self.store.save(intent)
            self.events.emit("charge.pending", charge.body)
            self.events.emit("payment_intent.processing", intent.body)
            completed = self.events.emit("checkout.session.completed", session.body)
            self.store.schedule("settle", session.id, time.time() + self.options.settle_after(self.store))
            return Outcome("processing", session.body, [completed])
        self._capture(charge, intent)
        self._mark_paid(session, intent)
        completed = self.events.emit("checkout.session.completed", session.body)
        if card.later == "dispute":
            self.store.schedule("dispute", intent.id, time.time() + self.options.settle_after(self.store))
        return Outcome("paid", session.body, [completed])

    def _decline(self, session: Stored, intent: Stored, card: Card, payer: Payer, email: str | None) -> Outcome:
        charge = self._charge(intent, card, payer, email)
        charge.body.update(status="failed", failure_code=card.code, failure_message=card.message)
        charge.body["outcome"] = {
            "network_status": "declined_by_network",
            "reason": card.decline_code or card.code,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
        self.store.save(charge)
        intent.body.update(
            latest_charge=charge.id,
            status="requires_payment_method",
            last_payment_error={
                "type": "card_error",
                "code": card.code,
                "decline_code": card.decline_code,
                "message": card.message,
                "charge": charge.id,
            },
        )
        self.store.save(intent)
        self.store.save(session)
        self.events.emit("charge.failed", charge.body)
        self.events.emit("payment_intent.payment_failed", intent.body)
        return Outcome("declined", session.body, [], card.message, card.decline_code or card.code, "card_number")

    def _complete_free(self, session: Stored, email: str | None, payer: Payer) -> Outcome:
        """A discount left nothing to pay: no payment intent is made."""
        self._make_customer(session, email, payer)
        session.body.update(
            status="complete",
            url=None,
            payment_status="no_payment_required",
            customer_details=sessions.details(email, payer.name),
        )
        session.body.update(session.private.get("override") or {})
        self.store.save(session)
        return Outcome("paid", session.body, [self.events.emit("checkout.session.completed", session.body)])

    def settle(self, session_id: str, succeed: bool | None = None) -> dict[str, Any]:
        """The bank's answer to a delayed payment; None lets the account number decide."""
        with self.store.transaction():
            session = self.events.required("session", session_id)
            intent = self.events.required("payment_intent", str(session.body["payment_intent"]))
            if intent.body["status"] != "processing":
                raise ApiError("This payment is not waiting for its bank.", param="session")
            charge = self.events.required("charge", intent.body["latest_charge"])
            if succeed is None:
                succeed = not str(charge.private["account"]).endswith(FAILING_ACCOUNT_DIGIT)
            if succeed:
                self._capture(charge, intent)
                self._mark_paid(session, intent)
                self.events.emit("checkout.session.async_payment_succeeded", session.body)
            else:
                message = "The bank account has insufficient funds to complete the purchase."
                charge.body.update(status="failed", failure_code="insufficient_funds", failure_message=message)
                error = {"type": "card_error", "code": "payment_method_provider_decline", "message": message}
                intent.body.update(status="requires_payment_method", last_payment_error=error)
                self.store.save(charge)
                self.store.save(intent)
                self.events.emit("charge.failed", charge.body)
                self.events.emit("payment_intent.payment_failed", intent.body)
                self.events.emit("checkout.session.async_payment_failed", session.body)
        return session.body

    def _intent(self, session: Stored) -> Stored:
        """The session's payment intent; Stripe makes it with the first attempt."""
        if known := session.body["payment_intent"]:
            intent = self.events.required("payment_intent", known)
            intent.body["amount"] = session.body["amount_total"]
            return intent
        body = objects.payment_intent(
            amount=session.body["amount_total"],
            currency=session.body["currency"],
            customer=session.body["customer"],
            description=session.private.get("intent_description"),
            metadata=session.private.get("intent_metadata") or {},
            receipt_email=session.private.get("receipt_email"),
        )
        session.body["payment_intent"] = body["id"]
        intent = self.store.add("payment_intent", body, {"session": session.id})
        self.events.emit("payment_intent.created", body)
        return intent

    def _charge(self, intent: Stored, card: Card | None, payer: Payer, email: str | None) -> Stored:
        details: dict[str, Any] = {
            "type": "us_bank_account",
            "us_bank_account": {
                "bank_name": "STRIPE TEST BANK",
                "last4": payer.account[-4:],
                "account_type": "checking",
            },
        }
        if card is not None:
            details = {
                "type": "card",
                "card": {"brand": card.brand, "last4": card.number[-4:], "country": "US", "funding": "credit"},
            }
        # A charge that is no card payment has other prefixes: https://docs.stripe.com/api/charges
        body = objects.charge(
            "py" if card is None else "ch",
            amount=intent.body["amount"],
            billing_details={"address": None, "email": email, "name": payer.name, "phone": None},
            currency=intent.body["currency"],
            customer=intent.body["customer"],
            description=intent.body["description"],
            metadata=dict(intent.body["metadata"]),
            payment_intent=intent.id,
            payment_method=objects.new_id("pm"),
            payment_method_details=details,
        )
        body["receipt_url"] = f"{self.options.url}/receipts/{body['id']}"
        private = {"later": card.later if card else "refund_pending", "account": payer.account if card is None else ""}
        return self.store.add("charge", body, private)

    def _capture(self, charge: Stored, intent: Stored) -> None:
        amount = charge.body["amount"]
        charge.body.update(status="succeeded", paid=True, captured=True, amount_captured=amount)
        charge.body["outcome"] = {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
        intent.body.update(status="succeeded", amount_received=amount, latest_charge=charge.id)
        self.store.save(charge)
        self.store.save(intent)
        self.events.emit("charge.succeeded", charge.body)
        self.events.emit("payment_intent.succeeded", intent.body)

    def _mark_paid(self, session: Stored, intent: Stored) -> None:
        session.body["payment_status"] = "paid"
        if session.body["invoice_creation"] and session.body["invoice_creation"]["enabled"]:
            total = session.body["amount_total"]
            invoice = objects.invoice(
                amount_due=total,
                amount_paid=total,
                currency=session.body["currency"],
                customer=session.body["customer"],
                customer_email=(session.body["customer_details"] or {}).get("email"),
                hosted_invoice_url=f"{self.options.url}/receipts/{intent.body['latest_charge']}",
                metadata=session.body["invoice_creation"]["invoice_data"]["metadata"],
                subtotal=session.body["amount_subtotal"],
                total=total,
            )
            invoice["number"] = f"{invoice['id'][-8:].upper()}-0001"
            self.store.add("invoice", invoice)
            session.body["invoice"] = invoice["id"]
            self.events.emit("invoice.paid", invoice)
        session.body.update(session.private.get("override") or {})
        self.store.save(session)

    def _make_customer(self, session: Stored, email: str | None, payer: Payer) -> None:
        body = session.body
        wanted = body["customer_creation"] == "always" or (body["invoice_creation"] or {}).get("enabled")
        if body["customer"] or not wanted:
            return
        customer = objects.customer(email, payer.name, {})
        self.store.add("customer", customer)
        body["customer"] = customer["id"]
        self.events.emit("customer.created", customer)

    def known_email(self, session: Mapping[str, Any]) -> str | None:
        email = session["customer_email"] or (session["customer_details"] or {}).get("email")
        return str(email) if email else None

    # What happens by itself

    def run_job(self, kind: str, ref: str) -> None:
        """Something that was planned for now; what has become impossible meanwhile is let go."""
        try:
            if kind == "settle":
                self.settle(ref)
            elif kind == "expire":
                self.expire_session(ref)
            elif kind == "refund_fails":
                self.reversals.fail_refund(ref)
            elif kind == "refund_settles":
                self.reversals.settle_refund(ref)
            elif kind == "dispute":
                self.reversals.set_dispute(ref, "needs_response")
        except ApiError:
            return
