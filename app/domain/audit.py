"""What operators did: who did what to whom or what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CHANGE_ADDRESS = "account.change_address"

# What each act is called on a page, after the name of who did it. Programs, files and filters know it by its key.
ACTS: Mapping[str, str] = {
    "task.claim": "claimed the task",
    "task.renew": "kept the task longer",
    "task.release": "released the task",
    "task.complete": "completed the task",
    "task.reject": "rejected the task",
    "task.cancel": "cancelled the task",
    "task.redo": "asked for the task again",
    "credits.adjust": "adjusted the balance",
    "credits.propose": "proposed an adjustment",
    "credits.approve": "approved an adjustment",
    "credits.decline": "declined an adjustment",
    "account.adopt": "brought the account in",
    "account.mend": "mended a row of the original",
    CHANGE_ADDRESS: "changed the address",
    "account.disable": "disabled the account",
    "account.enable": "enabled the account",
    "account.end_sessions": "ended the sessions",
    "account.freeze": "froze the account",
    "account.restate": "put the balance back",
    "account.unfreeze": "unfroze the account",
    "account.reset_second_factor": "removed the second factors",
    "admin.grant": "made an operator",
    "admin.revoke": "ended the operator's role",
    "key.create": "made an operator's API key",
    "key.revoke": "revoked an API key",
    "mail.resend": "sent a mail again",
    "code.create": "made a code",
    "code.propose": "proposed a code",
    "code.approve": "approved a code",
    "code.decline": "declined a code",
    "code.disable": "disabled a code",
    "payment.credit": "credited a payment",
    "payment.propose": "proposed to credit a payment",
    "payment.decline": "declined to credit a payment",
    "payment.refund": "refunded a payment",
    "payment.refunded": "saw the refund made",
    "payment.refund_refused": "saw the refund refused",
    "payment.dismiss": "dismissed a payment",
    "sale.name": "said that a sale is credits",
    "sale.credit": "credited what was sold",
    "sale.propose": "proposed that a sale is credits",
    "sale.decline": "declined that a sale is credits",
    "sale.never": "said that a sale is no credits",
    "sale.release": "took back what a sale is",
    "sale.undo": "undid a decision on a sale",
    "books.check": "asked for a check of the books",
    "books.reconcile": "asked for a reconciliation",
}
SUBJECTS: Mapping[str, str] = {
    "task.": "Tasks",
    "credits.": "Credits",
    "account.": "Accounts",
    "admin.": "Operators' roles",
    "key.": "API keys",
    "mail.": "Mails",
    "code.": "Codes",
    "payment.": "Payments",
    "sale.": "Sales",
    "books.": "Books",
}


def act_in_words(action: str) -> str:
    """`claimed the task` for `task.claim`; an act of a later release as it stands."""
    return ACTS.get(action, action)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A row of the audit log; `before` and `after` hold the values that changed."""

    audit_id: str
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
