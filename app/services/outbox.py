"""Sending mails again, when a customer or an operator asks for it."""

from __future__ import annotations

from datetime import datetime

from app.data import Store
from app.domain.errors import AlreadyRecorded, InvalidInput, NotFound
from app.domain.mails import Mail
from app.telemetry.spans import verb

from .acting import Act, acting

AT_ONCE = 50  # mails of one call: each is a transaction


@verb
def resend(store: Store, operator: str, mail_id: str, *, now: datetime) -> Mail:
    """Put a failed or a sent mail back into the outbox. Raises NotFound."""
    mail = store.mails.find(mail_id)
    if mail is None:
        raise NotFound("There is no such mail.")
    _requeue(store, operator, mail, now)
    return mail


@verb
def resend_failed(store: Store, operator: str, since: datetime, until: datetime, *, now: datetime) -> tuple[int, bool]:
    """Put mails that failed in this time back into the outbox, each once: how many, and whether more are there.

    At most AT_ONCE; calling again goes on. Safe to repeat and to race: a mail that is no longer among the failed ones
    is left alone. Raises InvalidInput.
    """
    if since > until:
        raise InvalidInput("The beginning must be before the end.", field="since")
    page = store.mails.list_failed(limit=AT_ONCE, between=(since, until))
    done = 0
    for mail in page.items:
        try:
            _requeue(store, operator, mail, now, if_failed=True)
            done += 1
        except AlreadyRecorded:  # somebody else was quicker
            continue
    return done, page.next_cursor is not None


def _requeue(store: Store, operator: str, mail: Mail, now: datetime, *, if_failed: bool = False) -> None:
    act = Act(operator, "mail.resend", mail.to, now, before={"mail_id": mail.mail_id, "attempts": mail.attempts})
    with acting(store, act) as tx:
        tx.mails.requeue(mail.mail_id, now, if_failed=if_failed)
