"""What operators did: who did what to whom or what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CHANGE_ADDRESS = "account.change_address"


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
