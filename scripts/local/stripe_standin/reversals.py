"""Money going back: refunds, also those that fail later, and disputes through all their stages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from stripe.params import RefundCreateParams

from . import objects, params
from .events import NO_REQUEST, Events, Request
from .options import Options
from .refusals import ApiError, missing_object
from .store import Stored

REFUND_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
BLOCKS_REFUNDS = frozenset({"needs_response", "under_review", "lost"})
FINAL_DISPUTES = frozenset({"won", "lost", "warning_closed", "prevented"})
# From where a dispute may move to where; None is "not opened yet".
DISPUTE_STEPS: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"needs_response", "warning_needs_response", "prevented"}),
    "warning_needs_response": frozenset({"warning_under_review", "warning_closed", "needs_response"}),
    "warning_under_review": frozenset({"warning_closed", "needs_response"}),
    "needs_response": frozenset({"under_review", "won", "lost"}),
    "under_review": frozenset({"won", "lost"}),
}


class Reversals:
    """Each method is one transaction."""

    def __init__(self, events: Events, options: Options) -> None:
        self.store = events.store
        self.events = events
        self.options = options

    # Refunds

    def create_refund(
        self, given: Mapping[str, Any], request: Request = NO_REQUEST, fail_after: float | None = None
    ) -> dict[str, Any]:
        """Give back all that is left or `amount` of it; `fail_after` seconds later the bank sends it back."""
        params.refuse_unknown(given, RefundCreateParams.__annotations__)
        reason = params.choice(given, "reason", REFUND_REASONS)
        metadata = params.metadata(given)
        with self.store.transaction():
            charge = self._charge_to_refund(given)
            left = charge.body["amount"] - charge.body["amount_refunded"]
            if left <= 0:
                raise ApiError(f"Charge {charge.id} has already been refunded.", code="charge_already_refunded")
            amount = params.integer(given, "amount", minimum=1)
            amount = left if amount is None else amount
            if amount > left:
                currency = charge.body["currency"]
                raise ApiError(
                    f"Refund amount ({objects.money(amount, currency)}) is greater than unrefunded amount on charge "
                    f"({objects.money(left, currency)})",
                    param="amount",
                )
            pending = charge.private["later"] == "refund_pending"
            body = objects.refund(
                "pyr" if charge.id.startswith("py_") else "re",
                amount=amount,
                charge=charge.id,
                currency=charge.body["currency"],
                metadata=metadata,
                payment_intent=charge.body["payment_intent"],
                reason=reason,
                pending_reason="processing" if pending else None,
                status="pending" if pending else "succeeded",
            )
            self.store.add("refund", body)
            self._set_refunded(charge, charge.body["amount_refunded"] + amount, request)
            self.events.emit("refund.created", body, request)
            if fail_after is None and charge.private["later"] == "refund_fails":
                fail_after = self.options.settle_after(self.store)
            if fail_after is not None:
                self.store.schedule("refund_fails", body["id"], time.time() + fail_after)
            elif pending:
                self.store.schedule("refund_settles", body["id"], time.time() + self.options.settle_after(self.store))
        return body

    def _charge_to_refund(self, given: Mapping[str, Any]) -> Stored:
        intent_id, charge_id = params.text(given, "payment_intent"), params.text(given, "charge")
        if (intent_id is None) == (charge_id is None):
            message = "One of the following params should be provided for this request: payment_intent or charge."
            raise ApiError(message, code="parameter_missing")
        if intent_id is not None:
            intent = self.store.get("payment_intent", intent_id)
            if intent is None:
                raise missing_object("payment_intent", intent_id, param="payment_intent")
            if intent.body["status"] != "succeeded":
                message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
                raise ApiError(message, param="payment_intent")
            charge_id = str(intent.body["latest_charge"])
        charge = self.store.get("charge", charge_id or "")
        if charge is None:
            raise missing_object("charge", charge_id or "", param="charge")
        if not charge.body["paid"]:
            raise ApiError(f"Charge {charge_id} was not paid and cannot be refunded.", param="charge")
        disputes = self.store.find("dispute", charge=charge_id)
        if any(d.body["status"] in BLOCKS_REFUNDS for d in disputes):
            raise ApiError(f"Charge {charge_id} has been charged back; cannot issue a refund.", code="charge_disputed")
        return charge

    def _set_refunded(self, charge: Stored, total: int, request: Request) -> None:
        before = {name: charge.body[name] for name in ("amount_refunded", "refunded")}
        grew = total > before["amount_refunded"]
        charge.body.update(amount_refunded=total, refunded=total >= charge.body["amount"])
        self.store.save(charge)
        changed = {name: value for name, value in before.items() if charge.body[name] != value}
        self.events.emit("charge.refunded" if grew else "charge.updated", charge.body, request, changed)

    def settle_refund(self, refund_id: str) -> dict[str, Any]:
        with self.store.transaction():
            refund = self.events.required("refund", refund_id)
            if refund.body["status"] == "pending":
                refund.body.update(status="succeeded", pending_reason=None)
                self.store.save(refund)
                self._emit_refund_change(refund, {"status": "pending", "pending_reason": "processing"})
        return refund.body

    def fail_refund(self, refund_id: str) -> dict[str, Any]:
        """The bank could not pay the refund out: the money is the merchant's again."""
        with self.store.transaction():
            refund = self.events.required("refund", refund_id)
            if refund.body["status"] in ("failed", "canceled"):
                raise ApiError(f"This refund has {refund.body['status']} already.", param="refund")
            before = {"status": refund.body["status"], "failure_reason": None}
            refund.body.update(status="failed", failure_reason="lost_or_stolen_card", pending_reason=None)
            self.store.save(refund)
            charge = self.events.required("charge", refund.body["charge"])
            self._set_refunded(charge, charge.body["amount_refunded"] - refund.body["amount"], NO_REQUEST)
            self._emit_refund_change(refund, before)
            self.events.emit("refund.failed", refund.body)
        return refund.body

    def _emit_refund_change(self, refund: Stored, before: Mapping[str, Any]) -> None:
        self.events.emit("refund.updated", refund.body, previous=before)
        self.events.emit("charge.refund.updated", refund.body, previous=before)

    # Disputes

    def set_dispute(
        self,
        intent_id: str,
        status: str,
        *,
        amount: int | None = None,
        currency: str | None = None,
        reason: str | None = None,
    ) -> dict[str, Any]:
        """Open a dispute on a payment, or move the open one on to `status`, or to another `amount`, or both.

        A bank may tell of it in the payer's currency: then nobody compares the amount with the charge.
        """
        with self.store.transaction():
            intent = self.events.required("payment_intent", intent_id)
            if intent.body["status"] != "succeeded":
                raise ApiError("Only a payment that succeeded can be disputed.", param="payment_intent")
            charge = self.events.required("charge", intent.body["latest_charge"])
            open_ones = [
                dispute
                for dispute in self.store.find("dispute", charge=charge.id)
                if dispute.body["status"] not in FINAL_DISPUTES
            ]
            known = open_ones[-1] if open_ones else None
            before = known.body["status"] if known else None
            stays = known is not None and status == before and amount is not None
            if not stays and status not in DISPUTE_STEPS.get(before, frozenset()):
                message = f"A dispute cannot go from {before or 'nothing'} to {status}."
                raise ApiError(message, code="dispute_step_invalid", param="status")
            if known is None:
                return self._open_dispute(charge, status, amount, currency, reason)
            if amount is not None:
                amount = _disputed(charge, amount, known.body["currency"])
            return self._move_dispute(known, status, amount)

    def _open_dispute(
        self, charge: Stored, status: str, amount: int | None, currency: str | None, reason: str | None
    ) -> dict[str, Any]:
        currency = currency or charge.body["currency"]
        amount = _disputed(charge, charge.body["amount"] if amount is None else amount, currency)
        details = charge.body["payment_method_details"]
        body = objects.dispute(
            amount=amount,
            charge=charge.id,
            currency=currency,
            is_charge_refundable=status.startswith("warning_"),
            payment_intent=charge.body["payment_intent"],
            payment_method_details=details,
            reason=reason or "fraudulent",
            status=status,
        )
        charge.body["disputed"] = True
        self.store.save(charge)
        dispute = self.store.add("dispute", body)
        self.events.emit("charge.dispute.created", body)
        if status == "needs_response":
            self._withdraw(dispute)
        return dispute.body

    def _move_dispute(self, dispute: Stored, status: str, amount: int | None) -> dict[str, Any]:
        before = {name: dispute.body[name] for name in ("status", "amount")}
        before["evidence_details"] = dict(dispute.body["evidence_details"])
        was_inquiry = before["status"].startswith("warning_")
        dispute.body.update(status=status, is_charge_refundable=status.startswith("warning_"))
        dispute.body["amount"] = dispute.body["amount"] if amount is None else amount
        if status.endswith("under_review"):
            dispute.body["evidence_details"].update(has_evidence=True, submission_count=1)
        self.store.save(dispute)
        changed = {name: value for name, value in before.items() if dispute.body[name] != value}
        if status not in FINAL_DISPUTES:
            self.events.emit("charge.dispute.updated", dispute.body, previous=changed)
            if was_inquiry and status == "needs_response":
                self._withdraw(dispute)
            return dispute.body
        if status == "won":
            movement = {"id": objects.new_id("txn"), "object": "balance_transaction", "amount": dispute.body["amount"]}
            dispute.body["balance_transactions"].append(movement)
            self.store.save(dispute)
            self.events.emit("charge.dispute.funds_reinstated", dispute.body)
        self.events.emit("charge.dispute.closed", dispute.body, previous=changed)
        return dispute.body

    def _withdraw(self, dispute: Stored) -> None:
        movement = {"id": objects.new_id("txn"), "object": "balance_transaction", "amount": -dispute.body["amount"]}
        dispute.body["balance_transactions"].append(movement)
        self.store.save(dispute)
        self.events.emit("charge.dispute.funds_withdrawn", dispute.body)


def _disputed(charge: Stored, amount: int, currency: str) -> int:
    if amount <= 0 or (currency == charge.body["currency"] and amount > charge.body["amount"]):
        raise ApiError("The disputed amount must be positive and not above the charge.", param="amount")
    return amount
