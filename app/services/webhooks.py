"""Webhook endpoints: made, changed, paused and removed by the owner of an account, and what was sent to them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from app.data import Store
from app.data.client import Stale
from app.data.store import Transaction
from app.data.transaction import optimistic
from app.domain import webhooks as rules
from app.domain.accounts import Account, mask_email
from app.domain.errors import AddressUnconfirmed, InvalidInput, NotFound, NotSignedIn, WrongState
from app.domain.paging import Page
from app.domain.receivers import target_of
from app.domain.webhooks import BY_OWNER, BY_SECRET, MAX_ENDPOINTS, OLD_SECRET_FOR, Delivery, Endpoint
from app.gateways.receivers import NoWay, Receivers
from app.telemetry.spans import verb

from .account_notices import changed
from .sealing import Sealer

log = logging.getLogger(__name__)

RESUMED_AT_ONCE = 25  # deliveries; the sender goes on with the rest as these are done
SHOWN_WAITING = 100
ERASED_AT_ONCE = 300  # deliveries


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an owner gives of an endpoint."""

    url: str
    types: tuple[str, ...]
    name: str = ""


def alive(store: Store, account: Account) -> list[Endpoint]:
    """Those that the account's row names, oldest first; read consistently."""
    found = store.webhooks.find_endpoints(sorted(account.webhooks))
    return sorted(found, key=lambda one: (one.created_at, one.endpoint_id))


def find_own(store: Store, account: Account, endpoint_id: str) -> Endpoint:
    """Raises NotFound, also for somebody else's and for one that has ended."""
    endpoint = store.webhooks.find_endpoint(endpoint_id) if endpoint_id in account.webhooks else None
    if endpoint is None or endpoint.account_id != account.account_id:
        raise NotFound("There is no such webhook endpoint.")
    return endpoint


@verb
def make(
    store: Store, sealer: Sealer, receivers: Receivers, account: Account, wanted: Wishes, *, now: datetime
) -> tuple[Endpoint, str]:
    """An endpoint, and its secret in the clear. Its owner is told by mail; the caller has checked the password.

    Raises InvalidInput with the field, AddressUnconfirmed, NotSignedIn where the sessions were ended meanwhile, and
    WrongState beyond MAX_ENDPOINTS. A URL that the account has already is refused, so that a form sent twice makes one.
    """
    url = _reachable(receivers, wanted.url)
    types, name = rules.check_types(wanted.types), rules.check_name(wanted.name)
    secret = rules.new_secret()
    endpoint = Endpoint(
        endpoint_id=rules.new_endpoint_id(),
        account_id=account.account_id,
        user_email=account.email,
        url=url,
        types=types,
        created_at=now,
        secret=sealer.seal(secret),
        name=name,
    )

    def attempt(current: Account) -> None:
        if not current.confirmed:
            raise AddressUnconfirmed
        if current.session_version != account.session_version or current.disabled or current.deleted_at:
            raise NotSignedIn
        others = alive(store, current)
        if len(current.webhooks) >= MAX_ENDPOINTS:
            raise WrongState(f"An account has at most {MAX_ENDPOINTS} webhook endpoints. Remove one first.")
        if any(other.url == url for other in others):
            raise InvalidInput("You have an endpoint with this address already.", field="url")
        named = {**current.webhooks, endpoint.endpoint_id: " ".join(types)}

        def add(tx: Transaction) -> None:
            tx.webhooks.add_endpoint(endpoint)
            tx.accounts.change_settings(current, confirmed=True, same_sessions=True, still="webhooks", webhooks=named)

        what = f"A webhook endpoint was made: we send events of your account to {url[8:]}."
        changed(store, current, what, now, add)

    store.accounts.decide(account, attempt)
    log.info("webhook endpoint made", extra=_about(account, endpoint))
    return endpoint, secret


@verb
def change(
    store: Store, receivers: Receivers, account: Account, endpoint_id: str, wanted: Wishes, *, now: datetime
) -> Endpoint:
    """Its address, its events and its name; its secret stays, and what waits goes to the new address.

    Another address is told by mail, and the caller has checked the password for it. Raises NotFound, InvalidInput.
    """
    types, name = rules.check_types(wanted.types), rules.check_name(wanted.name)
    first = find_own(store, account, endpoint_id)
    url = first.url if wanted.url == first.url else _reachable(receivers, wanted.url)

    def attempt(current: Account) -> None:
        endpoint = find_own(store, current, endpoint_id)
        if any(other.url == url and other.endpoint_id != endpoint_id for other in alive(store, current)):
            raise InvalidInput("You have an endpoint with this address already.", field="url")

        def write(tx: Transaction) -> None:
            tx.webhooks.change_endpoint(endpoint, url=url, types=types, name=name or None)
            named = {**current.webhooks, endpoint_id: " ".join(types)}
            tx.accounts.change_settings(current, confirmed=True, still="webhooks", webhooks=named)

        if url == endpoint.url:
            with store.transaction() as tx:
                write(tx)
        else:
            changed(store, current, f"A webhook endpoint was changed: events now go to {url[8:]}.", now, write)

    store.accounts.decide(account, attempt)
    log.info("webhook endpoint changed", extra=_about(account, first))
    return find_own(store, store.accounts.get(account.email), endpoint_id)


@verb
def remove(store: Store, account: Account, endpoint_id: str, *, now: datetime) -> None:
    """Nothing is sent to it any more, not what waits either; its log goes with it, a long one by and by.

    Raises NotFound.
    """
    endpoint = find_own(store, account, endpoint_id)

    def attempt(current: Account) -> None:
        left = {key: types for key, types in current.webhooks.items() if key != endpoint_id}
        with store.transaction() as tx:
            tx.accounts.change_settings(current, still="webhooks", webhooks=left or None)
            tx.webhooks.end_endpoint(endpoint_id, now)

    store.accounts.decide(account, attempt)
    log.info("webhook endpoint removed", extra=_about(account, endpoint))
    erase(store, store.accounts.get(account.email))


@verb
def rotate(store: Store, sealer: Sealer, account: Account, endpoint_id: str, *, now: datetime) -> tuple[Endpoint, str]:
    """A new secret, and it in the clear; for a day both sign, so that receivers can change over. Raises NotFound."""
    secret = rules.new_secret()
    sealed = sealer.seal(secret)

    def write(endpoint: Endpoint, tx: Transaction) -> None:
        old = endpoint.secret if sealer.open(endpoint.secret) else None
        tx.webhooks.change_endpoint(
            endpoint, secret=sealed, old_secret=old, old_until=now + OLD_SECRET_FOR if old else None
        )

    endpoint = _changed(store, account, endpoint_id, write)
    if endpoint.paused_by == BY_SECRET:
        resume(store, account, endpoint_id, now=now)
    log.info("webhook secret rotated", extra=_about(account, endpoint))
    return endpoint, secret


def reveal(store: Store, sealer: Sealer, account: Account, endpoint_id: str) -> str:
    """The secret in the clear; the caller has checked the password. Raises NotFound, WrongState."""
    secret = sealer.open(find_own(store, account, endpoint_id).secret)
    if secret is None:
        raise WrongState("This secret can no longer be read here: make a new one.")
    return secret


@verb
def pause(store: Store, account: Account, endpoint_id: str, *, now: datetime) -> Endpoint:
    """What happens from now on waits, for as long as a delivery is kept. Safe to repeat. Raises NotFound."""

    def attempt(endpoint: Endpoint) -> None:
        if not endpoint.paused:
            with store.transaction() as tx:
                tx.webhooks.pause_endpoint(endpoint, BY_OWNER, now)

    return _decided(store, account, endpoint_id, attempt)


@verb
def resume(store: Store, account: Account, endpoint_id: str, *, now: datetime) -> Endpoint:
    """Go on with what waits, the oldest first. Safe to repeat. Raises NotFound."""

    def attempt(endpoint: Endpoint) -> None:
        if endpoint.paused or endpoint.rest_until:
            with store.transaction() as tx:
                tx.webhooks.change_endpoint(
                    endpoint,
                    **dict.fromkeys(["paused_at", "paused_by", "failing_since", "failures", "rest_until"]),
                    resumed_at=now,
                )

    endpoint = _decided(store, account, endpoint_id, attempt)
    for one in store.webhooks.list_waiting(endpoint_id, limit=RESUMED_AT_ONCE):
        store.updates.webhooks.make_due(one, now)
    return endpoint


@verb
def test(store: Store, account: Account, endpoint_id: str, *, now: datetime) -> Delivery:
    """Send an event that means nothing. Raises NotFound, and WrongState for one that is paused."""
    endpoint = find_own(store, account, endpoint_id)
    _check_going(endpoint)
    event = rules.test_event(now)
    with store.transaction() as tx:
        tx.webhooks.promise(event, endpoint_id)
    return rules.delivery_of(event, endpoint_id)


@verb
def send_again(store: Store, account: Account, endpoint_id: str, delivery_id: str, *, now: datetime) -> Delivery:
    """With the same id, whatever became of it. Raises NotFound, and WrongState while it waits or for a paused one."""
    endpoint, delivery = find_delivery(store, account, endpoint_id, delivery_id)
    _check_going(endpoint)
    if delivery.waiting:
        raise WrongState("This event is on its way already.")
    with store.transaction() as tx:
        tx.webhooks.send_again(delivery, now)
    return store.webhooks.find(delivery.lane, delivery.place) or delivery


def find_delivery(store: Store, account: Account, endpoint_id: str, delivery_id: str) -> tuple[Endpoint, Delivery]:
    """Raises NotFound."""
    endpoint = find_own(store, account, endpoint_id)
    delivery = store.webhooks.find(*rules.place_of(endpoint_id, delivery_id))
    if delivery is None:
        raise NotFound("There is no such delivery.")
    return endpoint, delivery


def deliveries(
    store: Store, account: Account, endpoint_id: str, *, limit: int, cursor: str | None = None
) -> Page[Delivery]:
    """Newest first. Raises NotFound, BadCursor."""
    find_own(store, account, endpoint_id)
    return store.webhooks.page(endpoint_id, limit=limit, cursor=cursor)


def count_waiting(store: Store, endpoint: Endpoint) -> int:
    """Up to SHOWN_WAITING."""
    return len(store.webhooks.list_waiting(endpoint.endpoint_id, limit=SHOWN_WAITING))


def erase(store: Store, account: Account) -> None:
    """Endpoints that the account names no more, and what was sent to them, as much as a request has time for.

    Safe to repeat; what is left goes by its time to live.
    """
    left = ERASED_AT_ONCE
    for endpoint_id in list(store.webhooks.ids_of(account.account_id)):
        if endpoint_id not in account.webhooks and left > 0:
            left -= store.updates.webhooks.remove_deliveries(endpoint_id, limit=left)
            if left > 0:
                store.updates.webhooks.remove_endpoint(endpoint_id)


def _check_going(endpoint: Endpoint) -> None:
    if endpoint.paused:
        raise WrongState("This endpoint is paused: resume it first.")


def _reachable(receivers: Receivers, url: str) -> str:
    target = target_of(url)
    try:
        receivers.find(target)
    except NoWay as error:
        raise InvalidInput(str(error), field="url") from error
    return target.url


def _changed(
    store: Store, account: Account, endpoint_id: str, write: Callable[[Endpoint, Transaction], None]
) -> Endpoint:
    def attempt(endpoint: Endpoint) -> None:
        with store.transaction() as tx:
            write(endpoint, tx)

    return _decided(store, account, endpoint_id, attempt)


def _decided(store: Store, account: Account, endpoint_id: str, attempt: Callable[[Endpoint], None]) -> Endpoint:
    """Decide on the endpoint as it is; returns it as it is then."""

    def read(_stale: Stale | None = None) -> Endpoint:
        return find_own(store, account, endpoint_id)

    optimistic(endpoint_id, attempt, read(), read)
    return read()


def _about(account: Account, endpoint: Endpoint) -> dict[str, str]:
    return {"email": mask_email(account.email), "endpoint_id": endpoint.endpoint_id}
