"""Stripe: the calls the dashboard makes through its library, and the proof that a webhook came from it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.domain.errors import DomainError, InvalidPayload, InvalidSignature, NotFound, PaymentsUnavailable
from app.domain.sales import GUEST, MARK

from .stripe_account import StripeAccount

if TYPE_CHECKING:
    import stripe
    from stripe.params.checkout import SessionCreateParams

log = logging.getLogger(__name__)

API_VERSION = "2026-10-28.endive"
CONNECT_TIMEOUT_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 10.0  # for a whole answer
MAX_RETRIES = 2
PAGE_SIZE = 100

# Ids end up in a URL path; an empty one would turn "retrieve" into "list".
_ID = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]{1,240}", re.ASCII)

_RIGHT = re.compile(r"rak_[a-z_]+")  # what Stripe calls a right of a restricted key

CHECKOUT_REFUSED = (
    "Stripe did not take this order. Open the page with the packs anew and try again; nothing was charged."
)


class PaymentRefused(DomainError):
    """Stripe understood the call and said no; trying again unchanged cannot help."""

    code = "payment_refused"
    message = "Stripe refused this request."

    def __init__(self, message: str | None = None, stripe_code: str | None = None) -> None:
        super().__init__(message)
        self.stripe_code = stripe_code


class KeyLacksRight(PaymentsUnavailable):
    """Stripe answers, and the restricted key that is set may not ask this."""

    code = "stripe_key_lacks_right"
    message = "STRIPE_SECRET_KEY may not ask Stripe this: give the restricted key the right (docs/stripe.md)."


class SignatureOutOfTime(InvalidSignature):
    """One of our secrets made it, too long ago or in the future: a replay, or a clock that is off."""


class PaymentNotFound(NotFound):
    """Stripe knows no such object (or it belongs to another Stripe account)."""


class StripeGateway:
    """Every call the dashboard makes to Stripe; answers are plain dicts in Stripe's own field names."""

    def __init__(self, secret_key: str, api_base: str | None = None) -> None:
        self._secret_key, self._api_base = secret_key, api_base

    @cached_property
    def _client(self) -> stripe.StripeClient:
        from .stripe_client import connect

        return connect(
            self._secret_key,
            version=API_VERSION,
            retries=MAX_RETRIES,
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            api_base=self._api_base,
        )

    @cached_property
    def account(self) -> StripeAccount:
        return StripeAccount(self._client)

    def ensure_customer(self, account_id: str, email: str) -> str:
        """Create the account's Stripe customer and return its id; a repeat within a day returns the same one."""
        # The address is part of the key: Stripe refuses a key that comes back with other parameters.
        digest = hashlib.sha256(f"{account_id}\n{email}".encode()).hexdigest()
        with _translated_errors(CHECKOUT_REFUSED):
            customer = self._client.v1.customers.create(
                params={"email": email, "metadata": {"account_id": account_id}},
                options={"idempotency_key": f"customer-{digest[:48]}"},
            )
            return str(_told(customer, "customer")["id"])

    def change_customer_email(self, customer_id: str, email: str) -> None:
        """Where Stripe's receipts go, and what its pages fill in. Setting it again changes nothing."""
        with _translated_errors("Stripe did not take this address."):
            self._client.v1.customers.update(customer_id, params={"email": email})

    def create_checkout(
        self,
        *,
        account_id: str,
        email: str,
        customer_id: str | None,
        pack_id: str,
        credits: int,
        price_cents: int,
        idempotency_key: str,
        success_url: str,
        cancel_url: str,
        product_name: str,
        known_as: str = "",
    ) -> dict[str, Any]:
        """Open a Checkout Session for one pack; `{"id", "url"}`. `success_url` may hold `{CHECKOUT_SESSION_ID}`.

        `known_as`: what the webhook finds the account by, where that is not its address.
        """
        metadata = {
            "sold_by": MARK,
            "account_id": account_id,
            "account_email": known_as or email,
            "pack_id": pack_id,
            "credits": str(credits),
            "price_cents": str(price_cents),
        }
        params = self._one_pack(metadata, price_cents, product_name, success_url, cancel_url)
        params["client_reference_id"] = account_id
        try:
            return self._open_session(params, email, customer_id, idempotency_key)
        except PaymentNotFound:
            if not customer_id:
                raise
            # The stored customer belongs to another Stripe account or was deleted: sell all the same.
            return self._open_session(params, email, None, f"{idempotency_key}-guest")

    def create_guest_checkout(
        self,
        *,
        pack_id: str,
        credits: int,
        price_cents: int,
        idempotency_key: str,
        success_url: str,
        cancel_url: str,
        product_name: str,
    ) -> dict[str, Any]:
        """The same for somebody without an account, whose e-mail address Stripe asks for; `{"id", "url"}`."""
        metadata = {
            "sold_by": MARK,
            "buyer": GUEST,
            "pack_id": pack_id,
            "credits": str(credits),
            "price_cents": str(price_cents),
        }
        params = self._one_pack(metadata, price_cents, product_name, success_url, cancel_url)
        params["customer_creation"] = "always"
        with _translated_errors(CHECKOUT_REFUSED):
            session = self._client.v1.checkout.sessions.create(
                params=params, options={"idempotency_key": idempotency_key}
            )
            return _address(session)

    @staticmethod
    def _one_pack(
        metadata: dict[str, str], price_cents: int, product_name: str, success_url: str, cancel_url: str
    ) -> SessionCreateParams:
        return {
            "mode": "payment",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": "usd",
                        "unit_amount": price_cents,
                        "product_data": {"name": product_name},
                    },
                }
            ],
            "metadata": metadata,
            # Session metadata does not reach the payment intent or its charge by itself.
            "payment_intent_data": {"metadata": metadata},
            "invoice_creation": {"enabled": True, "invoice_data": {"metadata": metadata}},
            "success_url": success_url,
            "cancel_url": cancel_url,
        }

    def _open_session(
        self, params: SessionCreateParams, email: str, customer_id: str | None, idempotency_key: str
    ) -> dict[str, Any]:
        payer: SessionCreateParams = (
            {"customer": customer_id} if customer_id else {"customer_email": email, "customer_creation": "always"}
        )
        with _translated_errors(CHECKOUT_REFUSED):
            session = self._client.v1.checkout.sessions.create(
                params={**params, **payer}, options={"idempotency_key": idempotency_key}
            )
            return _address(session)

    def get_session(self, session_id: str) -> dict[str, Any]:
        """A Checkout Session with what it sold, its payment intent and that one's latest charge."""
        with _translated_errors():
            session = self._client.v1.checkout.sessions.retrieve(
                _checked_id(session_id, "cs_"), params={"expand": ["payment_intent.latest_charge", "line_items"]}
            )
            return _told(session, "checkout.session", session_id)

    def line_items(self, session_id: str) -> dict[str, Any]:
        """What a Checkout Session sold: Stripe's list of up to 100 lines, with price and product."""
        with _translated_errors():
            items = self._client.v1.checkout.sessions.line_items.list(
                _checked_id(session_id, "cs_"), params={"limit": PAGE_SIZE}
            )
            return _told(items, "list")

    def find_catalogue_item(self, item_id: str) -> dict[str, Any] | None:
        """A Payment Link, price or product by its id; None when Stripe knows no such one for this key."""
        stripe_client = self._client.v1
        try:
            with _translated_errors():
                if item_id.startswith("plink_"):
                    link = stripe_client.payment_links.retrieve(_checked_id(item_id, "plink_"))
                    return _told(link, "payment_link", item_id)
                if item_id.startswith("price_"):
                    return _told(stripe_client.prices.retrieve(_checked_id(item_id, "price_")), "price", item_id)
                return _told(stripe_client.products.retrieve(_checked_id(item_id, "prod_")), "product", item_id)
        except PaymentNotFound:
            return None

    def list_sessions(self, created_from: datetime | int) -> Iterator[dict[str, Any]]:
        """Checkout Sessions opened since then, newest first, in any state, each with what it sold.

        A session can be paid up to a day after it was opened, and a bank debit settles days later: start early enough.
        """
        with _translated_errors():
            page = self._client.v1.checkout.sessions.list(
                params={
                    "created": {"gte": _epoch(created_from)},
                    "limit": PAGE_SIZE,
                    "expand": ["data.line_items"],
                }
            )
            yield from _every(page, "checkout.session")

    def list_refunds(self, created_from: datetime | int) -> Iterator[dict[str, Any]]:
        """Refunds made since then, newest first, each with its charge, whatever the age of their payment."""
        with _translated_errors():
            page = self._client.v1.refunds.list(
                params={"created": {"gte": _epoch(created_from)}, "limit": PAGE_SIZE, "expand": ["data.charge"]}
            )
            yield from _every(page, "refund")

    def list_disputes(self, created_from: datetime | int) -> Iterator[dict[str, Any]]:
        """Disputes opened since then, newest first, each with its charge, whatever the age of their payment."""
        with _translated_errors():
            page = self._client.v1.disputes.list(
                params={"created": {"gte": _epoch(created_from)}, "limit": PAGE_SIZE, "expand": ["data.charge"]}
            )
            yield from _every(page, "dispute")

    def list_events(self, created_from: datetime | int, types: Iterable[str]) -> Iterator[dict[str, Any]]:
        """What Stripe told of since then, newest first, of these types (20 at most), delivered or not.

        Stripe keeps events for 30 days. Raises PaymentsUnavailable; KeyLacksRight for a key that may not read events.
        """
        with _translated_errors(names_rights=True):
            page = self._client.v1.events.list(
                params={"created": {"gte": _epoch(created_from)}, "types": sorted(types), "limit": PAGE_SIZE}
            )
            yield from _every(page, "event")

    def list_webhook_endpoints(self) -> Iterator[dict[str, Any]]:
        """Where Stripe sends events, in the mode of the key. Raises PaymentsUnavailable, KeyLacksRight."""
        with _translated_errors(names_rights=True):
            page = self._client.v1.webhook_endpoints.list(params={"limit": PAGE_SIZE})
            yield from _every(page, "webhook_endpoint")

    def refund(self, payment_intent: str, amount_cents: int | None, idempotency_key: str) -> dict[str, Any]:
        """Refund a payment, or part of it; None refunds all that is left."""
        params: stripe.params.RefundCreateParams = {"payment_intent": _checked_id(payment_intent, "pi_")}
        if amount_cents is not None:
            params["amount"] = amount_cents
        with _translated_errors():
            refund = self._client.v1.refunds.create(params=params, options={"idempotency_key": idempotency_key})
            return _told(refund, "refund")

    def receipt_url(self, payment_intent: str) -> str | None:
        """Stripe's receipt page for a payment, None while nothing was charged."""
        with _translated_errors():
            intent = self._client.v1.payment_intents.retrieve(
                _checked_id(payment_intent, "pi_"), params={"expand": ["latest_charge"]}
            )
            charge = _told(intent, "payment_intent", payment_intent).get("latest_charge")
        url = charge.get("receipt_url") if isinstance(charge, dict) else None
        return url if isinstance(url, str) else None


def verify_webhook(
    payload: bytes,
    signature_header: str | None,
    secrets: tuple[str, ...],
    tolerance_seconds: int = 300,
    now: float | None = None,
) -> dict[str, Any]:
    """The event in `payload` as a plain dict, if any of `secrets` signed exactly these bytes lately.

    Raises InvalidSignature when nobody we trust signed it, InvalidPayload when what is signed is no event.
    """
    import stripe

    # hmac.compare_digest raises TypeError on text that is not ASCII.
    if not signature_header or not signature_header.isascii():
        raise InvalidSignature
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise InvalidPayload from error
    if not any(_signed_by(secret, text, signature_header) for secret in secrets):
        raise InvalidSignature
    # The library looks only for a timestamp that is too old; one from the future would be replayable for longer.
    signed_at, _ = stripe.WebhookSignature._get_timestamp_and_signatures(signature_header, "v1")
    if abs((time.time() if now is None else now) - signed_at) > tolerance_seconds:
        raise SignatureOutOfTime
    return _parse_event(text)


def _signed_by(secret: str, text: str, header: str) -> bool:
    import stripe

    try:
        return bool(stripe.WebhookSignature.verify_header(text, header, secret, tolerance=None))
    except stripe.SignatureVerificationError:
        return False


def _parse_event(text: str) -> dict[str, Any]:
    try:
        event = json.loads(text)
        # NaN, a lone surrogate, or a nesting that can be read but not written again would fail later, in the database.
        json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidPayload from error
    if not isinstance(event, dict) or event.get("object", "event") != "event":
        raise InvalidPayload
    if not isinstance(event.get("type"), str):
        raise InvalidPayload
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise InvalidPayload
    return event


@contextmanager
def _translated_errors(refused: str | None = None, *, names_rights: bool = False) -> Iterator[None]:
    """Stripe's exceptions as ours: what a retry may cure is PaymentsUnavailable, the rest PaymentRefused.

    `refused` is the sentence for customers; operators are told Stripe's own. `names_rights`: whoever asks can mend the
    key, so a right that it lacks is KeyLacksRight.
    """
    import stripe

    try:
        yield
    except (stripe.InvalidRequestError, stripe.IdempotencyError, stripe.CardError) as error:
        log.warning(
            "Stripe refused a call: %s code=%s param=%s request=%s",
            type(error).__name__,
            error.code,
            getattr(error, "param", None),
            error.request_id,
        )
        if error.code == "resource_missing":
            raise PaymentNotFound from error
        raise PaymentRefused(refused or error.user_message, error.code) from error
    except stripe.StripeError as error:
        # Neither the message nor the body: both may quote a key or a person.
        log.error(
            "Stripe is unavailable: %s status=%s code=%s request=%s",
            type(error).__name__,
            error.http_status,
            error.code,
            error.request_id,
        )
        if names_rights and isinstance(error, stripe.PermissionError):
            rights = ", ".join(sorted(set(_RIGHT.findall(str(error)))))
            raise KeyLacksRight(f"{KeyLacksRight.message} Stripe names: {rights}." if rights else None) from error
        raise PaymentsUnavailable from error


def _told(answer: object, kind: str, asked_for: str = "") -> dict[str, Any]:
    """The answer as a plain dict, if it is the thing that was asked for: a proxy's or a portal's is nobody's word."""
    import stripe

    told = answer.to_dict(for_json=True) if isinstance(answer, stripe.StripeObject) else {}
    named = isinstance(told.get("data"), list) if kind == "list" else bool(told.get("id"))
    if told.get("object") != kind or not named or (asked_for and told["id"] != asked_for):
        log.error("What answers in Stripe's place is no %s", kind)
        raise PaymentsUnavailable
    return told


def _every(page: Any, kind: str) -> Iterator[dict[str, Any]]:
    """The things of all pages of a list. A page that is none ends in PaymentsUnavailable, never in a shorter list."""
    while True:
        more = _told(page, "list").get("has_more")
        if not isinstance(more, bool):
            raise PaymentsUnavailable
        yield from (_told(thing, kind) for thing in page.data)
        if not more:
            return
        page = page.next_page()


def _address(session: object) -> dict[str, Any]:
    told = _told(session, "checkout.session")
    if not told.get("url"):
        raise PaymentsUnavailable
    return {"id": told["id"], "url": told["url"]}


def _checked_id(value: str, *prefixes: str) -> str:
    if not _ID.fullmatch(value) or not value.startswith(prefixes):
        raise PaymentNotFound
    return value


def _epoch(moment: datetime | int) -> int:
    return int(moment.timestamp()) if isinstance(moment, datetime) else moment
