"""Checks of Cloudflare in front, where its API may be asked: its settings, its rules, and the way that leads here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urlsplit

from app.domain.cloudflare import Difference
from app.domain.doctor import CannotTell, Finding, not_asked, right, wrong
from app.gateways.cloudflare import Refused, RightMissing, TokenRefused

from .. import cloudflare
from ..cloudflare import Api, Step
from .patient import Check, Patient

SET = "CLOUDFLARE_API_TOKEN=… CLOUDFLARE_ZONE=… scripts/edge settings"
OTHER = "CLOUDFLARE_API_TOKEN=<one with the rights that deploy/cloudflare/README.md names>"
Look = Callable[[Patient], Iterator[Finding]]


def settings(patient: Patient) -> Iterator[Finding]:
    yield from _findings(patient, lambda api: cloudflare.settings(api), "{} settings are as the table has them.")


def rules(patient: Patient) -> Iterator[Finding]:
    yield from _findings(patient, lambda api: cloudflare.rules(api, _host(patient)), "{} sets of rules stand as meant.")


def way(patient: Patient) -> Iterator[Finding]:
    yield from _findings(
        patient, lambda api: cloudflare.way(api, _host(patient)), "The record is proxied, and the Worker on its way."
    )


def _findings(patient: Patient, steps: Callable[[Api], Iterable[Step]], well: str) -> Iterator[Finding]:
    api = patient.cloudflare
    if api is None:
        yield not_asked("CLOUDFLARE_API_TOKEN and CLOUDFLARE_ZONE are not set: Cloudflare is not asked.")
        return
    looked, differences = 0, []
    try:
        for step in steps(api):
            looked += 1
            if difference := step.look():
                differences.append(difference)
    except TokenRefused:
        yield wrong("CLOUDFLARE_API_TOKEN: Cloudflare does not take it.", OTHER)
        return
    except RightMissing as reason:
        raise CannotTell(f"the token may not read that ({reason})", OTHER) from None
    except Refused as reason:
        raise CannotTell(f"Cloudflare says no ({reason})", "CLOUDFLARE_ZONE=<the zone's id or name>") from None
    for difference in differences:
        yield wrong(_sentence(difference), difference.by_hand or SET)
    if not differences:
        yield right(well.format(looked))


def _sentence(difference: Difference) -> str:
    return f"{difference.name} is {difference.is_}, not {difference.wanted}: {difference.why}."


def _host(patient: Patient) -> str:
    return urlsplit(patient.config.app_url).hostname or ""


CHECKS = tuple(
    Check(name, look, before_release=False, seconds=30)
    for name, look in {"Cloudflare settings": settings, "Cloudflare rules": rules, "Cloudflare way": way}.items()
)
