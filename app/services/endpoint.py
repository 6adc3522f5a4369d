"""Whether Stripe's word can reach us: the endpoint that is registered there, and what arrives from it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from app.config import Config
from app.domain.payments import READERS
from app.gateways.stripe import API_VERSION
from app.telemetry.instruments import WRONG_SIGNATURES

log = logging.getLogger(__name__)

PATH = "/api/stripe/webhook"
WHERE = "Stripe: Workbench, Webhooks"


class Endpoints(Protocol):
    def list_webhook_endpoints(self) -> Iterable[Mapping[str, Any]]: ...


def url_of(config: Config) -> str | None:
    """Where Stripe must send events; None where `stripe listen` brings them, without an endpoint at Stripe."""
    if config.is_production or config.stripe_api_base:
        return f"{config.app_url}{PATH}"
    return None


def troubles(stripe: Endpoints, url: str, *, livemode: bool) -> list[str]:
    """What is wrong with the endpoint that leads to `url`, a sentence each; none when all is well.

    Raises PaymentsUnavailable when Stripe does not answer, and KeyLacksRight when the key may not ask.
    """
    here = [one for one in stripe.list_webhook_endpoints() if one.get("url") == url]
    enabled = [one for one in here if one.get("status") == "enabled"]
    mode = "live" if livemode else "test"
    if not here:
        return [f"No endpoint of {mode} mode at Stripe leads to {url}: nothing is told to us. Add it ({WHERE})."]
    if not enabled:
        return [f"The endpoint {here[0].get('id')} is disabled at Stripe: nothing is told to us. Enable it ({WHERE})."]
    found = [sentence for one in enabled for sentence in _of_one(one)]
    if len(enabled) > 1:
        names = ", ".join(str(one.get("id")) for one in enabled)
        found.append(
            f"{len(enabled)} endpoints lead here ({names}): each has a secret of its own. Disable all but one."
        )
    return found


def _of_one(endpoint: Mapping[str, Any]) -> list[str]:
    name, found = endpoint.get("id"), []
    if lacking := not_told(endpoint):
        found.append(f"The endpoint {name} is not told of {', '.join(lacking)}. Add them ({WHERE}).")
    version = endpoint.get("api_version")
    if version != API_VERSION:
        said = f"events of version {version}" if version else "events of the account's default version"
        found.append(f"The endpoint {name} sends {said}; this release reads {API_VERSION}. Make one of that ({WHERE}).")
    return found


def not_told(endpoint: Mapping[str, Any]) -> list[str]:
    """Kinds of events that are read here, and that this endpoint does not send."""
    asked = set(endpoint.get("enabled_events") or ())
    return [] if "*" in asked else sorted(READERS.keys() - asked)


def note_event(event: Mapping[str, Any], *, livemode: bool) -> None:
    """An event that was signed for us and is of another version or mode than ours: told in the log, for the alarm."""
    version, live = event.get("api_version"), event.get("livemode")
    about = {"event_id": str(event.get("id"))[:100], "type": str(event.get("type"))[:100]}
    if isinstance(version, str) and version != API_VERSION:
        said = {"api_version": version[:40], "read": API_VERSION}
        log.warning("a webhook of another API version", extra={"alert": "webhook"} | about | said)
    if isinstance(live, bool) and live is not livemode:
        modes = {"livemode": live, "expected": livemode}
        log.warning("a webhook of the other mode", extra={"alert": "webhook", **about, **modes})


def note_no_event(signature_header: str | None) -> None:
    """A webhook that came with a signature and is no event that can be read, such as one of Stripe's thin ones."""
    if signature_header:
        log.warning("a webhook that is no event", extra={"alert": "webhook"})


def note_wrong_signature(signature_header: str | None, why: str) -> None:
    """A webhook whose signature nobody of ours made. Stripe always sends one: without any it was somebody else."""
    if signature_header:
        WRONG_SIGNATURES.add(why=why)
        log.warning("a webhook that nothing proves", extra={"alert": "webhook", "why": why})
