"""Stripe's library, set up for our calls. Imported where the first call is made: it reads as much as Flask does, and
most processes never ask Stripe."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import stripe

from .bounded import bounded_session

# The library would otherwise write an identifier into the home directory and report timings.
stripe.enable_telemetry = False


class _Requests(stripe.RequestsClient):
    """Stripe's own, with a session of ours for each thread."""

    def request(self, *given: Any, **named: Any) -> Any:
        if getattr(self._thread_local, "session", None) is None:
            self._thread_local.session = bounded_session()
        return super().request(*given, **named)


def connect(
    secret_key: str, *, version: str, retries: int, timeout: tuple[float, float], api_base: str | None
) -> stripe.StripeClient:
    """`timeout`: seconds for the connection, and for a whole answer."""
    # A proxy named by the environment must not be asked for a host that is this machine.
    proxy = stripe.HTTPClient._Proxy(http="", https="") if api_base and _is_loopback(api_base) else None
    return stripe.StripeClient(
        secret_key,
        stripe_version=version,
        max_network_retries=retries,
        http_client=_Requests(timeout=timeout, verify_ssl_certs=True, proxy=proxy),
        base_addresses={"api": api_base.rstrip("/")} if api_base else {},
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
