"""What Stripe says of our account, for the doctor: whose the key is, what it may read, and where events are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.domain.doctor import CannotTell

if TYPE_CHECKING:
    import stripe

PAGE_SIZE = 100


class KeyRefused(Exception):
    """Stripe does not take the key at all."""


class RightMissing(Exception):
    """The key is known and may not read this."""


class StripeAccount:
    """Each raises KeyRefused, RightMissing, and CannotTell where Stripe does not answer."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._client = client

    def who(self) -> dict[str, Any]:
        """The account that the key belongs to: `id`, and `charges_enabled` where that is told."""
        with _said():
            return _dict(self._client.v1.accounts.retrieve_current())

    def endpoints(self) -> list[dict[str, Any]]:
        """Webhook endpoints of the key's mode: `url`, `status`, `enabled_events`, `api_version`."""
        with _said():
            return [_dict(each) for each in self._client.v1.webhook_endpoints.list(params={"limit": PAGE_SIZE}).data]

    def undelivered(self, since: datetime, types: list[str]) -> list[dict[str, Any]]:
        """Events of these types since then that some endpoint has not taken, newest first, at most 100."""
        with _said():
            page = self._client.v1.events.list(
                params={
                    "created": {"gte": int(since.timestamp())},
                    "delivery_success": False,
                    "types": types,
                    "limit": PAGE_SIZE,
                }
            )
            return [_dict(each) for each in page.data]

    def unreadable(self) -> list[str]:
        """What the app reads and this key may not, in the words of Stripe's dashboard."""
        return [name for name, read in self._reads().items() if not _may(read)]

    def _reads(self) -> Mapping[str, Callable[[], object]]:
        v1, one = self._client.v1, 1
        return {
            "Customers": lambda: v1.customers.list(params={"limit": one}),
            "Checkout Sessions": lambda: v1.checkout.sessions.list(params={"limit": one}),
            "Refunds": lambda: v1.refunds.list(params={"limit": one}),
            "Payment Intents": lambda: v1.payment_intents.list(params={"limit": one}),
            "Charges": lambda: v1.charges.list(params={"limit": one}),
            "Disputes": lambda: v1.disputes.list(params={"limit": one}),
            "Payment Links": lambda: v1.payment_links.list(params={"limit": one}),
            "Prices": lambda: v1.prices.list(params={"limit": one}),
            "Products": lambda: v1.products.list(params={"limit": one}),
        }


def _may(read: Callable[[], object]) -> bool:
    try:
        with _said():
            read()
    except RightMissing:
        return False
    return True


@contextmanager
def _said() -> Iterator[None]:
    """Never with Stripe's message, which may quote the key."""
    import stripe  # where it is used: app/gateways/stripe_client.py

    try:
        yield
    except stripe.AuthenticationError as error:
        raise KeyRefused from error
    except stripe.PermissionError as error:
        raise RightMissing from error
    except stripe.StripeError as error:
        status = f", status {error.http_status}" if error.http_status else ""
        raise CannotTell(f"Stripe does not answer ({type(error).__name__}{status})") from error


def _dict(answer: stripe.StripeObject) -> dict[str, Any]:
    told = answer.to_dict(for_json=True)
    if not told.get("id"):
        raise CannotTell("something else answers in the place of Stripe")
    return told
