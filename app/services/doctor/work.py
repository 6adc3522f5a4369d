"""Checks of what should happen: scheduled commands, mails, tasks, parked payments, the books."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from time import monotonic, sleep

from app.domain.doctor import Finding, not_asked, right, wrong
from app.domain.formatting import count, elapsed
from app.domain.heartbeats import SCHEDULED, CommandEnd
from app.domain.tasks import PENDING
from app.domain.webhooks import BY_FAILURE, BY_GONE, BY_SECRET

from ..waiting import LATE, LATE_WEBHOOK, longest_waiting, overdue_webhook, paused_endpoints
from .patient import FLASK, Check, Patient

TASK_WAITS = timedelta(days=1)
PAYMENT_WAITS = timedelta(days=1)
BOOKS_CHECKED = timedelta(hours=26)
SENDER_SECONDS = 8.0  # within which a sender at work sends the oldest mail


def scheduled_commands(patient: Patient) -> Iterator[Finding]:
    """When each last ended, and how."""
    if not patient.config.is_production:
        yield not_asked("In development nothing runs by the clock.")
        return
    ends, now = patient.store.heartbeats.command_ends(list(SCHEDULED)), patient.now()
    ill = {command: why for command in SCHEDULED if (why := _why_ill(command, ends.get(command), now))}
    for command, why in ill.items():
        yield wrong(f"{command} {why}.", f"{FLASK} {command}; its schedule is in deploy/aws/service.yaml")
    if not ill:
        yield right("Every scheduled command has ended well, and lately.")


def _why_ill(command: str, end: CommandEnd | None, now: datetime) -> str:
    if end is None:
        return "has never ended"
    if now - end.ended_at > SCHEDULED[command]:
        return f"last ended {_ago(now, end.ended_at)} ago"
    return f"ended with {end.status}, {_ago(now, end.ended_at)} ago" if end.status else ""


def oldest_mail(patient: Patient) -> Iterator[Finding]:
    """How long the oldest mail has waited, and what SES says where it takes none."""
    trouble, now = patient.store.mails.trouble(), patient.now()
    if trouble:
        yield wrong(
            f"SES takes no mail since {_ago(now, trouble.since)}: {trouble.reason}",
            "what it says, at AWS; then mails go by themselves (/admin/mails)",
        )
        return
    oldest = longest_waiting(patient.store)
    if oldest is None:
        yield right("No mail waits.")
        return
    waited = f"The oldest mail has waited for {_ago(now, oldest.waiting_since)}"
    if now - oldest.waiting_since <= LATE:
        yield right(f"{waited}.")
    elif _is_sent_meanwhile(patient, oldest.mail_id):
        yield right(f"{waited}, and is sent now: the sender works off what has gathered.")
    else:
        yield wrong(f"{waited}.", f"start the mail sender: {FLASK} mail send --watch; why is at /admin/mails")


def _is_sent_meanwhile(patient: Patient, mail_id: str) -> bool:
    """Whether a sender is at work on it: after an outage there is much to send, and that is no fault any more."""
    ends = monotonic() + SENDER_SECONDS
    while True:
        mail = patient.store.mails.find(mail_id)
        if mail is None or mail.sent_at:
            return True
        if monotonic() >= ends:
            return False
        sleep(0.5)


def webhooks(patient: Patient) -> Iterator[Finding]:
    """Whether customers' events go out, and how many endpoints get none: what one fails is its owner's matter."""
    now, since = patient.now(), overdue_webhook(patient.store, patient.now())
    paused = paused_endpoints(patient.store)
    if paused[BY_SECRET]:
        yield wrong(
            f"{count(paused[BY_SECRET], 'webhook endpoint')} paused: the secret can no longer be read here.",
            "JWT_SECRETS=<the newest>,…,<the one that was taken away>; their owners make a new secret, or resume",
        )
    if since and now - since > LATE_WEBHOOK:
        waited = f"An event for a customer's server has been due for {_ago(now, since)}."
        yield wrong(waited, f"start the mail sender, which sends events too: {FLASK} mail send --watch")
        return
    taken = paused[BY_FAILURE] + paused[BY_GONE]
    more = f" {count(taken, 'endpoint')} paused for taking none: the owners were told." if taken else ""
    if not paused[BY_SECRET]:
        yield right(f"No event for customers' servers is late.{more}")


def oldest_task(patient: Patient) -> Iterator[Finding]:
    now, page = patient.now(), patient.store.queue.page(PENDING, limit=1)
    if not page.items:
        yield right("No task waits.")
        return
    waited = f"The oldest task has waited for {_ago(now, page.items[0].created_at)}"
    if now - page.items[0].created_at <= TASK_WAITS:
        yield right(f"{waited}.")
    elif not patient.config.is_production:
        yield right(f"{waited}; in development nobody has to work it.")
    else:
        yield wrong(f"{waited}.", f"claim it at /admin, or: {FLASK} tasks claim")


def parked_payments(patient: Patient) -> Iterator[Finding]:
    now, oldest = patient.now(), patient.store.payments.oldest_parked()
    if oldest is None:
        yield right("No payment waits for an operator.")
        return
    since = oldest.created_at or now
    waited = f"A parked payment has waited for {_ago(now, since)}: somebody has paid and has no credits."
    yield (
        wrong(waited, "credit, refund or dismiss it at /admin/finance")
        if now - since > PAYMENT_WAITS
        else right(waited)
    )


def the_books(patient: Patient) -> Iterator[Finding]:
    """How the last check ended. The check itself reads every row: the doctor does not repeat it."""
    last, now, check = patient.store.heartbeats.last_books_check(), patient.now(), f"{FLASK} books check"
    if last is None:
        if patient.config.is_production:
            yield wrong("The books have never been checked.", check)
        else:
            yield not_asked("The books have not been checked yet: flask books check does.")
    elif last.differences:
        first = last.findings[0] if last.findings else None
        more = f", the first in {first.subject} ({first.what})" if first else ""
        yield wrong(
            f"The books differ in {last.differences} places{more}: checked {_ago(now, last.checked_at)} ago.", check
        )
    elif now - last.checked_at > BOOKS_CHECKED and patient.config.is_production:
        yield wrong(f"The books were last checked {_ago(now, last.checked_at)} ago.", check)
    else:
        yield right(f"The books agreed {_ago(now, last.checked_at)} ago.")


def _ago(now: datetime, then: datetime) -> str:
    return elapsed(max(0, int((now - then).total_seconds())))


CHECKS = (
    Check("scheduled commands", scheduled_commands, before_release=False),
    Check("oldest mail", oldest_mail, before_release=False),
    Check("events out", webhooks, before_release=False),
    Check("oldest task", oldest_task, before_release=False),
    Check("parked payments", parked_payments, before_release=False),
    Check("books", the_books),
)
