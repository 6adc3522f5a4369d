"""What is right and wrong with a deployment, in sentences that name the setting. Each check is a function in CHECKS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from app.config import Config
from app.data import Store
from app.domain.errors import DomainError, PaymentsUnavailable
from app.domain.sales import ELSEWHERE, OURS, Named

from .sales import list_waiting
from .texts import Texts

OK, WARNING, FAULT = "ok", "warning", "fault"


class Stripe(Protocol):
    def find_catalogue_item(self, item_id: str) -> dict[str, Any] | None: ...


@dataclass(frozen=True, slots=True)
class Patient:
    """What the checks look at."""

    config: Config
    store: Store
    stripe: Stripe
    named: Named
    texts: Texts


@dataclass(frozen=True, slots=True)
class Finding:
    level: str
    sentence: str


def examine(patient: Patient) -> Iterator[Finding]:
    """Every finding, check by check; without its tables there is nothing more to look at."""
    for check in CHECKS:
        found = _findings(check, patient)
        yield from found
        if check is the_tables and any(finding.level == FAULT for finding in found):
            return


def _findings(check: Callable[[Patient], Iterator[Finding]], patient: Patient) -> list[Finding]:
    """What a check itself runs into is a finding too."""
    try:
        return list(check(patient))
    except DomainError as error:
        return [Finding(FAULT, f"{check.__name__.replace('_', ' ')}: {error.message}")]


def the_tables(patient: Patient) -> Iterator[Finding]:
    differences = patient.store.table_differences(ttl=True)
    for difference in differences:
        yield Finding(FAULT if difference.breaks else WARNING, f"TABLE_PREFIX: {difference}.")
    if not differences:
        yield Finding(OK, "The tables are there.")


def the_migrations(patient: Patient) -> Iterator[Finding]:
    for migration in patient.store.pending_migrations():
        yield Finding(WARNING, f"{migration} is pending: run `flask tables migrate` once the release before has ended.")


def what_is_credited(patient: Patient) -> Iterator[Finding]:
    """Which links, prices and products sell credits, and whether Stripe knows them."""
    variables = {
        "CREDIT_PAYMENT_LINKS": patient.config.credit_payment_links,
        "CREDIT_PRICES": patient.config.credit_prices,
        "CREDIT_PRODUCTS": patient.config.credit_products,
    }
    if not patient.named.ids:
        yield _nothing_named(patient.config, " and ".join((", ".join(list(variables)[:2]), "CREDIT_PRODUCTS")))
    for variable, ids in variables.items():
        for item_id in ids:
            yield _at_stripe(patient.stripe, variable, item_id)


def _nothing_named(config: Config, variables: str) -> Finding:
    if config.is_production:
        return Finding(OK, f"{variables} name nothing: only this dashboard's own checkouts are credited.")
    return Finding(
        WARNING,
        f"{variables} name nothing: in development every payment is credited, whatever was sold. "
        "In production none would be but this dashboard's own checkouts.",
    )


def _at_stripe(stripe: Stripe, variable: str, item_id: str) -> Finding:
    try:
        item = stripe.find_catalogue_item(item_id)
    except PaymentsUnavailable:
        return Finding(WARNING, f"{variable} names {item_id}; Stripe did not say whether that exists.")
    except DomainError as error:
        return Finding(WARNING, f"{variable} names {item_id}; Stripe says: {error.message}")
    if item is None:
        return Finding(FAULT, f"{variable} names {item_id}, which Stripe does not know for this STRIPE_SECRET_KEY.")
    if item.get("recurring"):
        return Finding(FAULT, f"{variable} names {item_id}, a subscription: only one-time payments are credited.")
    if item.get("currency") not in (None, "usd"):
        return Finding(FAULT, f"{variable} names {item_id} in {item['currency']}: only usd is credited.")
    if item.get("active") is False:
        return Finding(WARNING, f"{variable} names {item_id}, which is switched off at Stripe: nobody can buy by it.")
    return Finding(OK, f"{variable} names {item_id}: what it sells is credited.")


def sales_that_are_not_ours(patient: Patient) -> Iterator[Finding]:
    """What operators have named for good, and what waits for a word of theirs."""
    for sale in patient.store.sales.every():
        if sale.decision == OURS:
            yield Finding(OK, f"{sale.source} was named for good by an operator: what it sells is credited.")
    for waiting in list_waiting(patient.store, patient.named):
        what = "Another program" if waiting.sale.source == ELSEWHERE else waiting.sale.source
        if waiting.named:
            yield Finding(WARNING, f"{what} is named, and payments by it still wait: run `flask books reconcile`.")
        else:
            yield Finding(WARNING, f"{what} has sold something that is credited to nobody: decide at /admin/finance.")


def who_runs_it(patient: Patient) -> Iterator[Finding]:
    """Whether customers are told whom to write to and what holds between them and whoever runs this."""
    if not patient.config.is_production:
        return
    if not patient.config.support_email:
        yield Finding(WARNING, "SUPPORT_EMAIL is not set: where pages and mails say “write to us” no address stands.")
    for name in patient.texts.not_filled_in:
        yield Finding(WARNING, f"PAGES_DIR: there is no {name}.md, so /{name} says that it is not filled in yet.")
    if patient.config.support_email and not patient.texts.not_filled_in:
        yield Finding(
            OK, f"Customers write to {patient.config.support_email}; contact, terms and privacy are filled in."
        )


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    *(the_tables, the_migrations, what_is_credited, sales_that_are_not_ours, who_runs_it),
)
