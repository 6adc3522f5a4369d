"""Checks of our own secrets: are they strong, each used once, and how long have they been in use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from app.config import Config, flaw_of_secret
from app.domain.doctor import Finding, not_asked, right, wrong

from ..signing import derive_key
from .patient import Check, Patient

OLDEST = timedelta(days=400)  # a year, and time to do it
MAKE = "openssl rand -hex 32"


def named(config: Config) -> Iterator[tuple[str, str, int]]:
    """Each secret: what it is called, its random part, and how long that must be."""
    for place, secret in enumerate(config.jwt_secrets, 1):
        yield _numbered("JWT_SECRET", place, len(config.jwt_secrets)), secret, 32
    for place, secret in enumerate(config.stripe_webhook_secrets, 1):
        name = _numbered("STRIPE_WEBHOOK_SECRET", place, len(config.stripe_webhook_secrets))
        yield name, secret.removeprefix("whsec_"), 24
    for place, secret in enumerate(config.edge_secrets, 1):
        yield _numbered("EDGE_SECRETS", place, len(config.edge_secrets)), secret, 32
    yield "STRIPE_SECRET_KEY", config.stripe_secret_key[8:], 16
    if config.metrics_token:
        yield "METRICS_TOKEN", config.metrics_token, 32


def strength(patient: Patient) -> Iterator[Finding]:
    flaws = {name: flaw for name, secret, least in named(patient.config) if (flaw := flaw_of_secret(secret, least))}
    if not flaws:
        yield right("Every secret is long and random, as far as can be seen.")
    elif not patient.config.is_production:
        yield not_asked(f"{', '.join(flaws)} would not do in production.")
    else:
        for name, flaw in flaws.items():
            yield wrong(f"{name} {flaw}.", _roll(name))


def one_use(patient: Patient) -> Iterator[Finding]:
    """A secret that Stripe knows must not sign our sessions, and one of ours must not stand twice."""
    seen: dict[str, str] = {}
    twice = [(name, seen[secret]) for name, secret, _ in named(patient.config) if seen.setdefault(secret, name) != name]
    for name, other in twice:
        yield wrong(f"{name} is the same as {other}.", _roll(name))
    if not twice:
        yield right("No secret is used for two things.")


def age(patient: Patient) -> Iterator[Finding]:
    """Counted from the first finding that was kept with it: nothing else says when a secret was made."""
    kept, now = patient.store.doctor.find(), patient.now()
    if kept is None or not kept.secrets:
        yield not_asked("It is counted from the first examination that is kept: flask doctor --keep.")
        return
    since = {name: kept.secret_since(fingerprint(secret)) or now for name, secret, _ in named(patient.config)}
    ages = {name: now - moment for name, moment in since.items()}
    old = {name: time for name, time in ages.items() if time > OLDEST}
    for name, time in old.items():
        yield wrong(f"{name} has been in use for {time.days} days.", _roll(name))
    if not old:
        yield right(f"The oldest secret has been in use for {max(ages.values()).days} days.")


def fingerprint(secret: str) -> str:
    """What a secret is known by again, and nothing of it can be learned from."""
    return derive_key(secret, "doctor: age of a secret")[:16]


def _roll(name: str) -> str:
    if name.startswith("JWT_SECRET"):
        return f"JWT_SECRET=<{MAKE}>,<the old one for 30 days> (docs/security.md)"
    if name.startswith("EDGE_SECRETS"):
        return f"EDGE_SECRETS=<{MAKE}>,<the old one>, then the Worker's EDGE_SECRET (deploy/cloudflare/README.md)"
    if name.startswith("STRIPE_WEBHOOK_SECRET"):
        return "roll the endpoint's secret in Stripe's dashboard: STRIPE_WEBHOOK_SECRET=<new>,<old> (docs/stripe.md)"
    if name == "METRICS_TOKEN":
        return f"METRICS_TOKEN=<{MAKE}>, and the same in Prometheus (docs/metrics.md)"
    return "roll the key in Stripe's dashboard: STRIPE_SECRET_KEY=<new> (docs/stripe.md)"


def _numbered(name: str, place: int, of: int) -> str:
    return name if of == 1 else f"{name} ({place} of {of})"


CHECKS = (Check("secrets", strength), Check("secrets used once", one_use), Check("secrets' age", age))
