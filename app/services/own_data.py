"""Everything that we keep about a person, for that person: written to a file as it is read, whatever its length."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from typing import IO, Any

from app.data import Store
from app.domain.accounts import Account, AccountKey, Address
from app.domain.api_keys import ApiKey
from app.domain.clock import to_iso, utcnow
from app.domain.credits import PostedEntry
from app.domain.drafts import Draft
from app.domain.errors import StoreBusy
from app.domain.mails import OPTIONAL, Mail
from app.domain.paging import Page, each
from app.domain.webhooks import Delivery

from . import drafts, typed_drafts, webhooks
from .statements import whole_ledger

CHUNK = 500
CALM_TRIES = 5  # a busy account is read again this often


def write_export(store: Store, email: AccountKey, file: IO[str]) -> None:
    """One JSON object: the account, its sessions, unsent text, drafts, tasks with results, ledger and mails. No secret.

    It ends with how many rows each list has and what the ledger adds up to: `credits`, as both were read. Raises
    LedgerBehind.
    """
    account, ledger = _account_and_ledger(store, email)
    head = json.dumps(_about(account, store.api_keys.of(account)), ensure_ascii=False, indent=1).removesuffix("\n}")
    file.write(head)
    counts = {}
    lists = {
        "unsent": _unsent(drafts.waiting(store, account, now=utcnow())),
        "drafts": _unsent(typed_drafts.every_of(store, account, now=utcnow())),
        "tasks": _tasks(store, account),
        "ledger": iter(ledger),
        "mails": _mails(store, account),
        "webhooks": _webhooks(store, account),
        "webhook_deliveries": _deliveries(store, account),
    }
    for name, rows in lists.items():
        file.write(f',\n "{name}": [')
        count = 0
        for row in rows:
            file.write(("," if count else "") + "\n  " + json.dumps(row, ensure_ascii=False))
            count += 1
        file.write("\n ]")
        counts[name] = count
    end = {"rows": counts, "ledger_sum": sum(row["amount"] for row in ledger)}
    file.write("," + json.dumps(end, ensure_ascii=False, indent=1).removeprefix("{") + "\n")


def _account_and_ledger(store: Store, email: AccountKey) -> tuple[Account, list[dict[str, Any]]]:
    """Both as of one moment: a row that was added between the two reads makes them be read again."""
    for _ in range(CALM_TRIES):
        rows = list(whole_ledger(store, email))
        account = store.accounts.get(email)
        if max((entry.sequence for entry in rows), default=0) == account.ledger_sequence:
            return account, [_ledger_row(entry) for entry in rows]
    raise StoreBusy


def _about(account: Account, api_keys: list[ApiKey]) -> dict[str, Any]:
    return {
        "email": account.address,
        "addresses_before": list(account.addresses_but(account.address)),
        "address_change": _change(account),
        "account_id": account.account_id,
        "created_at": to_iso(account.created_at),
        "email_confirmed_at": to_iso(account.confirmed_at) if account.confirmed_at else None,
        "credits": account.credits_balance,
        "stripe_customer_id": account.stripe_customer_id,
        "settings": {
            "low_balance_threshold": account.low_balance_threshold,
            "theme": account.theme,
            "shortcuts": account.shortcuts,
        },
        "mails_wanted": {kind: kind not in account.unwanted_mails for kind in OPTIONAL},
        "draft": account.draft,
        "second_factor": {
            "authenticator_app": account.totp is not None,
            "passkeys": [{"name": p.name, "created_at": to_iso(p.created_at)} for p in account.passkeys.values()],
            "recovery_codes_left": len(account.recovery_codes),
        },
        "api_keys": [_key(key) for key in api_keys],
        "sessions": [
            {
                "kind": session.kind,
                "label": session.label,
                "created_at": to_iso(session.created_at),
                "seen_at": to_iso(session.seen_at),
            }
            for session in account.sessions.values()
        ],
    }


def _key(key: ApiKey) -> dict[str, Any]:
    """Without the hash: of no use to its owner."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "beginning": key.beginning,
        "scopes": sorted(key.scopes),
        "credits_a_month": key.credits_a_month,
        "spent": dict(key.spent),
        **{
            name: to_iso(moment) if (moment := getattr(key, name)) else None
            for name in ("created_at", "expires_at", "used_at", "ended_at")
        },
    }


def _webhooks(store: Store, account: Account) -> Iterator[dict[str, Any]]:
    """Without their secrets, which their pages show."""
    for endpoint in webhooks.alive(store, account):
        yield {
            "endpoint_id": endpoint.endpoint_id,
            "url": endpoint.url,
            "name": endpoint.name,
            "types": list(endpoint.types),
            "created_at": to_iso(endpoint.created_at),
            "paused_at": to_iso(endpoint.paused_at) if endpoint.paused_at else None,
        }


def _deliveries(store: Store, account: Account) -> Iterator[dict[str, Any]]:
    for endpoint_id in sorted(account.webhooks):
        for one in each(partial(_page_of, store, endpoint_id)):
            yield {
                "endpoint_id": endpoint_id,
                "event_id": one.event_id,
                "body": one.body,
                "created_at": to_iso(one.created_at),
                "state": one.state,
                "tries": [{"at": to_iso(t.at), "status": t.status, "error": t.error} for t in one.tries],
                "answer": one.answer,
            }


def _page_of(store: Store, endpoint_id: str, cursor: str | None) -> Page[Delivery]:
    return store.webhooks.page(endpoint_id, limit=100, cursor=cursor)


def _unsent(found: Iterable[Draft]) -> Iterator[dict[str, Any]]:
    for draft in found:
        yield {"form": draft.place, "saved_at": to_iso(draft.saved_at), "fields": [list(pair) for pair in draft.fields]}


def _tasks(store: Store, account: Account) -> Iterator[dict[str, Any]]:
    for task in store.tasks.every_of(account.email):
        result = store.tasks.get_with_result(task.task_id, owner=account.email)[1]
        yield {
            "task_id": task.task_id,
            **asdict(task.brief),
            "status": task.status,
            "credits_spent": task.credits_spent,
            "key_id": task.key_id,
            "created_at": to_iso(task.created_at),
            "updated_at": to_iso(task.updated_at),
            "result": result.text if result else None,
            "files": [file.name for file in result.files] if result else [],
        }


def _ledger_row(entry: PostedEntry) -> dict[str, Any]:
    return {
        "transaction_id": entry.transaction_id,
        "type": entry.type,
        "amount": entry.amount,
        "balance_after": None if entry.is_original else entry.balance_after,
        "timestamp": to_iso(entry.timestamp),
        "description": entry.description,
    }


def _mails(store: Store, account: Account) -> Iterator[dict[str, Any]]:
    for mail in _mails_to(store, account):
        yield {"kind": mail.kind, "created_at": to_iso(mail.created_at), "about": dict(mail.context)}


def _mails_to(store: Store, account: Account) -> Iterator[Mail]:
    """To each address that it has or had; not those that asked whether one of them should be another account's, and
    none that is older than the account: a deleted one may have left it the address.
    """
    for address in account.addresses:
        for mail in each(partial(_page_to, store, address)):
            if mail.created_at < account.created_at:
                break  # newest first
            if mail.context.get("account_id", account.account_id) == account.account_id:
                yield mail


def _page_to(store: Store, address: Address, cursor: str | None) -> Page[Mail]:
    return store.mails.list_to(address, limit=CHUNK, cursor=cursor)


def _change(account: Account) -> dict[str, Any] | None:
    change = account.change_that_stands(utcnow())
    return {"to": change.to, "asked_at": to_iso(change.asked_at)} if change else None
