"""Mails that a movement of the ledger owes its customer, each promised in the movement's own transaction."""

from __future__ import annotations

from datetime import datetime

from app.domain.accounts import LOW_BALANCE_PAUSE, Account, LowBalance
from app.domain.credits import CLAWBACK, PostedEntry
from app.domain.mails import Mail
from app.domain.payments import PaymentRecord, held_share


def low_balance(before: Account, after: Account, now: datetime) -> tuple[Mail | None, LowBalance]:
    """A mail when a spend takes the balance below the customer's threshold, and what the account's row notes with it.

    Once for each time that it falls below, and at most once a day. One that is held back goes with the first spend
    after that day, should the balance still be low. A threshold of 0 switches it off.
    """
    threshold = before.low_balance_threshold
    if threshold <= 0 or after.credits_balance >= threshold:
        return None, {}
    fell = before.credits_balance >= threshold
    noted: LowBalance = {"low_since": now} if fell else {}
    since, mailed_at = now if fell else before.low_since, before.low_mailed_at
    if since is None or (mailed_at and (mailed_at >= since or now - mailed_at < LOW_BALANCE_PAUSE)):
        return None, noted
    context = {"balance": after.credits_balance, "threshold": threshold}
    mail_id = f"low_balance#{before.account_id}#{after.ledger_sequence}"
    return Mail(mail_id, "low_balance", before.address, now, context), {**noted, "low_mailed_at": now}


def purchase(record: PaymentRecord, account: Account, credits: int, now: datetime) -> Mail:
    """A receipt, or for an account that has no password yet a welcome with a link to set one. Once for a session."""
    kind = "receipt" if account.password_hash else "welcome"
    context = {
        "credits": credits,
        "total_cents": record.total_cents,
        "currency": record.currency,
        "balance": account.credits_balance + credits,
        "payment_id": record.payment_id,
    }
    return Mail(f"purchase#{record.session_id or record.payment_id}", kind, account.address, now, context)


def clawback_or_reinstatement(record: PaymentRecord, account: Account, entry: PostedEntry, now: datetime) -> Mail:
    """A refund or dispute took credits back, or gave them back. Once for each ledger row."""
    if entry.type == CLAWBACK:
        kind = "dispute_opened" if held_share(record) else "payment_refunded"
    else:
        kind = "credits_restored"
    context = {
        "credits": abs(entry.amount),
        "balance": entry.balance_after,
        "total_cents": record.total_cents,
        "currency": record.currency,
    }
    return Mail(f"correction#{entry.transaction_id}", kind, account.address, now, context)
