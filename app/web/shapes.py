"""What a task, a result, a ledger row and a customer are in JSON: for the API and for commands with `--json`."""

from __future__ import annotations

from typing import Any

from app.domain.accounts import Account
from app.domain.clock import to_iso
from app.domain.credits import PostedEntry
from app.domain.tasks import Result, Task


def task_json(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "status": task.status,
        "description": task.description,
        "credits_spent": task.credits_spent,
        "created_at": to_iso(task.created_at),
        "updated_at": to_iso(task.updated_at),
    }


def result_json(task: Task, result: Result | None) -> dict[str, Any]:
    """What became of a task: the answer, the files by number, or why there is none."""
    files = [
        {"number": number, "name": file.name, "size_bytes": file.size_bytes, "content_type": file.content_type}
        for number, file in enumerate(result.files if result else (), 1)
    ]
    return {
        "result": result.text if result else None,
        "files": files,
        "reason": task.reason,
        "redo_of": task.redo_of,
        "redone_by": task.redone_by,
    }


def entry_json(entry: PostedEntry) -> dict[str, Any]:
    return {
        "transaction_id": entry.transaction_id,
        "type": entry.type,
        "amount": entry.amount,
        "timestamp": to_iso(entry.timestamp),
        "description": entry.description,
        "balance_after": None if entry.is_original else entry.balance_after,
        "sequence": None if entry.is_original else entry.sequence,
        "task_id": entry.task_id,
        "stripe_payment_intent": entry.stripe_payment_intent,
    }


def queue_json(task: Task) -> dict[str, Any]:
    return task_json(task) | {
        "user_email": task.user_email,
        "lease_owner": task.lease_owner,
        "lease_until": to_iso(task.lease_until) if task.lease_until else None,
        "redo_of": task.redo_of,
        "redo_note": task.redo_note,
    }


def account_json(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "email": account.email,
        "credits": account.credits_balance,
        "open_tasks": account.open_tasks,
        "created_at": to_iso(account.created_at),
        "email_confirmed": account.confirmed,
        "role": account.role,
        "disabled": account.disabled,
    }
