"""Sending a mail again, when a customer or an operator asks for it."""

from __future__ import annotations

from datetime import datetime

from app.data import Store
from app.data.outbox import Mail
from app.domain.errors import NotFound


def resend(store: Store, operator: str, mail_id: str, *, now: datetime) -> Mail:
    """Put a failed or a sent mail back into the outbox. Raises NotFound."""
    mail = store.find_mail(mail_id)
    if mail is None:
        raise NotFound("There is no such mail.")
    with store.transaction() as tx:
        tx.requeue_mail(mail_id, now)
        tx.record_audit(
            actor=operator,
            action="mail.resend",
            subject=mail.to,
            now=now,
            before={"mail_id": mail_id, "attempts": mail.attempts},
        )
    return mail
