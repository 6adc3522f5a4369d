"""Checks of Stripe: the key, the webhook endpoint, deliveries, what is credited, and sales that nobody has decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from app.config import Config
from app.domain.doctor import CannotTell, Finding, not_asked, right, unknown, wrong
from app.domain.errors import DomainError, PaymentsUnavailable
from app.domain.formatting import count
from app.domain.payments import READERS
from app.domain.sales import ELSEWHERE, OURS
from app.gateways.stripe import API_VERSION
from app.gateways.stripe_account import KeyRefused, RightMissing

from ..endpoint import not_told, url_of
from ..sales import Waiting, list_waiting
from .patient import FLASK, Check, Patient, Stripe

DECIDED_WITHIN = timedelta(days=1)
DELIVERED_WITHIN = timedelta(minutes=15)  # Stripe tries again by itself
LOOKS_BACK = timedelta(days=2)
KEYS = "https://dashboard.stripe.com/apikeys"
LISTENING = "In development `stripe listen` fetches the events: there is no endpoint."
GOING_LIVE = "docs/stripe.md, Going live"


def key(patient: Patient) -> Iterator[Finding]:
    """Whose it is, and whether its mode fits the rest."""
    config = patient.config
    if config.livemode and not config.is_production:
        sentence = "STRIPE_SECRET_KEY is a live key, and APP_ENV is development: real money would move."
        yield wrong(sentence, "STRIPE_SECRET_KEY=sk_test_…, or APP_ENV=production")
    if config.livemode and not config.app_url.startswith("https://"):
        sentence = f"STRIPE_SECRET_KEY is a live key, and APP_URL is {config.app_url}: Stripe calls https alone."
        yield wrong(sentence, "APP_URL=https://<the public address>")
    try:
        account = patient.account.who()
    except KeyRefused:
        yield wrong("STRIPE_SECRET_KEY: Stripe does not know this key.", f"STRIPE_SECRET_KEY=<a key of {KEYS}>")
        return
    except RightMissing:
        yield unknown("The key may not say whose it is.", f"give it read access to Accounts: {KEYS}")
        return
    yield _of(patient, account)


def _of(patient: Patient, account: Mapping[str, Any]) -> Finding:
    name = account["id"]
    if patient.is_local(patient.config.stripe_api_base):
        return right(f"The stand-in for Stripe at {patient.config.stripe_api_base} knows the key; no money moves.")
    if patient.config.livemode and account.get("charges_enabled") is False:
        return wrong(
            f"The account {name} may not take payments yet.", "https://dashboard.stripe.com/account/onboarding"
        )
    mode = "live" if patient.config.livemode else "test mode, no money moves"
    return right(f"The key is of the account {name} ({mode}).")


def rights(patient: Patient) -> Iterator[Finding]:
    """Whether a restricted key may read what is read. What it may write cannot be told without writing."""
    if not patient.config.stripe_secret_key.startswith("rk_"):
        yield right("The key is a secret key, which may do everything; a restricted one would be safer.")
        return
    try:
        lacking = patient.account.unreadable()
    except KeyRefused:
        raise CannotTell("Stripe does not know this key") from None
    if lacking:
        mend = f"give the key read access to {', '.join(lacking)}: {KEYS} ({GOING_LIVE})"
        yield wrong(f"STRIPE_SECRET_KEY is restricted and may not read {', '.join(lacking)}.", mend)
    else:
        yield right("The restricted key may read all that is read; write access is not tried.")


def endpoint(patient: Patient) -> Iterator[Finding]:
    """Is our address registered for events, in this mode, for all that is read, in the version that is read?"""
    url = url_of(patient.config)
    if url is None:
        yield not_asked(LISTENING)
        return
    try:
        ours = [each for each in patient.account.endpoints() if each.get("url") == url]
    except KeyRefused:
        raise CannotTell("Stripe does not know the key") from None
    except RightMissing:
        raise CannotTell(
            "the key may not read webhook endpoints", f"give it read access to Webhook Endpoints: {KEYS}"
        ) from None
    if not ours:
        mode = "live" if patient.config.livemode else "test"
        yield wrong(
            f"Stripe sends no {mode} events to {url}: no endpoint of that address is registered in {mode} mode, so "
            "STRIPE_WEBHOOK_SECRET is none of this mode.",
            f"{_create(patient, url)}, and its secret into STRIPE_WEBHOOK_SECRET",
        )
        return
    best = min((list(_faults(each)) for each in ours), key=len)  # of several one that is right is enough
    yield from best
    if not best:
        yield right(f"Stripe sends all that is read to {url}, as version {API_VERSION}.")


def _faults(found: Mapping[str, Any]) -> Iterator[Finding]:
    name, update = found["id"], f"stripe webhook_endpoints update {found['id']}"
    if found.get("status") != "enabled":
        mend = f"{update} -d disabled=false, then {FLASK} books reconcile"
        yield wrong(f"The webhook endpoint {name} is {found.get('status') or 'disabled'}: Stripe sends nothing.", mend)
    if lacking := not_told(found):
        every = " ".join(f"-d 'enabled_events[]={event}'" for event in READERS)
        yield wrong(f"The webhook endpoint {name} is not told of {', '.join(lacking)}.", f"{update} {every}")
    if found.get("api_version") != API_VERSION:
        told = found.get("api_version") or "the account's own version"
        yield wrong(
            f"The webhook endpoint {name} speaks {told}, and {API_VERSION} is read.",
            f"make it anew with that version ({GOING_LIVE}), put its secret first into STRIPE_WEBHOOK_SECRET, "
            f"then remove {name}",
        )


def _create(patient: Patient, url: str) -> str:
    events = " ".join(f"-d 'enabled_events[]={event}'" for event in READERS)
    live = " --live" if patient.config.livemode else ""
    return f"stripe webhook_endpoints create{live} -d url={url} -d api_version={API_VERSION} {events}"


def deliveries(patient: Patient) -> Iterator[Finding]:
    """When Stripe last reached us, and what it could not deliver."""
    if url_of(patient.config) is None:
        yield not_asked(LISTENING)
        return
    contact, now = patient.store.heartbeats.stripe_contact(), patient.now()
    last = f"{contact.last_delivery_at:%Y-%m-%d %H:%M} UTC" if contact.last_delivery_at else "never"
    mend = (
        "STRIPE_WEBHOOK_SECRET=<the signing secret of this endpoint, of this mode>; Stripe's dashboard shows what it "
        f"was answered; then {FLASK} books reconcile"
    )
    before = (now - DELIVERED_WITHIN).timestamp()
    waiting = [event for event in _undelivered(patient) if event.get("created", 0) < before]
    since = contact.last_delivery_at.timestamp() if contact.last_delivery_at else 0.0
    ours = waiting if _is_alone(patient) else [event for event in waiting if event.get("created", 0) > since]
    if ours:
        kinds, number = ", ".join(sorted({str(event.get("type")) for event in ours})), count(len(ours), "event")
        yield wrong(f"Stripe could not deliver {number} ({kinds}); it last reached us: {last}.", mend)
    else:
        yield right(f"Stripe last reached us: {last}; of what is ours nothing waits for delivery.")


def _undelivered(patient: Patient) -> list[dict[str, Any]]:
    try:
        return patient.account.undelivered(patient.now() - LOOKS_BACK, list(READERS))
    except KeyRefused:
        raise CannotTell("Stripe does not know the key") from None
    except RightMissing:
        raise CannotTell("the key may not read events", f"give it read access to Events: {KEYS}") from None


def _is_alone(patient: Patient) -> bool:
    """Whether what could not be delivered was for us: Stripe does not say which of several endpoints failed."""
    try:
        return len([each for each in patient.account.endpoints() if each.get("status") == "enabled"]) <= 1
    except RightMissing:
        return False


def what_is_credited(patient: Patient) -> Iterator[Finding]:
    """Which links, prices and products sell credits, and whether Stripe knows them."""
    variables = {
        "CREDIT_PAYMENT_LINKS": patient.config.credit_payment_links,
        "CREDIT_PRICES": patient.config.credit_prices,
        "CREDIT_PRODUCTS": patient.config.credit_products,
    }
    if not patient.named.ids:
        yield right(_nothing_named(patient.config, " and ".join((", ".join(list(variables)[:2]), "CREDIT_PRODUCTS"))))
    for variable, ids in variables.items():
        for item_id in ids:
            yield _at_stripe(patient.stripe, variable, item_id)


def _nothing_named(config: Config, variables: str) -> str:
    if config.is_production:
        return f"{variables} name nothing: only this dashboard's own checkouts are credited."
    return (
        f"{variables} name nothing: in development every payment is credited, whatever was sold. "
        "In production none would be but this dashboard's own checkouts."
    )


def _at_stripe(stripe: Stripe, variable: str, item_id: str) -> Finding:
    try:
        item = stripe.find_catalogue_item(item_id)
    except PaymentsUnavailable:
        return unknown(f"{variable} names {item_id}; Stripe did not say whether that exists.")
    except DomainError as error:
        return unknown(f"{variable} names {item_id}; Stripe says: {error.message}")
    without = f"{variable}=<without {item_id}>"
    if item is None:
        return wrong(f"{variable} names {item_id}, which Stripe does not know for this STRIPE_SECRET_KEY.", without)
    if item.get("recurring"):
        return wrong(f"{variable} names {item_id}, a subscription: only one-time payments are credited.", without)
    if item.get("currency") not in (None, "usd"):
        return wrong(f"{variable} names {item_id} in {item['currency']}: only usd is credited.", without)
    if item.get("active") is False:
        return wrong(
            f"{variable} names {item_id}, which is switched off at Stripe: nobody can buy by it.",
            f"{without}, or switch it on in Stripe's dashboard",
        )
    return right(f"{variable} names {item_id}: what it sells is credited.")


def sales_that_are_not_ours(patient: Patient) -> Iterator[Finding]:
    """What operators have named for good, and what waits for a word of theirs."""
    for sale in patient.store.sales.every():
        if sale.decision == OURS:
            yield right(f"{sale.source} was named for good by an operator: what it sells is credited.")
    waiting = list_waiting(patient.store, patient.named)
    for sold in waiting:
        yield _undecided(patient, sold)
    if not waiting:
        yield right("Nothing was sold beside credits that waits for a decision.")


def _undecided(patient: Patient, waiting: Waiting) -> Finding:
    what = "Another program" if waiting.sale.source == ELSEWHERE else waiting.sale.source
    if waiting.named:
        return wrong(f"{what} is named, and payments by it still wait.", f"{FLASK} books reconcile")
    sold = f"{what} has sold something that is credited to nobody"
    if patient.now() - waiting.sale.first_seen_at > DECIDED_WITHIN:
        return wrong(f"{sold}, and for a day nobody has decided.", "decide at /admin/finance")
    return right(f"{sold}: operators have a day to decide at /admin/finance ({count(waiting.payments, 'payment')}).")


CHECKS = (
    Check("Stripe key", key),
    Check("Stripe rights", rights, seconds=30),
    Check("webhook endpoint", endpoint, before_release=False),
    Check("webhook deliveries", deliveries, before_release=False),
    Check("credited", what_is_credited, seconds=30),
    Check("other sales", sales_that_are_not_ours, before_release=False),
)
