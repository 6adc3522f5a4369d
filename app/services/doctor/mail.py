"""Checks of SES: the sender's identity and DKIM, the sandbox, the day's quota, a pause, and the suppression list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.utils import parseaddr
from functools import wraps
from typing import Any

from app.domain.doctor import Finding, not_asked, right, wrong
from app.domain.text import plain_address

from .patient import Check, Patient

LEAST_LEFT = 0.1  # of the day's quota
SESV2 = "aws sesv2"
Look = Callable[[Patient], Iterator[Finding]]


def on_aws(look: Look) -> Look:
    """What a stand-in for SES has no word about that counts."""

    @wraps(look)
    def asked(patient: Patient) -> Iterator[Finding]:
        endpoint = patient.config.ses_endpoint_url
        if patient.is_local(endpoint):
            yield not_asked(f"SES is local ({endpoint}): its mails are read in the mailbox page and go nowhere.")
        else:
            yield from look(patient)

    return asked


def sender(patient: Patient) -> Iterator[Finding]:
    """Whether SES sends what comes from MAIL_FROM."""
    address, domain = _sender(patient)
    known = list(filter(None, map(patient.mail.identity, (address, domain))))
    if not known:
        mend = f"{SESV2} create-email-identity --email-identity {domain} --region {patient.config.aws_region}"
        yield wrong(f"MAIL_FROM: SES in {patient.config.aws_region} knows neither {address} nor {domain}.", mend)
    elif not any(identity.get("VerifiedForSendingStatus") for identity in known):
        mend = f"{SESV2} get-email-identity --email-identity {domain}, and put its DKIM records into the domain's DNS"
        yield wrong(
            f"MAIL_FROM: {domain} is not verified in {patient.config.aws_region}: SES refuses every mail.", mend
        )
    else:
        endpoint = patient.config.ses_endpoint_url
        where = f"Local SES at {endpoint}" if patient.is_local(endpoint) else f"SES in {patient.config.aws_region}"
        yield right(f"{where} sends mail from {address}.")


@on_aws
def dkim(patient: Patient) -> Iterator[Finding]:
    address, domain = _sender(patient)
    signed = [_dkim_of(patient.mail.identity(name)) for name in (address, domain)]
    if any(found.get("SigningEnabled") and found.get("Status") == "SUCCESS" for found in signed):
        yield right(f"Mails from {domain} are signed by DKIM.")
        return
    status = next((str(found["Status"]) for found in signed if found.get("Status")), "NOT_STARTED")
    mend = (
        f"{SESV2} put-email-identity-dkim-attributes --email-identity {domain} --signing-enabled"
        if status == "SUCCESS"
        else f"{SESV2} get-email-identity --email-identity {domain}, and put its three CNAME records into the DNS"
    )
    yield wrong(f"Mails from {domain} are not signed (DKIM: {status}): many mailboxes take them for spam.", mend)


@on_aws
def sandbox(patient: Patient) -> Iterator[Finding]:
    if patient.mail.sending().get("ProductionAccessEnabled"):
        yield right("The account is out of the SES sandbox: mail goes to anybody.")
        return
    details = "--production-access-enabled --mail-type TRANSACTIONAL --website-url"
    yield wrong(
        f"The account is in the SES sandbox of {patient.config.aws_region}: only verified addresses get mail.",
        f"{SESV2} put-account-details {details} {patient.config.app_url}",
    )


@on_aws
def sending(patient: Patient) -> Iterator[Finding]:
    """Whether SES, or somebody, has paused the account."""
    account = patient.mail.sending()
    status = account.get("EnforcementStatus")
    if not account.get("SendingEnabled"):
        sentence = f"SES sends nothing for this account (status {status})."
        yield wrong(sentence, f"{SESV2} put-account-sending-attributes --sending-enabled, once AWS has no objection")
    elif status not in (None, "HEALTHY"):
        yield wrong(f"SES reviews this account (status {status}).", "answer AWS's mail in the SES console, Reputation")
    else:
        yield right("SES sends for this account, and has no objection.")


@on_aws
def quota(patient: Patient) -> Iterator[Finding]:
    told = patient.mail.sending()["SendQuota"]
    most, sent = int(told.get("Max24HourSend", 0)), int(told.get("SentLast24Hours", 0))
    if most < 0:
        yield right("SES sets no quota.")
    elif most - sent < most * LEAST_LEFT or most == 0:
        sentence = f"{max(most - sent, 0):,} of the day's {most:,} mails are left: then mails wait."
        yield wrong(sentence, "ask for more: SES console, Account dashboard, Request a limit increase")
    else:
        yield right(f"{most - sent:,} of the day's {most:,} mails are left.")


@on_aws
def suppression(patient: Patient) -> Iterator[Finding]:
    """Whether SES keeps mail from ourselves, and how many addresses it delivers nothing to."""
    listed, more = patient.mail.suppressed()
    for address in sorted(_ours(patient) & set(map(plain_address, listed))):
        yield wrong(
            f"{address} is on the suppression list of SES: it gets no mail from here.",
            f"{SESV2} delete-suppressed-destination --email-address {address}",
        )
    if not _ours(patient) & set(map(plain_address, listed)):
        number = f"{len(listed):,}{' and more' if more else ''}"
        yield right(f"The suppression list holds {number} addresses, of those looked at none of ours.")


def _sender(patient: Patient) -> tuple[str, str]:
    address = parseaddr(patient.config.mail_from)[1]
    return address, address.rpartition("@")[2]


def _ours(patient: Patient) -> set[str]:
    config = patient.config
    return set(filter(None, (_sender(patient)[0], config.support_email, config.admin_email)))


def _dkim_of(identity: dict[str, Any] | None) -> dict[str, Any]:
    return (identity or {}).get("DkimAttributes") or {}


CHECKS = (
    Check("mail sender", sender),
    Check("mail DKIM", dkim),
    Check("mail sandbox", sandbox, before_release=False),
    Check("mail sending", sending),
    Check("mail quota", quota, before_release=False),
    Check("mail suppression", suppression),
)
