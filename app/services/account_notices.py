"""Mails that tell the owner of an account that somebody changed how it is entered."""

from __future__ import annotations

from datetime import datetime

from app.data.outbox import Mail
from app.domain.accounts import Account
from app.domain.clock import to_iso


def security_mail(account: Account, what: str, now: datetime) -> Mail:
    """`what` is one whole sentence."""
    return Mail(f"security#{account.account_id}#{to_iso(now)}", "security", account.email, now, {"what": what})
