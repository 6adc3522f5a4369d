"""API keys: what a program is let in by, apart from anybody's session, and what each may do."""

from __future__ import annotations

TASKS_READ, TASKS_WRITE, BILLING_READ, QUEUE_WORK = "tasks:read", "tasks:write", "billing:read", "queue:work"
SCOPES = (TASKS_READ, TASKS_WRITE, BILLING_READ, QUEUE_WORK)  # what a key can be given
ANY, SESSION = "any", "session"  # of a call: any key may ask it, or none
