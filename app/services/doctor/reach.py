"""Checks of the public address: does it lead here, over how many proxies, with cookies and headers as sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from app.domain.doctor import CannotTell, Finding, not_asked, right, wrong
from app.domain.formatting import count
from app.gateways.own_address import Answer, Unreachable

from ..edge import ITS_SECRET, ITS_TIME, MISSING, SIGNED, UNASKED, UNREADABLE
from ..release import NOBODYS, Looks, deployment, release
from .patient import Check, Patient

AS_SEEN = "/healthz/as-seen"
LOOK_HEADER = "X-Doctors-Look"
CLOUDFLARE = "deploy/cloudflare/README.md"
UNSIGNED = {
    MISSING: (
        "a request comes without the edge's signature: the Worker is not on the way.",
        "npx wrangler deploy in deploy/cloudflare/worker, or unset EDGE_SECRETS",
    ),
    UNREADABLE: ("the edge's signature cannot be read.", "npx wrangler deploy in deploy/cloudflare/worker"),
    ITS_SECRET: (
        "the Worker signs with a secret that is none of ours.",
        f"npx wrangler secret put EDGE_SECRET, with one that EDGE_SECRETS holds ({CLOUDFLARE})",
    ),
    ITS_TIME: ("the edge's time and this machine's are minutes apart.", "mend this machine's time service"),
}


def address(patient: Patient) -> Iterator[Finding]:
    """Whether APP_URL leads to this release of this deployment."""
    url = patient.config.app_url
    try:
        answer = _as_seen(patient)
    except Unreachable as reason:
        yield wrong(
            f"APP_URL: {url} cannot be reached, {reason}.", f"start the web server, mend DNS, or APP_URL=<{url}>"
        )
        return
    told = _told(answer)
    if answer.status >= 500 and told is None:
        yield wrong(f"APP_URL: {url} answers with {answer.status}.", f"the web server's log; curl {url}/readyz")
    elif told is None:
        yield wrong(
            f"APP_URL: {url} leads to another program, an earlier release, or one with other secrets.",
            "APP_URL=<the address of this deployment>, or release this one",
        )
    elif told.get("deployment") != deployment(patient.config):
        yield wrong(f"APP_URL: {url} leads to a deployment with other tables.", "APP_URL=<this one's>, or TABLE_PREFIX")
    elif told.get("release") != release():
        yield wrong(f"APP_URL: {url} leads to another release than this one.", "release this one, or wait for its end")
    else:
        yield right(f"{url} leads to this very release.")


def proxies(patient: Patient) -> Iterator[Finding]:
    """How many proxies are on the way, beside TRUSTED_PROXIES."""
    told = _told(_reached(patient))
    if told is None or not isinstance(told.get("proxies"), int):
        raise CannotTell("what answers at APP_URL does not say how a request came")
    if told.get("edge") == SIGNED:
        yield right("The edge signs the visitor's address: no proxy is counted.")
        return
    seen, trusted = told["proxies"], patient.config.trusted_proxies
    on_the_way = f"{count(seen, 'proxy', 'proxies')} on the way, and TRUSTED_PROXIES is {trusted}"
    if seen < trusted:
        yield wrong(f"{on_the_way}: visitors choose the address that limits count them by.", f"TRUSTED_PROXIES={seen}")
    elif seen > trusted:
        yield wrong(
            f"{on_the_way}: all visitors seem to have one address, a proxy's, and share its limits.",
            f"TRUSTED_PROXIES={seen}",
        )
    else:
        yield right(f"{on_the_way}.")


def edge(patient: Patient) -> Iterator[Finding]:
    """Whether what comes over the public address carries the edge's signature, where that is asked for."""
    if not patient.config.edge_secrets:
        told = _told(_reached(patient)) if patient.config.is_production else None
        comes = (told or {}).get("edge") == UNASKED
        also = "a signature comes with each request, so it can be" if comes else "X-Forwarded-For says who asks"
        yield not_asked(f"EDGE_SECRETS is not set: {also}.")
        return
    why = (_told(_reached(patient)) or {}).get("edge")
    if why == SIGNED:
        yield right("The edge signs whose a request is, and nothing else is let in.")
    elif why in UNSIGNED:
        sentence, mend = UNSIGNED[why]
        yield wrong(f"EDGE_SECRETS: {sentence} Every visitor is refused.", mend)
    else:
        raise CannotTell("what answers at APP_URL does not say how a request came")


def cookies(patient: Patient) -> Iterator[Finding]:
    """The session's cookie as it arrives outside."""
    config = patient.config
    if not config.app_url.startswith("https://") and not config.is_production:
        yield not_asked(f"APP_URL is {config.app_url}: over http no cookie is Secure.")
        return
    sent = [cookie for cookie in _page(patient).cookies if cookie.partition("=")[0] in ("session", "__Host-session")]
    if not sent:
        raise CannotTell("the page to sign in came without the session's cookie")
    parts = {part.strip().lower() for part in sent[0].split(";")[1:]}
    lacking = [flag for flag in ("Secure", "HttpOnly", "SameSite=Lax") if flag.lower() not in parts]
    if not sent[0].startswith("__Host-"):
        lacking.append("the name __Host-session")
    if lacking:
        mend = "APP_ENV=production" if not config.is_production else f"what rewrites cookies on the way: {CLOUDFLARE}"
        yield wrong(f"The session's cookie lacks {', '.join(lacking)}: others may read or set it.", mend)
    else:
        yield right("The session's cookie is Secure, HttpOnly and bound to this host.")


def headers(patient: Patient) -> Iterator[Finding]:
    """The policy as it arrives outside."""
    page = _page(patient)
    if page.status != 200:
        raise CannotTell(f"the page to sign in answers with {page.status}")
    changed = [name for name, value in patient.headers.items() if page.headers.get(name) != value]
    if changed:
        yield wrong(
            f"On the way {', '.join(changed)} is taken away or changed.", f"turn off what does it: {CLOUDFLARE}"
        )
    else:
        yield right("The content security policy and what goes with it arrive as they were sent.")


def _as_seen(patient: Patient) -> Answer:
    look = Looks(patient.config.jwt_secrets).make()
    return patient.address.ask(AS_SEEN, {LOOK_HEADER: look, "X-Forwarded-For": NOBODYS})


def _reached(patient: Patient) -> Answer:
    try:
        return _as_seen(patient)
    except Unreachable as reason:
        raise CannotTell(f"{patient.config.app_url} cannot be reached, {reason}") from None


def _page(patient: Patient) -> Answer:
    try:
        return patient.address.ask("/login")
    except Unreachable as reason:
        raise CannotTell(f"{patient.config.app_url} cannot be reached, {reason}") from None


def _told(answer: Answer) -> dict[str, Any] | None:
    """What this app says there; None for whatever else."""
    try:
        told = json.loads(answer.body) if answer.status == 200 else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and "release" in told else None


CHECKS = tuple(
    Check(name, look, before_release=False, seconds=25)
    for name, look in {
        "public address": address,
        "proxies": proxies,
        "edge": edge,
        "cookies": cookies,
        "policy headers": headers,
    }.items()
)
